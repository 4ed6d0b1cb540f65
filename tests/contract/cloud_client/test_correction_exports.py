"""Corrections become a label export that the loop finds, in a workspace of the local cloud."""

from __future__ import annotations

import json
from typing import Any

import pytest

import handlers.routes.corrections
from handlers.routes.corrections import export_corrections
from shared.clients import Clients
from shared.errors import ConflictError
from shared.labels.export import open_export
from shared.ledger import Image, Ledger, Settlement
from shared.review import exporting
from shared.review.correcting import correct
from shared.review.corrections import Corrections
from shared.training import LandedExport
from shared.training.exports import find_export
from shared.training.reports import read_report
from tests.contract.local_stack import MakeClients
from tests.support import drop_image, plain_jpeg
from tests.unit.handlers.support import body_of, request, user_function

pytestmark = pytest.mark.usefixtures("provisioned")
ask = user_function(export_corrections)
BATCH = "of-corrections"


@pytest.fixture
def clients(make: MakeClients, monkeypatch: pytest.MonkeyPatch) -> Clients:
    made = make()
    monkeypatch.setattr(handlers.routes.corrections, "clients", lambda: made)
    return made


def arrive(clients: Clients, path: str) -> str:
    """An image arrives, and does not wait for the batches of other tests."""
    etag = drop_image(clients, path, plain_jpeg())
    container, ledger = clients.settings.images_container, Ledger(clients.tables)
    image = Image(container, path, etag, container, path, etag)
    ledger.record_arrival(image, lambda: etag)
    ledger.claim(BATCH, [each for each in ledger.waiting(1000).images if each.image.path == path])
    ledger.settle(BATCH, [Settlement(image, "scored")])
    return etag


def exported(file_format: str) -> tuple[int, dict[str, Any], Any]:
    body = json.dumps({"format": file_format, "include": "corrections"}).encode()
    answer = ask(request("POST", "/api/corrections/export", body=body))
    return answer.status_code, body_of(answer), answer.headers


def test_corrections_become_an_export_once_that_the_loop_finds_and_reads(clients: Clients) -> None:
    with pytest.raises(ConflictError, match="there are no corrections"):
        exporting.export(clients, "jsonl")
    for path, labels in {"reviewed/a.jpg": ["cat", "dog"], "reviewed/none.jpg": []}.items():
        correct(clients, path, arrive(clients, path), labels, "me")
    correct(clients, "reviewed/old.jpg", arrive(clients, "reviewed/old.jpg"), ["cat"], "me")
    clients.blobs.get_blob_client(clients.settings.images_container, "reviewed/old.jpg").delete_blob()
    status, told, headers = exported("jsonl")
    assert (status, told["images"], told["corrected"], told["outdated"]) == (202, 2, 2, 1)
    assert headers["Location"] == f"/api/exports/{told['export_id']}"
    assert read_report(clients, told["export"]) is not None
    assert Corrections(clients.tables).counts() == (3, 3, 0)

    container, _, path = told["export"].partition("/")
    found = find_export(clients, LandedExport(container, path))
    assert found is not None
    assert (found.name, list(found.files)) == (told["export"], [path])
    with found.opened(clients) as files:
        labelled = open_export(found.name, files)
        rows = list(labelled)
        assert [labelled.resolve(each.labels) for each in rows] == [("cat", "dog"), ()]

    again, same, _ = exported("jsonl")
    assert (again, same["export"], same["created"]) == (200, told["export"], False)
    status, coco, _ = exported("coco")
    assert status == 202
    assert coco["export"].endswith(".json")


def test_the_rows_of_the_last_training_are_read_from_its_data_set(clients: Clients) -> None:
    work = clients.blobs.get_container_client(clients.settings.work_container)
    for split in ("train", "validation", "test"):
        row = json.dumps({"image_url": f"azureml://datastores/images/paths/{split}.jpg", "label": ["cat"]})
        work.upload_blob(f"datasets/of-this-test/{split}/{split}.jsonl", f"{row}\n{row}\n", overwrite=True)
    found = list(exporting.rows_of(clients, "of-this-test"))
    assert [each["image_url"].rpartition("/")[2] for each in found[::2]] == ["train.jpg", "validation.jpg", "test.jpg"]
    with pytest.raises(ConflictError, match="was deleted; export `corrections` alone"):
        list(exporting.rows_of(clients, "gone"))
