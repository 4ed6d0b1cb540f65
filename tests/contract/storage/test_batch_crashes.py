"""A dispatcher that dies, or whose writes get lost or come late, at each single one: another one finishes its work."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import Any

import pytest
from azure.core.exceptions import ServiceResponseError

import shared.ledger.rows
from shared import scoring
from shared.batches import dispatch, progress
from shared.batches.dispatching import new_batch
from shared.ledger import Batch, ConcurrentUpdateError, Ledger
from shared.models import ModelStore
from tests.contract.storage.batch_app import COLOURS, FORMATS, App, LedgerLater, break_lease, delete_files
from tests.contract.storage.unreliable import AnswerLostAt, KilledAt, LateAt, ProcessKilled, UnreliableClients
from tests.support import closed_later, make_clients, plain_jpeg

STEPS = 12
"""So many writes a dispatch has at least; fewer would mean that the tests below look at nothing."""


@pytest.fixture
def two_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger of two partitions, for tests that dispatch dozens of times."""
    monkeypatch.setattr(shared.ledger.rows, "SHARDS", "01")


def drop_three(app: App, folder: str) -> set[str]:
    """Let two images and one that is none wait; returns their paths."""
    contents = {"0.jpg": plain_jpeg(COLOURS["red"]), "1.jpg": plain_jpeg(COLOURS["green"]), "2.jpg": b"text"}
    for name, content in contents.items():
        app.drop(f"{folder}/{name}", content)
    return {f"{folder}/{name}" for name in contents}


def assert_all_done(app: App, images: set[str], when: str) -> None:
    """Each image has one row, and nothing is left to do. The files are deleted, for the next round."""
    rows = app.rows()
    assert set(rows) == images, when
    assert sorted(row["labels"] for row in rows.values()) == ["", "green", "red"], when
    lines = [json.loads(line)["image"] for text in app.files(".jsonl").values() for line in text.splitlines()]
    assert sorted(lines) == sorted(images), when
    assert app.waiting() == {}, when
    assert app.ledger.open_batches() == [], when
    for path in images:
        assert app.states(path)[0] in {"scored", "rejected"}, when
    delete_files(app)


def test_killed_before_any_of_its_writes_a_dispatcher_leaves_what_the_next_one_finishes(
    two_shards: None, app: App
) -> None:
    for number in itertools.count(1):
        images = drop_three(app, f"{number}")
        writes = KilledAt(number)
        doomed = closed_later(UnreliableClients(app.settings, app.storage, writes))
        try:
            dispatch(doomed, LedgerLater(doomed.tables))
        except ProcessKilled:
            break_lease(app.clients)
            app.dispatch()
        assert_all_done(app, images, f"killed at write {number}")
        if not writes.killed:
            break
    assert number > STEPS


def test_when_the_answer_to_any_of_its_writes_is_lost_a_dispatcher_or_the_next_one_finishes(
    two_shards: None, app: App
) -> None:
    for number in itertools.count(1):
        images = drop_three(app, f"{number}")
        writes = AnswerLostAt(number)
        robbed = closed_later(UnreliableClients(app.settings, app.storage, writes))
        # What the SDK does not send again, since it may have been done, ends the dispatch; the host logs it.
        with contextlib.suppress(ServiceResponseError):
            dispatch(robbed, LedgerLater(robbed.tables))
        break_lease(app.clients)
        app.dispatch()
        assert_all_done(app, images, f"answer of write {number} lost")
        if writes.count < number:
            break
    assert number > STEPS


def test_when_any_of_its_writes_comes_after_all_is_done_nothing_changes(two_shards: None, app: App) -> None:
    for number in itertools.count(1):
        images = drop_three(app, f"{number}")
        writes = LateAt(number)
        slow = closed_later(UnreliableClients(app.settings, app.storage, writes))
        with contextlib.suppress(ServiceResponseError):
            dispatch(slow, LedgerLater(slow.tables))
        break_lease(app.clients)
        app.dispatch()
        writes.arrive()
        break_lease(app.clients)
        app.dispatch()
        assert_all_done(app, images, f"write {number} came late")
        if writes.count < number:
            break
    assert number > STEPS


def open_for_claims(app: App) -> Batch:
    """A batch that nothing was claimed for yet."""
    champion = ModelStore(app.clients.blobs, "labelloop", "multilabel").champion()
    assert champion is not None
    return app.ledger.open_batch(
        Batch("b1", "claiming", "inline", "", "multilabel", "1", champion.path, "2026-11-24T00:00:00+00:00")
    )


def test_an_image_whose_claim_comes_after_the_manifest_was_written_goes_into_another_batch(app: App) -> None:
    app.drop("a.jpg")
    app.drop("late.jpg")
    waiting = app.ledger.waiting(10).images
    batch = open_for_claims(app)
    app.ledger.claim(batch.id, waiting[:1])
    progress.make_manifest(app.clients, app.ledger, batch)
    app.ledger.claim(batch.id, waiting)
    assert app.waiting() == {"late.jpg": 0}
    app.dispatch()
    assert set(app.rows()) == {"a.jpg", "late.jpg"}
    assert len(app.files(".csv")) == 2


def test_a_dispatcher_that_stalled_before_its_claim_and_dies_after_it_loses_nothing(app: App) -> None:
    app.drop("a.jpg")
    waiting = app.ledger.waiting(10)
    stalled = open_for_claims(app)
    # Another dispatcher finds the batch without images and closes it; only then does the first one go on.
    (seen,) = app.ledger.open_batches()
    progress.resume(app.clients, app.ledger, seen)
    assert app.ledger.open_batches() == []
    app.ledger.claim(stalled.id, waiting.images)
    assert app.waiting() == {"a.jpg": 0}
    app.dispatch()
    assert set(app.rows()) == {"a.jpg"}


def test_a_worker_of_other_settings_that_wakes_up_late_does_not_touch_the_manifest(
    app: App, small_shards: None
) -> None:
    for number in range(6):
        app.drop(f"{number}.jpg")
    batch = new_batch(app.clients, app.ledger)
    assert batch is not None
    assert progress.make_manifest(app.clients, app.ledger, batch).shards == 3
    late = make_clients(app.storage, **FORMATS, compute_max_nodes=1)
    with pytest.raises(ConcurrentUpdateError):
        progress.make_manifest(late, Ledger(late.tables), batch)
    app.dispatch()
    assert len(app.rows()) == 6


def test_what_was_scored_before_its_worker_was_killed_is_not_scored_again(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[str] = []
    outcomes_of = scoring.outcomes_of

    def watched(blobs: Any, classifier: Any, rows: Any) -> Any:
        scored.extend(row.image for row in rows)
        return outcomes_of(blobs, classifier, rows)

    def die(*_: Any, **__: Any) -> None:
        raise ProcessKilled

    monkeypatch.setattr(scoring, "outcomes_of", watched)
    app.drop("a.jpg")
    with monkeypatch.context() as dying:
        dying.setattr(progress, "collect", die)
        with pytest.raises(ProcessKilled):
            app.dispatch()
    app.dispatch()
    assert scored == ["a.jpg"]
    assert set(app.rows()) == {"a.jpg"}
