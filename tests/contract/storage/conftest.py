"""An account with a champion, and what makes batches small and quick."""

from __future__ import annotations

from pathlib import Path

import pytest

import shared.ledger.images
from shared import manifests
from shared.batches import progress
from tests.contract.storage.batch_app import App
from tests.support import promote_bundle


@pytest.fixture
def app(storage: str, tmp_path: Path) -> App:
    """A provisioned account with a champion."""
    app = App(storage)
    promote_bundle(app.clients, tmp_path)
    return app


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two images fill a shard."""
    monkeypatch.setattr(manifests, "MIN_SHARD_IMAGES", 2)


@pytest.fixture
def retries_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes into a later batch need not wait for it."""
    monkeypatch.setattr(shared.ledger.images, "RETRY_SECONDS", 0.0)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches that failed often are tried again at once."""
    monkeypatch.setattr(progress, "PAUSE_SECONDS", 0)
