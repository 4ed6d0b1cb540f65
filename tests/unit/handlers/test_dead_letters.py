"""The timer that puts dead letters back."""

from __future__ import annotations

import json

from handlers.dead_letters import return_dead_letters
from shared.clients import Clients
from shared.dead_letters import DEAD_LETTERS
from shared.ledger import Ledger
from tests.support import drop_image, plain_jpeg
from tests.unit.handlers.support import CONTAINERS, user_function


def test_a_tick_puts_back_what_event_grid_could_not_deliver(clients: Clients) -> None:
    letters = clients.blobs.create_container(DEAD_LETTERS)
    etag = drop_image(clients, "a.jpg", plain_jpeg())
    subject = f"{CONTAINERS}/images/blobs/a.jpg"
    event = {"id": "1", "eventType": "Microsoft.Storage.BlobCreated", "subject": subject, "data": {"eTag": etag}}
    letters.upload_blob("topic/LABELLOOP-IMAGES/2026/11/24/9/1.json", json.dumps([event]))
    user_function(return_dead_letters)(None)
    (waiting,) = Ledger(clients.tables).waiting(10).images
    assert (waiting.image.path, waiting.image.etag) == ("a.jpg", etag)
    assert list(letters.list_blob_names()) == []
