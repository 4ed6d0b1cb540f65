"""The app's clients, in place of those of the process's environment."""

from __future__ import annotations

import pytest

import handlers.announcements
import handlers.batches
import handlers.dead_letters
import handlers.http.running
import handlers.images
import handlers.job_events
import handlers.label_exports
import handlers.provision
import handlers.routes.batches
import handlers.routes.corrections
import handlers.routes.exports
import handlers.routes.health
import handlers.routes.images
import handlers.routes.jobs
import handlers.routes.models
import handlers.routes.overview
import handlers.routes.predict
import handlers.routes.predictions
import handlers.routes.provisioning
import handlers.routes.review
import handlers.routes.subscriptions
import handlers.routes.thumbnails
import handlers.webhooks
from shared.clients import Clients
from tests.support import make_clients, prepare_storage

MODULES = (
    handlers.announcements,
    handlers.batches,
    handlers.dead_letters,
    handlers.http.running,
    handlers.images,
    handlers.job_events,
    handlers.label_exports,
    handlers.provision,
    handlers.routes.batches,
    handlers.routes.corrections,
    handlers.routes.exports,
    handlers.routes.health,
    handlers.routes.images,
    handlers.routes.jobs,
    handlers.routes.models,
    handlers.routes.overview,
    handlers.routes.predict,
    handlers.routes.predictions,
    handlers.routes.provisioning,
    handlers.routes.review,
    handlers.routes.subscriptions,
    handlers.routes.thumbnails,
    handlers.webhooks,
)


def use(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all handlers use these clients."""
    for module in MODULES:
        monkeypatch.setattr(module, "clients", lambda: clients)


@pytest.fixture
def clients(storage: str, monkeypatch: pytest.MonkeyPatch) -> Clients:
    """Clients of a provisioned account, which the handlers use. There is no Azure ML behind them."""
    clients = make_clients(storage, batch_quiet_seconds=0, batch_max_images=1, export_quiet_seconds=0)
    prepare_storage(clients)
    use(clients, monkeypatch)
    return clients
