"""What is read out of Event Grid's events."""

from __future__ import annotations

from typing import Any

import pytest

from shared.errors import InvalidRequestError
from shared.event_grid import BlobEvent, Event, blob_event, ended_run

CONTAINERS = "/blobServices/default/containers"
COMPLETED = "Microsoft.MachineLearningServices.RunCompleted"


def created(subject: str, **data: Any) -> Event:
    return Event("event-1", "Microsoft.Storage.BlobCreated", subject, data)


def run_event(subject: str, **data: Any) -> Event:
    return Event("event-1", COMPLETED, subject, data)


def test_an_event_is_read_from_its_json_whatever_else_stands_there() -> None:
    document = {"id": "1", "eventType": "T", "subject": "s", "data": {"a": 1}, "deadLetterReason": "TimeToLiveExceeded"}
    assert Event.from_document(document) == Event("1", "T", "s", {"a": 1})


@pytest.mark.parametrize(
    "document",
    [
        None,
        "text",
        [],
        {},
        {"id": 1, "eventType": "T", "subject": "s", "data": {}},
        {"id": "1", "type": "T", "subject": "s", "data": {}},
        {"id": "1", "eventType": "T", "subject": "s", "data": "text"},
        {"id": "1", "eventType": "T", "data": {}},
    ],
)
def test_what_is_no_event_is_refused(document: Any) -> None:
    with pytest.raises(InvalidRequestError, match="is no event; one has the texts id, eventType and subject"):
        Event.from_document(document)


def test_an_event_names_container_path_etag_and_size() -> None:
    event = created(f"{CONTAINERS}/images/blobs/2026/a b/ä.jpg", eTag="0x8D1", contentLength=123)
    assert blob_event(event) == BlobEvent("images", "2026/a b/ä.jpg", "0x8D1", 123)


def test_an_event_without_etag_or_size_is_read_all_the_same() -> None:
    assert blob_event(created(f"{CONTAINERS}/c/blobs/p")) == BlobEvent("c", "p", "", 0)
    assert blob_event(created(f"{CONTAINERS}/c/blobs/p", contentLength=None)).size == 0


@pytest.mark.parametrize("subject", ["", "/blobServices/default/containers/c", f"{CONTAINERS}/c/blobs/", "models/m:1"])
def test_an_event_about_something_else_is_refused(subject: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"event event-1: its subject .* names no blob"):
        blob_event(created(subject))


def test_a_size_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="contentLength is 'large', but must be a number of bytes"):
        blob_event(created(f"{CONTAINERS}/c/blobs/p", contentLength="large"))


@pytest.mark.parametrize(
    ("event", "run"),
    [
        (run_event("experiments/e/runs/r", runId="r"), "r"),
        (run_event("experiments/e/runs/r"), "r"),
        (run_event("experiments/e/runs/r", runStatus="Failed"), "r"),
        (run_event("experiments/e/runs/r", runStatus="Running"), None),
        (run_event("models/m:1", ModelName="m"), None),
    ],
)
def test_the_end_of_a_run_is_told_by_its_id_or_the_subject(event: Event, run: str | None) -> None:
    assert ended_run(event) == run
