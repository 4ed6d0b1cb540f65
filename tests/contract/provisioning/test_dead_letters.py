"""What Event Grid gave up on comes back, on a whole local stack."""

from __future__ import annotations

import time

from shared.clients import Clients
from shared.dead_letters import DEAD_LETTERS
from shared.ledger import Ledger
from shared.recovery import put_back_dead_letters
from tests.contract.local_stack import Cloud, problems, provision
from tests.support import drop_image, plain_jpeg

DELIVERY_SECONDS = 20


def test_an_image_whose_event_could_not_be_delivered_is_taken_in_from_its_dead_letter(
    clients: Clients, cloud: Cloud
) -> None:
    report = provision(clients)
    assert report["state"] == "ready", problems(report)
    name = "undeliverable.jpg"
    letters = clients.blobs.get_container_client(DEAD_LETTERS)
    ledger = Ledger(clients.tables)
    # The event is published, other than those of the other tests; but whoever it is delivered to refuses it for good.
    with cloud.faults(
        {"service": "events", "path": f"*/{name}"}, {"service": "eventgrid", "path": f"*/{name}", "status": 400}
    ):
        etag = drop_image(clients, name, plain_jpeg())
        deadline = time.monotonic() + DELIVERY_SECONDS
        while not (found := list(letters.list_blob_names())):
            assert time.monotonic() < deadline, "Event Grid wrote no dead letter"
            time.sleep(0.1)
    assert "/LABELLOOP-IMAGES/" in found[0]
    assert ledger.history("images", name) == []
    put_back_dead_letters(clients, ledger)
    assert [row["etag"] for row in ledger.history("images", name)] == [etag]
    assert list(letters.list_blob_names()) == []
