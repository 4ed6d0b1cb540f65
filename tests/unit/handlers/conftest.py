"""The app's clients, in place of those of the process's environment."""

from __future__ import annotations

import pytest

import handlers.announcements
import handlers.api
import handlers.batches
import handlers.dead_letters
import handlers.images
import handlers.job_events
import handlers.label_exports
import handlers.provision
from shared.clients import Clients
from tests.support import make_clients, prepare_storage

MODULES = (
    handlers.announcements,
    handlers.api,
    handlers.batches,
    handlers.dead_letters,
    handlers.images,
    handlers.job_events,
    handlers.label_exports,
    handlers.provision,
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
