"""What the handlers of events, messages and the timer do, on real storage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
from azure.functions.blob import InputStream

from handlers.batches import dispatch_batches, plan_rescorings
from handlers.images import image_landed, image_poisoned, image_too_large
from handlers.job_events import job_changed, job_settle
from handlers.label_exports import label_export_landed
from shared.batches.dispatching import new_batch
from shared.clients import Clients
from shared.errors import InvalidRequestError
from shared.ledger import Image, Ledger
from shared.rescoring import request_rescoring, rescoring_report
from tests.support import drop_image, plain_jpeg, promote_bundle
from tests.unit.handlers.support import blob_created, event, message, user_function


def waiting(clients: Clients) -> list[Image]:
    return [each.image for each in Ledger(clients.tables).waiting(100).images]


def messages(clients: Clients, queue: str) -> list[Any]:
    return [json.loads(each.content) for each in clients.queue(queue).receive_messages()]


def blob(path: str, content: bytes, container: str = "images") -> InputStream:
    return InputStream(data=content, name=f"{container}/{path}", length=len(content))


def test_an_image_that_landed_waits(clients: Clients) -> None:
    etag = drop_image(clients, "2026/a b.jpg", plain_jpeg())
    user_function(image_landed)(blob("2026/a b.jpg", plain_jpeg()))
    (image,) = waiting(clients)
    assert (image.path, image.etag, image.error) == ("2026/a b.jpg", etag, "")


def test_an_image_that_is_too_large_waits_with_the_reason(clients: Clients) -> None:
    user_function(image_too_large)(blob_created("images", "huge.tif", etag="0x9", size=250_000_000))
    (image,) = waiting(clients)
    assert (image.path, image.etag) == ("huge.tif", "0x9")
    assert image.error == "the file has 250.0 MB; at most 100 MB are taken"


def test_an_image_that_could_not_be_taken_in_waits_with_a_reason(clients: Clients) -> None:
    poison = {"FunctionId": "f", "BlobType": "BlockBlob", "ContainerName": "images", "BlobName": "a/b.jpg"}
    user_function(image_poisoned)(message({**poison, "ETag": '"0x7"'}))
    (image,) = waiting(clients)
    assert (image.path, image.etag) == ("a/b.jpg", "0x7")
    assert "could not be taken in" in image.error


def test_a_poisoned_blob_of_another_container_is_not_ours(clients: Clients) -> None:
    user_function(image_poisoned)(message({"ContainerName": "other", "BlobName": "a", "ETag": "0x1"}))
    assert waiting(clients) == []


def test_the_timer_makes_a_batch_of_what_waits(clients: Clients, tmp_path: Path) -> None:
    promote_bundle(clients, tmp_path)
    drop_image(clients, "a.jpg", plain_jpeg())
    user_function(image_landed)(blob("a.jpg", plain_jpeg()))
    user_function(dispatch_batches)(None)
    assert waiting(clients) == []
    csv, summary = clients.blobs.get_container_client("predictions").list_blob_names()
    assert (csv[-4:], summary) == (".csv", f"{csv[:-4]}_batch.json")


def test_a_message_has_a_rescoring_planned_and_the_timer_scores_it(clients: Clients, tmp_path: Path) -> None:
    promote_bundle(clients, tmp_path)
    drop_image(clients, "a.jpg", plain_jpeg())
    ledger = Ledger(clients.tables)
    asked = request_rescoring(clients, ledger, "", "champion")
    (sent,) = messages(clients, "rescore")
    user_function(plan_rescorings)(message(sent))
    user_function(dispatch_batches)(None)
    user_function(plan_rescorings)(message(sent))
    assert rescoring_report(clients, asked["id"])["state"] == "done"


def test_a_label_export_that_landed_is_put_on_the_queue(clients: Clients) -> None:
    user_function(label_export_landed)(blob_created("azureml-blobstore-1", "Labeling/export/coco/x.json", etag="0x5"))
    assert messages(clients, "label-exports") == [
        {"container": "azureml-blobstore-1", "path": "Labeling/export/coco/x.json", "etag": "0x5"}
    ]


def test_an_event_about_no_blob_is_refused_so_that_it_is_dead_lettered(clients: Clients) -> None:
    with pytest.raises(InvalidRequestError):
        user_function(label_export_landed)(event("models/m:1", {}))


COMPLETED = "Microsoft.MachineLearningServices.RunCompleted"
CHANGED = "Microsoft.MachineLearningServices.RunStatusChanged"


def run_event(run: str, status: str | None, *, in_data: bool = True) -> func.EventGridEvent:
    data: dict[str, Any] = {"runId": run} if in_data else {}
    if status:
        data["runStatus"] = status
    return event(f"experiments/exp-1/runs/{run}", data, CHANGED if status else COMPLETED)


@pytest.mark.parametrize(
    "told",
    [
        run_event("score-b1", None),
        run_event("score-b1", "Completed"),
        run_event("score-b1", "Failed"),
        run_event("score-b1", "Canceled"),
        run_event("score-b1", None, in_data=False),
    ],
)
def test_the_end_of_a_scoring_job_is_put_on_the_queue(clients: Clients, told: func.EventGridEvent) -> None:
    user_function(job_changed)(told)
    assert messages(clients, "job-events") == [{"job": "score-b1"}]


def test_the_end_of_a_training_is_put_on_the_queue(clients: Clients) -> None:
    user_function(job_changed)(run_event("train-1", "Failed"))
    assert messages(clients, "job-events") == [{"job": "train-1"}]


@pytest.mark.parametrize(
    "told",
    [
        run_event("score-b1", "Running"),
        run_event("train-1", "Queued"),
        run_event("0f8fad5b", "Completed"),
        event("models/multilabel:1", {"ModelName": "multilabel"}),
        event("", {}),
    ],
)
def test_other_events_of_the_workspace_are_let_pass(clients: Clients, told: func.EventGridEvent) -> None:
    user_function(job_changed)(told)
    assert messages(clients, "job-events") == []


def test_the_end_of_a_job_settles_its_batch(clients: Clients, tmp_path: Path) -> None:
    promote_bundle(clients, tmp_path)
    drop_image(clients, "a.jpg", plain_jpeg())
    user_function(image_landed)(blob("a.jpg", plain_jpeg()))
    ledger = Ledger(clients.tables)
    batch = new_batch(clients, ledger)
    assert batch is not None
    user_function(job_settle)(message({"job": f"score-{batch.id}"}))
    settled = ledger.batch(batch.id)
    assert settled is not None
    assert settled.state == "done"
