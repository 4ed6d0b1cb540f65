"""What the app says of its own state."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from azure.core.pipeline.transport import HttpTransport

from shared import dead_letters
from shared.clients import Clients
from shared.dead_letters import DEAD_LETTERS
from shared.health import health_report
from shared.last_events import IMAGES, last_events, note_event
from shared.queues import JOB_EVENTS, QUEUES
from tests.support import make_clients, prepare_storage, promote_bundle, without_queues


@pytest.fixture(autouse=True)
def _no_azure(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no identity to ask Azure with: the credential says so at once."""
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")


def test_before_provisioning_the_app_says_what_is_not_there(storage: str) -> None:
    report = health_report(make_clients(storage))
    del report["checks"]["workspace"]
    assert report == {
        "state": "degraded",
        "checks": {
            "blobs": "not provisioned",
            "queues": "not provisioned",
            "tables": "not provisioned",
            "model": "none yet",
            "dead_letters": "not provisioned",
        },
        "queues": {},
        "last_events": {},
    }


def test_with_everything_there_the_app_names_its_model(storage: str, tmp_path: Path) -> None:
    clients = make_clients(storage)
    prepare_storage(clients)
    clients.blobs.create_container(DEAD_LETTERS)
    promote_bundle(clients, tmp_path)
    checks = health_report(clients)["checks"]
    del checks["workspace"]
    assert checks == {"blobs": "ok", "queues": "ok", "tables": "ok", "model": "multilabel:1", "dead_letters": "ok"}


def test_a_workspace_that_can_not_be_asked_makes_the_app_degraded_not_unhealthy(storage: str) -> None:
    report = health_report(make_clients(storage))
    assert report["checks"]["workspace"].startswith("unreachable: ")
    assert report["state"] == "degraded"


def test_the_depth_of_each_queue_is_told(storage: str) -> None:
    clients = make_clients(storage)
    prepare_storage(clients)
    clients.queue(JOB_EVENTS).send_message("{}")
    clients.queues.create_queue("job-events-poison")
    assert health_report(clients)["queues"] == {**dict.fromkeys(QUEUES, 0), JOB_EVENTS: 1, "job-events-poison": 0}


def test_when_an_event_was_last_seen_is_told_once_a_minute(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clients = make_clients(storage)
    prepare_storage(clients)
    note_event(clients, IMAGES)
    first = last_events(clients)[IMAGES]
    assert dt.datetime.now(dt.UTC) - first < dt.timedelta(minutes=1)
    blob = clients.blobs.get_blob_client(clients.settings.work_container, f"last-events/{IMAGES}")
    etag = blob.get_blob_properties().etag
    note_event(clients, IMAGES)
    assert blob.get_blob_properties().etag == etag
    monkeypatch.setattr("shared.last_events.SECONDS", 0.0)
    note_event(clients, IMAGES)
    assert blob.get_blob_properties().etag != etag


def test_an_event_that_can_not_be_noted_does_no_harm_and_is_noted_when_it_can(storage: str) -> None:
    clients = make_clients(storage)
    note_event(clients, IMAGES)
    assert last_events(clients) == {}
    prepare_storage(clients)
    note_event(clients, IMAGES)
    assert list(last_events(clients)) == [IMAGES]


def test_events_that_could_not_be_put_back_are_counted_and_the_app_is_not_unhealthy_for_it(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = make_clients(storage)
    letters = clients.blobs.create_container(DEAD_LETTERS)
    for name in ("topic/S/waits.json", "unreturned/topic/S/a.json", "unreturned/topic/S/b.json"):
        letters.upload_blob(name, b"[]")
    report = health_report(clients)
    assert report["state"] == "degraded"
    assert report["checks"]["dead_letters"].startswith(
        "2 unreturned: see container dead-letters, folder unreturned/; each blob's metadata `reason` says why."
    )
    monkeypatch.setattr(dead_letters, "MAX_COUNTED", 2)
    assert health_report(clients)["checks"]["dead_letters"].startswith("2 or more unreturned")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the SDKs wanted to wait between their tries (s); they do not really wait."""
    durations: list[float] = []
    monkeypatch.setattr(HttpTransport, "sleep", lambda _, duration: durations.append(duration))
    return durations


@pytest.fixture
def ill(storage: str) -> Clients:
    """An account whose queue service does not answer."""
    prepare_storage(make_clients(storage))
    return make_clients(without_queues(storage))


def test_a_service_that_does_not_answer_makes_the_app_unhealthy(ill: Clients, waits: list[float]) -> None:
    report = health_report(ill)
    assert report["state"] == "unhealthy"
    assert report["checks"]["queues"] == "unreachable: ServiceRequestError"
    assert report["checks"]["blobs"] == "ok"


def test_the_report_does_not_wait_for_a_service_to_come_back(ill: Clients, waits: list[float]) -> None:
    health_report(ill)
    assert sum(waits) <= 5, "an HTTP answer must come within 230 s, and four services are asked"
