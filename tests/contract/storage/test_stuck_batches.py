"""Batches that get stuck, since their model was deleted or their images kill whoever scores them."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from shared.batches import StuckBatchesError, progress
from shared.batches.dispatching import new_batch
from shared.ledger import Batch
from shared.models import ClassifierCache
from tests.contract.storage.batch_app import App, delete_bundle
from tests.contract.storage.unreliable import ProcessKilled
from tests.support import promote_bundle


@pytest.fixture
def fresh_classifiers(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model is in memory."""
    monkeypatch.setattr(progress, "classifiers", ClassifierCache())


def test_a_batch_whose_model_was_deleted_holds_up_no_other_and_its_images_go_to_the_next_model(
    app: App, tmp_path: Path, fresh_classifiers: None, no_pauses: None, retries_at_once: None
) -> None:
    app.drop("stuck.jpg")
    stuck = app.new_batch()
    delete_bundle(app, stuck.model_path)
    promote_bundle(app.clients, tmp_path, version="2")
    app.drop("fine.jpg")
    app.dispatch()
    assert set(app.rows()) == {"fine.jpg"}
    (failed,) = app.ledger.open_batches()
    assert (failed.id, failed.tries) == (stuck.id, 2)
    assert "BlobNotFound" in failed.error
    for _ in range(progress.MAX_TRIES - 2):
        with pytest.raises(StuckBatchesError, match=f"could not be brought forward: {stuck.id}: ResourceNotFoundError"):
            app.dispatch()
    app.dispatch()
    assert app.rows()["stuck.jpg"]["model"] == "multilabel:2"
    assert app.ledger.open_batches() == []
    done = app.ledger.batch(stuck.id)
    assert done is not None
    assert (done.state, done.retried) == ("done", 1)


def test_images_are_claimed_for_no_model_that_was_deleted(
    app: App, tmp_path: Path, fresh_classifiers: None, caplog: pytest.LogCaptureFixture
) -> None:
    app.drop("a.jpg")
    delete_bundle(app, "models/multilabel/train-1")
    app.dispatch()
    assert app.waiting() == {"a.jpg": 0}
    assert "restore it, or promote another version" in caplog.text
    promote_bundle(app.clients, tmp_path, version="2")
    app.dispatch()
    assert app.rows()["a.jpg"]["model"] == "multilabel:2"


def test_a_batch_whose_model_is_deleted_before_its_manifest_is_written_gives_its_images_back(
    app: App, tmp_path: Path
) -> None:
    app.drop("a.jpg")
    batch = new_batch(app.clients, app.ledger)
    assert batch is not None
    delete_bundle(app, batch.model_path)
    app.dispatch()
    assert app.ledger.open_batches() == []
    assert app.waiting() == {"a.jpg": 0}
    promote_bundle(app.clients, tmp_path, version="2")
    app.dispatch()
    assert app.rows()["a.jpg"]["model"] == "multilabel:2"


def test_images_that_kill_whoever_scores_them_end_as_errors(
    app: App, monkeypatch: pytest.MonkeyPatch, no_pauses: None, retries_at_once: None
) -> None:
    def die(*_: Any) -> None:
        raise ProcessKilled

    monkeypatch.setattr(progress, "score_part", die)
    app.drop("a.jpg")
    deaths = 0
    while app.waiting() or app.ledger.open_batches():
        try:
            app.dispatch()
        except ProcessKilled:
            deaths += 1
    assert deaths == app.settings.max_attempts * progress.MAX_TRIES
    assert app.rows()["a.jpg"]["error"] == "the batch could not be scored: its worker was killed each time"


@pytest.mark.parametrize(
    ("tries", "pause"), [(0, 0), (1, 0), (3, 0), (4, 60), (5, 120), (6, 240), (10, 3600), (1000, 3600)]
)
def test_a_batch_that_failed_often_pauses_before_its_next_try(tries: int, pause: int) -> None:
    now = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
    batch = Batch("b1", "claimed", "inline", "", "m", "1", "models/m/1", "2026-11-24T00:00:00+00:00", tries=tries)
    tried = dataclasses.replace(batch, changed=now)
    assert progress.is_due(tried, now + dt.timedelta(seconds=pause))
    assert pause == 0 or not progress.is_due(tried, now + dt.timedelta(seconds=pause - 1))
