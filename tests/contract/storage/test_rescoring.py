"""Scoring again what lies below a prefix, on real storage and with a real model."""

from __future__ import annotations

import csv
import datetime as dt
import io
import itertools
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import shared.ledger.rows
from shared.batches import dispatch, progress
from shared.errors import ConflictError, InvalidRequestError, NoModelError, NotFoundError
from shared.locks import lock
from shared.manifests import part_path
from shared.predictions import read_csv
from shared.queues import RESCORE
from shared.rescoring import look_after_rescorings, plan_rescorings, request_rescoring, rescoring_report
from shared.rescoring.planning import LOCK_PATH, MAX_OPEN_BATCHES, STALLED_SECONDS, STEP_SECONDS
from tests.contract.storage.batch_app import App, LedgerLater, break_lease, delete_bundle, delete_files
from tests.contract.storage.unreliable import KilledAt, ProcessKilled, UnreliableClients
from tests.support import closed_later, drop_image, make_clients, plain_jpeg, promote_bundle


class RescoringApp(App):
    """An app with a champion, whose queue messages the tests deliver."""

    def ask(self, prefix: str = "", model: str = "champion") -> dict[str, Any]:
        return request_rescoring(self.clients, self.ledger, prefix, model)

    def deliver(self) -> int:
        """Let the messages on the queue be worked on; returns how many there were."""
        queue, count = self.clients.queue(RESCORE), 0
        for message in queue.receive_messages():
            plan_rescorings(self.clients, self.ledger)
            queue.delete_message(message)
            count += 1
        return count

    def finish(self) -> None:
        """Deliver and dispatch until nothing is left to do."""
        while self.deliver() or self.ledger.open_batches():
            self.dispatch()

    def report(self, asked: dict[str, Any]) -> dict[str, Any]:
        return rescoring_report(self.clients, asked["id"])

    def rescored(self, asked: dict[str, Any]) -> Counter[str]:
        """How many rows each image has in a re-scoring's files."""
        texts = [text for path, text in self.files(".csv").items() if Path(path).stem.startswith(asked["id"])]
        return Counter(row["image"] for text in texts for row in csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture
def app(storage: str, tmp_path: Path) -> RescoringApp:
    app = RescoringApp(storage, prediction_formats="csv")
    promote_bundle(app.clients, tmp_path)
    return app


def score_and_promote(app: RescoringApp, folder: Path, *paths: str) -> None:
    """Score images by version 1, and make version 2 the champion."""
    for path in paths:
        app.drop(path)
    app.dispatch()
    promote_bundle(app.clients, folder, version="2")


def test_images_below_a_prefix_are_scored_again_into_files_of_their_own(app: RescoringApp, tmp_path: Path) -> None:
    score_and_promote(app, tmp_path, "2026/a.jpg", "2026/b.jpg", "2027/c.jpg")
    asked = app.ask("2026/")
    assert (asked["state"], asked["model"], asked["batches"]) == ("planning", "multilabel:2", [])
    app.finish()
    assert app.rescored(asked) == {"2026/a.jpg": 1, "2026/b.jpg": 1}
    report = app.report(asked)
    assert report == {**asked, "state": "done", "images": 2, "predicted": 2, "batches": [f"{asked['id']}-00000"]}
    batch = app.ledger.batch(report["batches"][0])
    assert batch is not None
    assert (batch.request, batch.reason[:23]) == (asked["id"], "re-scoring of 2026/: 2 ")
    (row,) = app.ledger.history("images", "2026/a.jpg")
    assert (row["state"], row["rescored_batch"], row["rescored_file"]) == ("scored", batch.id, batch.files[0])
    assert row["batch"] != batch.id
    assert "rescored_batch" not in app.ledger.history("images", "2027/c.jpg")[0]


def test_an_image_has_one_row_by_each_model_however_often_one_asks(app: RescoringApp, tmp_path: Path) -> None:
    app.drop("text.jpg", b"no image")
    score_and_promote(app, tmp_path, "a.jpg")
    asked = app.ask()
    app.finish()
    assert app.rescored(asked) == {"a.jpg": 1, "text.jpg": 1}
    for version in ("1", "2"):
        promote_bundle(app.clients, tmp_path, version=version)
        again = app.ask()
        app.finish()
        assert app.rescored(again) == {}
        report = app.report(again)
        assert (report["state"], report["already_scored"], report["batches"]) == ("done", 2, [])


def test_what_waits_for_the_champion_is_scored_as_if_nobody_had_asked(app: RescoringApp) -> None:
    app.drop("a.jpg")
    batch = app.new_batch()
    app.drop("b.jpg")
    asked = app.ask()
    app.deliver()
    assert app.waiting() == {"b.jpg": 0}
    assert [each.id for each in app.ledger.open_batches()] == [batch.id]
    app.finish()
    assert app.rescored(asked) == {}
    assert app.report(asked)["already_scored"] == 2
    assert (app.states("a.jpg"), app.states("b.jpg")) == (["scored"], ["scored"])


def test_what_is_in_a_batch_of_another_model_is_scored_by_both(app: RescoringApp, tmp_path: Path) -> None:
    app.drop("a.jpg")
    app.new_batch()
    promote_bundle(app.clients, tmp_path, version="2")
    asked = app.ask()
    app.finish()
    assert app.rescored(asked) == {"a.jpg": 1}
    assert len(app.files(".csv")) == 2


def test_images_that_the_app_has_never_heard_of_are_received_first(app: RescoringApp) -> None:
    drop_image(app.clients, "old.jpg", plain_jpeg())
    drop_image(app.clients, "text.jpg", b"no image")
    asked = app.ask()
    app.deliver()
    assert set(app.waiting()) == {"old.jpg", "text.jpg"}
    app.finish()
    app.dispatch()
    assert set(app.rows()) == {"old.jpg", "text.jpg"}
    assert app.report(asked)["already_scored"] == 2
    assert (app.states("old.jpg"), app.states("text.jpg")) == (["scored"], ["rejected"])


def test_of_two_that_overlap_the_later_one_leaves_out_what_the_earlier_one_scores(
    app: RescoringApp, tmp_path: Path
) -> None:
    score_and_promote(app, tmp_path, "a/1.jpg", "b/1.jpg")
    asked = [app.ask(prefix) for prefix in ("a/", "", "b/")]
    app.deliver()
    assert app.ledger.open_batches(), "they are planned before any of them is scored"
    app.finish()
    assert sum(map(app.rescored, asked), Counter()) == {"a/1.jpg": 1, "b/1.jpg": 1}
    assert app.ledger.open_rescorings() == []


def test_few_batches_are_open_at_once_and_each_image_is_in_one(storage: str, tmp_path: Path) -> None:
    app = RescoringApp(storage, prediction_formats="csv", batch_max_images=2)
    promote_bundle(app.clients, tmp_path)
    images = {f"{number}.jpg" for number in range(7)}
    score_and_promote(app, tmp_path, *images)
    asked = app.ask()
    for _ in range(2):
        app.deliver()
        assert len(app.ledger.open_batches()) == MAX_OPEN_BATCHES
        app.dispatch()
    app.finish()
    assert app.rescored(asked) == dict.fromkeys(images, 1)
    assert app.report(asked)["batches"] == [f"{asked['id']}-{number:05}" for number in range(4)]


def test_the_same_request_is_the_same_rescoring_while_it_is_under_way(app: RescoringApp, tmp_path: Path) -> None:
    app.drop("a.jpg")
    asked = app.ask("")
    assert app.ask("")["id"] == asked["id"]
    assert app.ask("a")["id"] != asked["id"]
    promote_bundle(app.clients, tmp_path, version="2")
    assert app.ask("")["id"] != asked["id"]
    app.finish()
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{10}", asked["id"])
    assert app.report(asked)["state"] == "done"
    app.ask("")
    assert [each.state for each in app.ledger.open_rescorings()] == ["planning"], "it is done, so this is another"


def test_where_no_image_lies_a_rescoring_is_done_at_once(app: RescoringApp) -> None:
    asked = app.ask("nothing/")
    app.deliver()
    assert app.report(asked)["state"] == "done"
    assert app.report(asked)["batches"] == []


def test_what_can_not_be_asked_for_is_refused(app: RescoringApp, storage: str) -> None:
    with pytest.raises(InvalidRequestError, match="the prefix has 2000 characters"):
        app.ask("x" * 2000)
    with pytest.raises(NotFoundError, match="no re-scoring nobody"):
        app.report({"id": "nobody"})
    delete_bundle(app, "models/multilabel/train-1")
    with pytest.raises(ConflictError, match="version 1 of model multilabel has no bundle"):
        app.ask()
    app.clients.blobs.get_blob_client("labelloop", "models/multilabel/champion.json").delete_blob()
    with pytest.raises(NoModelError):
        app.ask()


def test_what_a_batch_left_out_goes_into_the_next_attempt_and_ends_as_an_error_that_one_may_ask_for_again(
    app: RescoringApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.manifests.MIN_SHARD_IMAGES", 1)
    score_and_promote(app, tmp_path, "a.jpg", "b.jpg")
    score = progress.score_inline

    def score_and_lose_a_part(clients: Any, batch: Any) -> None:
        score(clients, batch)
        clients.blobs.get_blob_client("labelloop", part_path(batch.folder, 0)).delete_blob()

    monkeypatch.setattr(progress, "score_inline", score_and_lose_a_part)
    asked = app.ask()
    app.finish()
    assert app.rescored(asked) == {"a.jpg": 1, "b.jpg": 1}
    first = f"{asked['id']}-00000"
    assert app.report(asked)["batches"] == [first, f"{first}-2", f"{first}-3"]
    assert (app.report(asked)["predicted"], app.report(asked)["errors"]) == (1, 1)
    assert app.states("a.jpg") == ["scored"]
    rows = [row for text in app.files(".csv").values() for row in read_csv(io.StringIO(text, newline=""))]
    (failed,) = (row["image"] for row in rows if row["error"])
    monkeypatch.setattr(progress, "score_inline", score)
    again = app.ask()
    app.finish()
    assert app.rescored(again) == {failed: 1}
    assert (app.report(again)["predicted"], app.report(again)["already_scored"]) == (1, 1)


def test_when_its_model_is_deleted_a_rescoring_says_so_and_ends(app: RescoringApp) -> None:
    app.drop("a.jpg")
    asked = app.ask()
    delete_bundle(app, "models/multilabel/train-1")
    app.deliver()
    report = app.report(asked)
    assert report["state"] == "done"
    assert report["error"] == "model multilabel:1 was deleted before all images were planned"


def test_a_step_that_takes_too_long_leaves_the_rest_to_another_message(app: RescoringApp, tmp_path: Path) -> None:
    score_and_promote(app, tmp_path, "a.jpg")
    asked = app.ask()
    times = itertools.chain([0.0], itertools.repeat(STEP_SECONDS))
    plan_rescorings(app.clients, app.ledger, now=lambda: next(times))
    assert app.ledger.open_batches() == []
    assert app.deliver() == 2, "the request's own, and the one of the step"
    app.finish()
    assert app.rescored(asked) == {"a.jpg": 1}


def test_one_worker_plans_at_a_time(app: RescoringApp, tmp_path: Path) -> None:
    score_and_promote(app, tmp_path, "a.jpg")
    app.ask()
    with lock(app.clients, LOCK_PATH):
        app.deliver()
    assert app.ledger.open_batches() == []


def test_a_rescoring_whose_message_was_lost_goes_on_after_a_while(app: RescoringApp, tmp_path: Path) -> None:
    score_and_promote(app, tmp_path, "a.jpg")
    app.ask()
    queue = app.clients.queue(RESCORE)
    queue.clear_messages()

    class Later(LedgerLater):
        def now(self) -> dt.datetime:
            return super().now() + dt.timedelta(seconds=STALLED_SECONDS + 5)

    look_after_rescorings(app.clients, app.ledger)
    assert list(queue.receive_messages()) == []
    look_after_rescorings(app.clients, Later(app.clients.tables))
    assert app.deliver() == 1
    look_after_rescorings(app.clients, Later(app.clients.tables))
    assert list(queue.receive_messages()) == [], "it waits for its batch"
    app.dispatch()
    queue.clear_messages()
    look_after_rescorings(app.clients, Later(app.clients.tables))
    assert app.deliver() == 1
    assert app.ledger.open_rescorings() == []


def test_before_provisioning_there_is_nothing_to_look_after(storage: str) -> None:
    clients = make_clients(storage)
    look_after_rescorings(clients, LedgerLater(clients.tables))


STEPS, MOST_STEPS = 10, 50
"""So many writes a re-scoring has at least, and at most."""


def test_killed_before_any_of_its_writes_a_rescoring_is_finished_by_others(
    storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared.ledger.rows, "SHARDS", "01")
    app = RescoringApp(storage, prediction_formats="csv", inline_max_images=MOST_STEPS)
    promote_bundle(app.clients, tmp_path)
    score_and_promote(app, tmp_path, *(f"{number}/a.jpg" for number in range(1, MOST_STEPS)))
    delete_files(app)
    for number in range(1, MOST_STEPS):
        path = f"{number}/a.jpg"
        asked = app.ask(f"{number}/")
        writes = KilledAt(number)
        doomed = closed_later(UnreliableClients(app.settings, app.storage, writes))
        try:
            plan_rescorings(doomed, LedgerLater(doomed.tables))
            dispatch(doomed, LedgerLater(doomed.tables))
        except ProcessKilled:
            break_lease(app.clients)
            break_lease(app.clients, LOCK_PATH)
        # As the tick does when the message was lost.
        app.clients.queue(RESCORE).send_message("{}")
        app.finish()
        when = f"killed at write {number}"
        assert app.rescored(asked) == {path: 1}, when
        assert app.report(asked)["state"] == "done", when
        assert app.states(path) == ["scored"], when
        assert app.waiting() == {}, when
        delete_files(app)
        if not writes.killed:
            break
    assert STEPS < number < MOST_STEPS - 1
