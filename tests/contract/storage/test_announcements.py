"""What is announced of images and batches, and when: put on the queue, on real storage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import BlobClient

from shared import results
from shared.batches import dispatch
from shared.clients import Clients
from shared.events import PredictionsReady, announce
from shared.images import Rejection, receive_image, reject_image
from shared.ledger import Ledger
from shared.webhooks.subscriptions import is_wanted
from tests.conftest import ACCOUNT_KEY
from tests.contract.storage.batch_app import App, LedgerLater, break_lease
from tests.contract.storage.unreliable import ProcessKilled, UnreliableClients, Writes
from tests.support import closed_later, drop_image, make_settings, plain_jpeg, promote_bundle

Event = dict[str, Any]
TOPIC = {"events_topic_endpoint": "https://topic.example/api/events"}


def announced(clients: Clients) -> list[Event]:
    """What was announced since this was asked last."""
    messages = clients.queue("announcements").receive_messages(visibility_timeout=3600)
    return [json.loads(each.content)["event"] for each in messages]


@pytest.fixture
def app(storage: str, tmp_path: Path) -> App:
    """A provisioned account with a champion and a topic."""
    app = App(storage, **TOPIC)
    promote_bundle(app.clients, tmp_path)
    return app


def reject(app: App, path: str, etag: str, reason: str = "too large") -> None:
    reject_image(app.clients, app.ledger, Rejection(path, etag, reason))


# Images


def test_a_rejected_image_is_announced_with_its_reason(app: App) -> None:
    etag = drop_image(app.clients, "2026/ä.jpg", b"text")
    receive_image(app.clients, app.ledger, "2026/ä.jpg", b"text")
    (event,) = announced(app.clients)
    assert (event["type"], event["subject"]) == ("LabelLoop.ImageRejected", "2026/ä.jpg")
    assert event["time"].endswith("+00:00")
    error = event["data"].pop("error")
    assert error.startswith("not an image")
    assert event["data"] == {"container": "images", "image": "2026/ä.jpg", "etag": etag}


def test_an_image_that_is_taken_in_is_not_announced(app: App) -> None:
    app.drop("a.jpg")
    assert announced(app.clients) == []


def test_the_same_rejection_again_has_the_same_id_and_the_first_reason(app: App) -> None:
    reject(app, "a.jpg", '"0x1"')
    reject(app, "a.jpg", "0x1", "the image could not be taken in")
    app.dispatch()
    assert app.states("a.jpg") == ["rejected"]
    reject(app, "a.jpg", "0x1")
    events = [event for event in announced(app.clients) if event["type"] == "LabelLoop.ImageRejected"]
    assert len(events) == 3
    assert len({event["id"] for event in events}) == 1
    assert {event["data"]["error"] for event in events} == {"too large"}


def test_another_content_or_another_image_has_another_id(app: App) -> None:
    for path, etag in (("a.jpg", "0x1"), ("a.jpg", "0x2"), ("b.jpg", "0x1")):
        reject(app, path, etag)
    assert len({event["id"] for event in announced(app.clients)}) == 3


@pytest.mark.parametrize("is_deleted", [False, True])
def test_what_was_taken_in_is_not_announced_as_rejected_later(app: App, is_deleted: bool) -> None:
    app.drop("a.jpg")
    (record,) = app.ledger.history("images", "a.jpg")
    reject(app, "a.jpg", record["etag"], "the image could not be taken in")
    if is_deleted:
        app.clients.blobs.get_blob_client("images", "a.jpg").delete_blob()
    app.dispatch()
    assert app.states("a.jpg") == ["failed" if is_deleted else "scored"]
    reject(app, "a.jpg", record["etag"], "the image could not be taken in")
    assert {event["type"] for event in announced(app.clients)} == {"LabelLoop.PredictionsReady"}


class KilledBefore(Writes):
    """The process dies before a write whose URL or body contains `mark`."""

    def __init__(self, mark: str) -> None:
        super().__init__()
        self._mark = mark

    def write(self, request: Any, send: Callable[[], Any]) -> Any:
        if self._mark in f"{request.url} {request.body!r}":
            raise ProcessKilled
        return send()


ANNOUNCING, CLOSING = "/announcements/messages", "done:"


def doomed(app: App, mark: str) -> Clients:
    """Clients of a process that dies before the write that `mark` names."""
    return closed_later(UnreliableClients(app.settings, app.storage, KilledBefore(mark)))


def test_killed_before_its_announcement_a_rejection_is_announced_when_its_event_comes_again(app: App) -> None:
    drop_image(app.clients, "a.jpg", b"text")
    clients = doomed(app, ANNOUNCING)
    with pytest.raises(ProcessKilled):
        receive_image(clients, Ledger(clients.tables), "a.jpg", b"text")
    assert app.waiting() == {"a.jpg": 0}
    assert announced(app.clients) == []
    receive_image(app.clients, app.ledger, "a.jpg", b"text")
    (event,) = announced(app.clients)
    assert event["data"]["error"].startswith("not an image")


class AllRequests(Writes):
    """Counts reads as well."""

    def send(self, request: Any, send: Callable[[], Any]) -> Any:
        self.count += 1
        return send()


@pytest.mark.parametrize(
    ("content", "topic", "requests"), [(plain_jpeg(), TOPIC, 2), (b"text", {}, 2), (b"text", TOPIC, 3)]
)
def test_an_image_costs_no_more_requests_than_before_unless_it_is_announced(
    app: App, content: bytes, topic: dict[str, str], requests: int
) -> None:
    drop_image(app.clients, "a.jpg", content)
    # The time, and whether anybody has subscribed, is asked now and then, however many images come.
    is_wanted(app.clients, "LabelLoop.ImageRejected")
    counted = AllRequests()
    clients = closed_later(UnreliableClients(make_settings(**topic), app.storage, counted))
    receive_image(clients, Ledger(clients.tables), "a.jpg", content)
    assert counted.count == requests


# Batches


def test_the_files_of_a_batch_are_announced_by_format_with_their_counts(app: App) -> None:
    app.drop("a.jpg")
    app.drop("b.jpg")
    app.drop("text.jpg", b"text")
    app.dispatch()
    (rejection, event) = announced(app.clients)
    assert rejection["subject"] == "text.jpg"
    (csv_path,), (jsonl_path,) = app.files(".csv"), app.files(".jsonl")
    batch = Path(csv_path).stem
    assert (event["type"], event["subject"]) == ("LabelLoop.PredictionsReady", batch)
    data = dict(event["data"])
    urls = [*data.pop("urls").values(), data.pop("summary_url")]
    assert data == {
        "batch": batch,
        "model": "multilabel:1",
        "container": "predictions",
        "files": {"csv": csv_path, "jsonl": jsonl_path},
        "images": 3,
        "predicted": 2,
        "errors": 1,
    }
    for url, path in zip(urls, (csv_path, jsonl_path, f"{csv_path[:-4]}_batch.json"), strict=True):
        with BlobClient.from_blob_url(url, credential=ACCOUNT_KEY) as blob:
            assert blob.get_blob_properties().name == path
    app.dispatch()
    assert announced(app.clients) == []


def test_a_batch_without_rows_is_not_announced(app: App) -> None:
    app.drop("a.jpg")
    results.collect(app.clients, app.ledger, app.new_batch(), job_error="scoring job score-x ended as Failed")
    assert app.states("a.jpg") == ["waiting"]
    assert announced(app.clients) == []


def test_killed_before_its_announcement_a_batch_is_announced_by_the_next_dispatcher(app: App) -> None:
    app.drop("a.jpg")
    clients = doomed(app, ANNOUNCING)
    with pytest.raises(ProcessKilled):
        dispatch(clients, LedgerLater(clients.tables))
    assert announced(app.clients) == []
    assert app.states("a.jpg") == ["scored"]
    assert len(app.ledger.open_batches()) == 1
    break_lease(app.clients)
    app.dispatch()
    (event,) = announced(app.clients)
    assert set(event["data"]["files"].values()) == {*app.files(".csv"), *app.files(".jsonl")}
    assert app.ledger.open_batches() == []


def test_killed_after_its_announcement_a_batch_is_announced_again_with_the_same_id(app: App) -> None:
    app.drop("a.jpg")
    clients = doomed(app, CLOSING)
    with pytest.raises(ProcessKilled):
        dispatch(clients, LedgerLater(clients.tables))
    (first,) = announced(app.clients)
    break_lease(app.clients)
    app.dispatch()
    (second,) = announced(app.clients)
    assert (second["id"], second["data"]) == (first["id"], first["data"])


# The queue


EVENT = PredictionsReady("b1", "m:1", "predictions", {"csv": "b1.csv"}, 1, 1, 0, {}, "")


def test_without_a_topic_nothing_is_announced(storage: str, tmp_path: Path) -> None:
    app = App(storage)
    promote_bundle(app.clients, tmp_path)
    app.drop("a.jpg")
    app.drop("text.jpg", b"text")
    app.dispatch()
    assert len(app.rows()) == 2
    assert announced(app.clients) == []


def test_before_the_queue_is_provisioned_an_announcement_makes_it(app: App) -> None:
    app.clients.queues.delete_queue("announcements")
    announce(app.clients, EVENT)
    (event,) = announced(app.clients)
    assert event["subject"] == "b1"
