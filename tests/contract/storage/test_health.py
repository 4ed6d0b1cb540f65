"""What the app says of its own state."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from azure.core.pipeline.transport import RequestsTransport

from shared.health import health_report
from tests.support import make_clients, prepare_storage, promote_bundle


def test_before_provisioning_the_app_is_healthy_and_says_what_is_not_there(storage: str) -> None:
    assert health_report(make_clients(storage)) == {
        "state": "healthy",
        "checks": {
            "blobs": "not provisioned",
            "queues": "not provisioned",
            "tables": "not provisioned",
            "model": "none yet",
        },
    }


def test_with_everything_there_the_app_names_its_model(storage: str, tmp_path: Path) -> None:
    clients = make_clients(storage)
    prepare_storage(clients)
    promote_bundle(clients, tmp_path)
    assert health_report(clients) == {
        "state": "healthy",
        "checks": {"blobs": "ok", "queues": "ok", "tables": "ok", "model": "multilabel:1"},
    }


@pytest.fixture
def closed_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_service_that_does_not_answer_makes_the_app_unhealthy(
    storage: str, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The SDKs would try again for a minute; that they do is not the matter here.
    monkeypatch.setattr(RequestsTransport, "sleep", lambda self, duration: None)
    prepare_storage(make_clients(storage))
    parts = dict(part.split("=", 1) for part in storage.split(";") if part)
    parts["QueueEndpoint"] = f"http://127.0.0.1:{closed_port}/{parts['AccountName']}"
    report = health_report(make_clients(";".join(f"{name}={value}" for name, value in parts.items())))
    assert report["state"] == "unhealthy"
    assert report["checks"]["queues"] == "unreachable: ServiceRequestError"
    assert report["checks"]["blobs"] == "ok"
