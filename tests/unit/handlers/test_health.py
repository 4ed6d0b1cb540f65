"""Health over HTTP, and jobs that are asked for wrongly."""

from __future__ import annotations

import pytest
from azure.core.pipeline.transport import HttpTransport

from handlers.routes import health, jobs
from shared.clients import Clients
from tests.support import make_clients, without_queues
from tests.unit.handlers.conftest import use
from tests.unit.handlers.support import body_of, request, user_function

ask = user_function(health.health)


@pytest.fixture(autouse=True)
def _no_azure(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no identity to ask Azure with: the credential says so at once."""
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")


def test_health_is_200_when_storage_answers(clients: Clients) -> None:
    response = ask(request())
    assert response.status_code == 200
    assert body_of(response)["state"] == "degraded", "the workspace can't be asked here"
    assert body_of(response)["queues"]["job-events"] == 0


def test_health_is_503_when_storage_does_not_answer(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HttpTransport, "sleep", lambda *_: None)
    use(make_clients(without_queues(storage)), monkeypatch)
    response = ask(request())
    assert response.status_code == 503
    assert body_of(response)["state"] == "unhealthy"


def test_whoever_asks_often_does_not_make_the_app_ask_storage_as_often(clients: Clients) -> None:
    first = body_of(ask(request()))
    clients.queue("job-events").send_message("{}")
    assert body_of(ask(request())) == first


def test_jobs_of_an_unknown_kind_are_refused_by_the_name_of_the_field(clients: Clients) -> None:
    response = user_function(jobs.list_jobs)(request("GET", "/api/jobs", params={"kind": "baking"}))
    assert response.status_code == 400
    assert body_of(response)["field"] == "kind"
    assert "training" in body_of(response)["detail"]
