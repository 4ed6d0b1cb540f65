"""What other systems hear through a custom topic, from the training to the predictions, and after crashes."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from azure.core.exceptions import AzureError

from shared.batches import dispatch
from shared.clients import Clients
from shared.events import RETRY_SECONDS, PredictionsReady, publish
from shared.images import receive_image
from shared.ledger import Ledger
from shared.training import LandedExport, settle_training, train_on_export
from tests.contract.announcements.conftest import Event, Receiver
from tests.contract.cloud_client.conftest import NODES_FAIL, coco
from tests.contract.cloud_client.exporting import await_end
from tests.contract.local_stack import Cloud, MakeClients
from tests.contract.storage.batch_app import LedgerLater
from tests.contract.storage.unreliable import ProcessKilled
from tests.support import drop_image, plain_jpeg

_numbers = itertools.count(1)


def die(*_: object, **__: object) -> None:
    raise ProcessKilled


@pytest.fixture
def export(cloud: Cloud, clients: Clients) -> Callable[[bytes], LandedExport]:
    """Uploads a label export under a new name."""

    def upload(content: bytes) -> LandedExport:
        path = f"Labeling/export/coco/export-{next(_numbers)}.json"
        clients.blobs.get_blob_client(cloud.default_container, path).upload_blob(content)
        return LandedExport(cloud.default_container, path, "")

    return upload


def types(events: list[Event]) -> list[str]:
    return sorted(event["type"].removeprefix("LabelLoop.") for event in events)


def test_another_system_hears_of_the_training_its_model_and_the_predictions(
    receiver: Receiver,
    clients: Clients,
    export: Callable[[bytes], LandedExport],
    pictures: dict[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    landed = export(coco(pictures))
    job = train_on_export(clients, landed).job
    (started,) = receiver.heard(job)
    assert (started["type"], started["specversion"]) == ("LabelLoop.TrainingStarted", "1.0")
    assert started["source"] == clients.function_app_id
    assert started["datacontenttype"] == "application/json"
    data_set, images = started["data"].pop("data_set"), started["data"].pop("images")
    assert started["data"] == {"job": job, "export": f"{landed.container}/{landed.path}", "labels": 3}
    assert set(images) == {"train", "validation", "test"}
    assert sum(images.values()) == len(pictures)
    assert train_on_export(clients, landed).job == job
    assert train_on_export(clients, export(coco(pictures))).job == job
    settle_training(clients, job)
    assert types(receiver.heard(job)) == ["TrainingStarted"], "it is told once, and its end not before it ends"

    await_end(clients, job)
    with monkeypatch.context() as patch:
        patch.setattr("shared.training.ending.change_report", die)
        with pytest.raises(ProcessKilled):
            settle_training(clients, job)
    settle_training(clients, job)
    settle_training(clients, job)
    told = receiver.heard("multilabel:1")
    assert types(told) == ["ModelPromoted"] * 2 + ["ModelRegistered"] * 2, (
        "again after the crash, but no more once noted"
    )
    by_type = {event["type"]: event for event in told}
    assert {event["id"] for event in told} == {event["id"] for event in by_type.values()}
    registered, promoted = by_type["LabelLoop.ModelRegistered"]["data"], by_type["LabelLoop.ModelPromoted"]["data"]
    assert promoted.pop("promoted_at") == "", "by its training"
    assert registered == {**promoted, "promoted": True}
    assert (promoted["data_set"], promoted["labels"]) == (data_set, 3)
    assert (promoted["model"], promoted["version"], promoted["job"]) == ("multilabel", "1", job)
    assert promoted["reason"] == "there was no champion"
    assert promoted["decision"]["promote"] is True
    assert promoted["decision"]["champion_before"] is None
    assert promoted["metrics"]["images"] == images["test"]
    assert all(isinstance(value, int | float) for value in promoted["metrics"].values())
    bundle = clients.blobs.get_container_client(promoted["container"]).list_blob_names(
        name_starts_with=promoted["path"]
    )
    assert f"{promoted['path']}/model.onnx" in set(bundle)

    ledger = Ledger(clients.tables)
    dispatch(clients, ledger)
    for path, content in (("a.jpg", plain_jpeg()), ("text.jpg", b"text")):
        drop_image(clients, path, content)
        receive_image(clients, ledger, path, content)
    (rejected,) = receiver.heard("text.jpg")
    assert rejected["type"] == "LabelLoop.ImageRejected"
    dispatch(clients, LedgerLater(clients.tables))
    path, summary = clients.blobs.get_container_client("predictions").list_blob_names()
    (ready,) = receiver.heard(Path(path).stem)
    assert ready["type"] == "LabelLoop.PredictionsReady"
    assert (ready["data"]["files"], ready["data"]["model"]) == ({"csv": path}, "multilabel:1")
    assert ready["data"]["summary_url"] == f"{clients.account_url.rstrip('/')}/predictions/{summary}"


def test_a_training_that_fails_is_announced_with_what_failed(
    receiver: Receiver,
    clients: Clients,
    cloud: Cloud,
    export: Callable[[bytes], LandedExport],
    pictures: dict[str, list[str]],
) -> None:
    landed = export(without(pictures, "labelled/red-0.jpg"))
    with cloud.faults(NODES_FAIL):
        job = train_on_export(clients, landed).job
        await_end(clients, job)
    settle_training(clients, job)
    started, failed = sorted(receiver.heard(job), key=lambda event: event["type"], reverse=True)
    assert (started["type"], failed["type"]) == ("LabelLoop.TrainingStarted", "LabelLoop.TrainingFailed")
    studio_url = failed["data"].pop("studio_url")
    assert studio_url.startswith("https://")
    error = failed["data"].pop("error")
    assert error.startswith(f"training {job} ended as Failed; failed steps: train: ")
    assert failed["data"] == {
        "job": job,
        "export": f"{landed.container}/{landed.path}",
        "data_set": started["data"]["data_set"],
        "status": "Failed",
        "failed_steps": ["train"],
    }
    clients.blobs.get_blob_client(landed.container, landed.path).upload_blob(
        without(pictures, "labelled/red-0.jpg"), overwrite=True
    )
    with cloud.faults(NODES_FAIL):
        again = train_on_export(clients, landed).job
        await_end(clients, again)
    assert types(receiver.heard(again)) == ["TrainingStarted"]
    assert types(receiver.heard(job)) == ["TrainingFailed", "TrainingStarted"]


@pytest.mark.parametrize(("mortal", "times"), [("announce", 1), ("write_report", 2)])
def test_killed_around_the_announcement_a_training_is_announced_when_its_export_comes_again(
    receiver: Receiver,
    clients: Clients,
    cloud: Cloud,
    export: Callable[[bytes], LandedExport],
    pictures: dict[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    mortal: str,
    times: int,
) -> None:
    landed = export(without(pictures, f"labelled/green-{times}.jpg"))
    with monkeypatch.context() as patch, cloud.faults(NODES_FAIL):
        patch.setattr(f"shared.training.starting.{mortal}", die)
        with pytest.raises(ProcessKilled):
            train_on_export(clients, landed)
    with cloud.faults(NODES_FAIL):
        job = train_on_export(clients, landed).job
    first = job.removesuffix("-2")
    events = [event for event in receiver.heard(first) if event["type"] == "LabelLoop.TrainingStarted"]
    assert len(events) == times
    assert len({event["id"] for event in events}) == 1


def without(pictures: dict[str, list[str]], path: str) -> bytes:
    """An export that lacks one picture, so that its content is no other test's."""
    return coco({each: labels for each, labels in pictures.items() if each != path})


# The sending


EVENT = PredictionsReady("b1", "m:1", "predictions", {"csv": "b1.csv"}, 1, 1, 0, {}, "")


@pytest.fixture
def unheard(cloud: Cloud, make: MakeClients, receiver: Receiver) -> Clients:
    """Clients of an app whose topic does not exist."""
    return make(events_topic_endpoint=f"{cloud.stack.config.arm_url}/eventgrid/topics/nowhere/api/events")


def message(attempt: int = 0) -> str:
    event = {
        "id": "1",
        "type": EVENT.type,
        "subject": "b1",
        "time": "2026-11-24T06:00:00.000+00:00",
        "data": dataclasses.asdict(EVENT),
    }
    return json.dumps({"event": event, "attempt": attempt})


def test_an_announcement_that_the_topic_does_not_take_waits_for_the_next_try(unheard: Clients) -> None:
    publish(unheard, message())
    queue = unheard.queue("announcements")
    assert queue.get_queue_properties().approximate_message_count == 1
    assert queue.peek_messages() == [], "it is not to be seen before its time"
    queue.clear_messages()


def test_an_announcement_that_was_tried_for_a_day_is_given_up_with_the_reason(unheard: Clients) -> None:
    assert sum(RETRY_SECONDS) >= 24 * 3600
    with pytest.raises(AzureError, match="nowhere"):
        publish(unheard, message(attempt=len(RETRY_SECONDS)))
    assert unheard.queue("announcements").get_queue_properties().approximate_message_count == 0


def test_an_announcement_is_dropped_when_the_topic_was_taken_out_of_the_settings_meanwhile(
    make: MakeClients, receiver: Receiver
) -> None:
    publish(make(events_topic_endpoint=""), message())
    assert receiver.heard("b1") == []


def test_time_and_id_of_an_announcement_are_those_of_its_first_try(receiver: Receiver) -> None:
    publish(receiver.clients, message(attempt=3))
    (event,) = receiver.heard("b1")
    assert (event["id"], event["data"]) == ("1", dataclasses.asdict(EVENT))
    assert dt.datetime.fromisoformat(event["time"]) == dt.datetime(2026, 11, 24, 6, tzinfo=dt.UTC)
