"""What the app says of its own state."""

from __future__ import annotations

from pathlib import Path

import pytest
from azure.core.pipeline.transport import HttpTransport

from shared import dead_letters
from shared.clients import Clients
from shared.dead_letters import DEAD_LETTERS
from shared.health import health_report
from tests.support import make_clients, prepare_storage, promote_bundle, without_queues


def test_before_provisioning_the_app_is_healthy_and_says_what_is_not_there(storage: str) -> None:
    assert health_report(make_clients(storage)) == {
        "state": "healthy",
        "checks": {
            "blobs": "not provisioned",
            "queues": "not provisioned",
            "tables": "not provisioned",
            "model": "none yet",
            "dead_letters": "not provisioned",
        },
    }


def test_with_everything_there_the_app_names_its_model(storage: str, tmp_path: Path) -> None:
    clients = make_clients(storage)
    prepare_storage(clients)
    clients.blobs.create_container(DEAD_LETTERS)
    promote_bundle(clients, tmp_path)
    assert health_report(clients) == {
        "state": "healthy",
        "checks": {"blobs": "ok", "queues": "ok", "tables": "ok", "model": "multilabel:1", "dead_letters": "ok"},
    }


def test_events_that_could_not_be_put_back_are_counted_and_the_app_is_healthy_all_the_same(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = make_clients(storage)
    letters = clients.blobs.create_container(DEAD_LETTERS)
    for name in ("topic/S/waits.json", "unreturned/topic/S/a.json", "unreturned/topic/S/b.json"):
        letters.upload_blob(name, b"[]")
    report = health_report(clients)
    assert report["state"] == "healthy"
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
