"""From waiting images to files of predictions, on real storage and with a real model: every image exactly once."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import io
import itertools
import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ServiceResponseError
from azure.storage.blob import BlobLeaseClient

import shared.ledger.images
import shared.ledger.rows
from shared import manifests, results
from shared.batches import LEASE_PATH, StuckBatchesError, dispatch, progress, settle_job
from shared.batches.dispatching import new_batch
from shared.clients import Clients
from shared.images import Rejection, receive_image, reject_image
from shared.ledger import Batch, Ledger, WaitingImages
from shared.models import ClassifierCache, ModelStore
from shared.predictions import read_csv
from shared.scoring import part_path
from tests.contract.storage.unreliable import AnswerLostAt, KilledAt, ProcessKilled, UnreliableClients, Writes
from tests.support import (
    closed_later,
    drop_image,
    make_clients,
    make_settings,
    plain_jpeg,
    prepare_storage,
    promote_bundle,
)

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
FORMATS = {"prediction_formats": "csv,jsonl"}


class LedgerLater(Ledger):
    """The ledger as it will be in a minute: what waits has been quiet for long enough."""

    def waiting(self, limit: int) -> WaitingImages:
        found = super().waiting(limit)
        return WaitingImages(found.images, found.now + dt.timedelta(minutes=1))


class App:
    """One storage account, provisioned, as the app sees it."""

    def __init__(self, storage: str, **settings: object) -> None:
        self.storage = storage
        self.settings = make_settings(**{**FORMATS, **settings})
        self.clients = make_clients(storage, **{**FORMATS, **settings})
        prepare_storage(self.clients)
        self.ledger = LedgerLater(self.clients.tables)

    def drop(self, path: str, content: bytes = plain_jpeg()) -> None:
        """Upload an image and let it be received."""
        drop_image(self.clients, path, content)
        receive_image(self.clients, self.ledger, path, content)

    def dispatch(self) -> None:
        dispatch(self.clients, self.ledger)

    def files(self, suffix: str) -> dict[str, str]:
        container = self.clients.blobs.get_container_client(self.clients.settings.predictions_container)
        names = [name for name in container.list_blob_names() if name.endswith(suffix)]
        return {name: container.download_blob(name).readall().decode() for name in names}

    def rows(self) -> dict[str, dict[str, str]]:
        """The rows of all CSV files by image. No image may have two."""
        found = [row for text in self.files(".csv").values() for row in read_csv(io.StringIO(text, newline=""))]
        twice = [image for image, count in Counter(row["image"] for row in found).items() if count > 1]
        assert twice == []
        return {row["image"]: row for row in found}

    def states(self, path: str) -> list[str]:
        return [row["state"] for row in self.ledger.history(self.clients.settings.images_container, path)]

    def waiting(self) -> dict[str, int]:
        """The images that wait, with their attempts."""
        return {each.image.path: each.image.attempts for each in self.ledger.waiting(1000).images}

    def new_batch(self) -> Batch:
        """What waits, claimed for a batch, with its manifest written."""
        batch = new_batch(self.clients, self.ledger)
        assert batch is not None
        return progress.make_manifest(self.clients, self.ledger, batch)


@pytest.fixture
def app(storage: str, tmp_path: Path) -> App:
    """A provisioned account with a champion."""
    app = App(storage)
    promote_bundle(app.clients, tmp_path)
    return app


@pytest.fixture
def two_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger of two partitions, for tests that dispatch dozens of times."""
    monkeypatch.setattr(shared.ledger.rows, "SHARDS", "01")


# What comes out


def test_images_become_rows_of_one_csv_named_by_the_day_and_the_batch(app: App) -> None:
    for name, colour in COLOURS.items():
        app.drop(f"2026/{name}.jpg", plain_jpeg(colour))
    app.dispatch()
    rows = app.rows()
    assert {image: row["labels"] for image, row in rows.items()} == {f"2026/{name}.jpg": name for name in COLOURS}
    red = rows["2026/red.jpg"]
    assert list(red) == ["image", "labels", "prob_red", "prob_green", "prob_blue", "model", "scored_at", "error"]
    assert (red["model"], red["error"]) == ("multilabel:1", "")
    assert float(red["prob_red"]) > 0.9
    assert float(red["prob_blue"]) < 0.1
    (path,) = app.files(".csv")
    day, batch = path.rsplit("/", 1)
    assert len(day.split("/")) == 3
    assert batch.removesuffix(".csv").startswith(day.replace("/", ""))
    assert app.states("2026/red.jpg") == ["scored"]
    assert app.ledger.open_batches() == []


def test_a_second_dispatch_adds_nothing(app: App) -> None:
    app.drop("a.jpg")
    app.dispatch()
    before = app.files("")
    app.dispatch()
    assert app.files("") == before


def test_json_lines_beside_the_csv_tell_the_same(app: App) -> None:
    app.drop("a.jpg", plain_jpeg(COLOURS["green"]))
    app.drop("no-image.jpg", b"text")
    app.dispatch()
    (text,) = app.files(".jsonl").values()
    told = {row["image"]: row for row in map(json.loads, text.splitlines())}
    assert set(told) == set(app.rows())
    assert told["a.jpg"]["labels"] == ["green"]
    assert told["no-image.jpg"]["error"] == app.rows()["no-image.jpg"]["error"]
    (csv_path,), (jsonl_path,) = app.files(".csv"), app.files(".jsonl")
    batch = app.ledger.batch(Path(csv_path).stem)
    assert batch is not None
    assert batch.files == (csv_path, jsonl_path)
    assert (batch.state, batch.images, batch.predicted, batch.errors, batch.retried) == ("done", 2, 1, 1, 0)


def test_a_rejected_image_has_a_row_with_its_reason_and_no_prediction(app: App) -> None:
    rejection = Rejection("huge.jpg", '"0x9"', "the file has 900.0 MB; at most 100 MB")
    reject_image(app.clients, app.ledger, rejection)
    app.dispatch()
    row = app.rows()["huge.jpg"]
    assert row["error"] == "the file has 900.0 MB; at most 100 MB"
    assert (row["labels"], row["prob_red"]) == ("", "")
    (record,) = app.ledger.history("images", "huge.jpg")
    assert (record["state"], record["error"]) == ("rejected", row["error"])


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two images fill a shard."""
    monkeypatch.setattr(manifests, "MIN_SHARD_IMAGES", 2)


def test_more_images_than_one_shard_holds_are_all_scored(app: App, small_shards: None) -> None:
    for number in range(3):
        app.drop(f"{number}.jpg")
    app.dispatch()
    assert len(app.rows()) == 3
    (path,) = app.files(".csv")
    batch = app.ledger.batch(Path(path).stem)
    assert batch is not None
    assert batch.shards == 2


def test_more_images_than_one_batch_holds_make_several_in_one_dispatch(storage: str, tmp_path: Path) -> None:
    app = App(storage, batch_max_images=2)
    promote_bundle(app.clients, tmp_path)
    for number in range(5):
        app.drop(f"{number}.jpg")
    app.dispatch()
    assert len(app.rows()) == 5
    assert len(app.files(".csv")) == 3


def test_without_a_model_images_wait_and_are_scored_when_there_is_one(storage: str, tmp_path: Path) -> None:
    app = App(storage)
    app.drop("a.jpg")
    app.dispatch()
    assert app.rows() == {}
    assert app.waiting() == {"a.jpg": 0}
    promote_bundle(app.clients, tmp_path)
    app.dispatch()
    assert set(app.rows()) == {"a.jpg"}


def test_a_batch_keeps_the_model_it_was_made_with(app: App, tmp_path: Path) -> None:
    app.drop("a.jpg")
    batch = app.new_batch()
    promote_bundle(app.clients, tmp_path, version="2")
    app.drop("b.jpg")
    app.dispatch()
    assert app.rows()["a.jpg"]["model"] == f"{batch.model_name}:1"
    assert app.rows()["b.jpg"]["model"] == "multilabel:2"


# What becomes of images that change meanwhile


def test_an_image_that_is_replaced_before_it_is_scored_has_a_row_for_each_content(app: App) -> None:
    app.drop("a.jpg", plain_jpeg(COLOURS["red"]))
    app.new_batch()
    app.drop("a.jpg", plain_jpeg(COLOURS["blue"]))
    app.dispatch()
    texts = app.files(".csv").values()
    rows = [row for text in texts for row in read_csv(io.StringIO(text, newline=""))]
    assert sorted((row["labels"], row["error"][:22]) for row in rows) == [("", "the image was replaced"), ("blue", "")]
    assert sorted(app.states("a.jpg")) == ["failed", "scored"]


def test_an_image_that_is_replaced_while_it_waits_is_scored_once_by_its_newer_content(app: App) -> None:
    app.drop("a.jpg", plain_jpeg(COLOURS["red"]))
    app.drop("a.jpg", plain_jpeg(COLOURS["blue"]))
    app.dispatch()
    assert app.rows()["a.jpg"]["labels"] == "blue"


def test_an_image_that_is_deleted_before_it_is_scored_has_a_row_that_says_so(app: App) -> None:
    app.drop("a.jpg")
    app.drop("b.jpg")
    app.clients.blobs.get_blob_client("images", "a.jpg").delete_blob()
    app.dispatch()
    assert app.rows()["a.jpg"]["error"] == "the image was deleted before it was scored"
    assert app.rows()["b.jpg"]["labels"] == "red"


# What a scorer left out


@pytest.fixture
def retries_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes into a later batch need not wait for it."""
    monkeypatch.setattr(shared.ledger.images, "RETRY_SECONDS", 0.0)


def test_an_image_without_result_waits_a_while_for_its_next_batch(app: App) -> None:
    app.drop("a.jpg")
    results.collect(app.clients, app.ledger, app.new_batch(), job_error="scoring job score-x ended as Failed")
    assert app.states("a.jpg") == ["waiting"]
    assert app.waiting() == {}
    assert app.files("") == {}, "a batch without rows has no file"


def test_an_image_without_result_goes_into_later_batches_and_ends_as_an_error_row(
    app: App, retries_at_once: None
) -> None:
    app.drop("a.jpg")
    for attempt in (1, 2):
        failed = "scoring job score-x ended as Failed"
        results.collect(app.clients, app.ledger, app.new_batch(), job_error=failed)
        assert app.waiting() == {"a.jpg": attempt}
    results.collect(app.clients, app.ledger, app.new_batch(), job_error="scoring job score-x ended as Failed")
    assert app.waiting() == {}
    assert app.rows()["a.jpg"]["error"] == "scoring job score-x ended as Failed"
    assert app.states("a.jpg") == ["failed"]
    (path,) = app.files(".csv")
    batch = app.ledger.batch(Path(path).stem)
    assert batch is not None
    assert (batch.predicted, batch.errors, batch.retried) == (0, 1, 0)


def test_a_job_that_completes_without_a_result_is_told_in_the_row(storage: str, tmp_path: Path) -> None:
    app = App(storage, max_attempts=1)
    promote_bundle(app.clients, tmp_path)
    app.drop("a.jpg")
    results.collect(app.clients, app.ledger, app.new_batch(), job_error="")
    assert app.rows()["a.jpg"]["error"] == "the scoring job gave no result for this image"


def test_what_one_shard_lacks_does_not_hold_up_the_others(app: App, small_shards: None, retries_at_once: None) -> None:
    for number in range(3):
        app.drop(f"{number}.jpg")
    batch = app.new_batch()
    progress.score_inline(app.clients, batch)
    app.clients.blobs.get_blob_client("labelloop", part_path(batch.folder, 1)).delete_blob()
    results.collect(app.clients, app.ledger, batch, job_error="")
    assert len(app.rows()) == 2
    assert set(app.waiting().values()) == {1}
    app.dispatch()
    assert len(app.rows()) == 3
    assert {row["error"] for row in app.rows().values()} == {""}


def test_a_rejected_image_needs_no_result_of_the_scorer(app: App) -> None:
    app.drop("no-image.jpg", b"text")
    results.collect(app.clients, app.ledger, app.new_batch(), job_error="scoring job x ended as Failed")
    assert app.rows()["no-image.jpg"]["error"].startswith("not an image")


# Crashes, lost answers, several workers

STEPS = 12
"""So many writes a dispatch has at least; fewer would mean that the tests below look at nothing."""


def break_lease(clients: Clients, path: str = LEASE_PATH) -> None:
    """As time does to the lease of a dead dispatcher."""
    blob = clients.blobs.get_blob_client(clients.settings.work_container, path)
    if blob.exists() and blob.get_blob_properties().lease.state == "leased":
        BlobLeaseClient(blob).break_lease(0)


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


def delete_files(app: App) -> None:
    container = app.clients.blobs.get_container_client(app.settings.predictions_container)
    container.delete_blobs(*container.list_blob_names())


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


def in_parallel(*work: Any) -> None:
    """Run each in a thread of its own, started together; raise what one of them raised."""
    barrier, failures = threading.Barrier(len(work)), []

    def run(each: Any) -> None:
        barrier.wait()
        try:
            each()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(each,)) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_two_dispatchers_at_once_score_every_image_once(app: App) -> None:
    for number in range(12):
        app.drop(f"{number}.jpg")
    other = make_clients(app.storage, **FORMATS)
    in_parallel(app.dispatch, lambda: dispatch(other, LedgerLater(other.tables)))
    app.dispatch()
    assert len(app.rows()) == 12
    assert app.waiting() == {}


def test_claiming_and_scoring_are_safe_even_without_the_lease(storage: str, tmp_path: Path) -> None:
    app = App(storage, batch_max_images=5)
    promote_bundle(app.clients, tmp_path)
    for number in range(12):
        app.drop(f"{number}.jpg")

    def dispatch_without_lease() -> None:
        clients = make_clients(storage, **FORMATS, batch_max_images=5)
        ledger = LedgerLater(clients.tables)
        for batch in ledger.open_batches():
            progress.resume(clients, ledger, batch)
        while (new := new_batch(clients, ledger)) is not None:
            progress.start(clients, ledger, new)

    in_parallel(dispatch_without_lease, dispatch_without_lease, dispatch_without_lease)
    app.dispatch()
    assert len(app.rows()) == 12
    assert app.waiting() == {}
    assert app.ledger.open_batches() == []


def test_while_another_dispatcher_holds_the_lease_nothing_is_done(app: App) -> None:
    app.dispatch()
    app.drop("a.jpg")
    blob = app.clients.blobs.get_blob_client("labelloop", LEASE_PATH)
    lease = blob.acquire_lease(60)
    app.dispatch()
    assert app.waiting() == {"a.jpg": 0}
    lease.release()
    app.dispatch()
    assert set(app.rows()) == {"a.jpg"}


class OvertakenAtFirst(Writes):
    """Another dispatcher takes the lease right before this one makes the lease's blob."""

    def __init__(self, other: Clients) -> None:
        super().__init__()
        self._other = other

    def write(self, request: Any, send: Any) -> Any:
        if self.number == 2:
            blob = self._other.blobs.get_blob_client(self._other.settings.work_container, LEASE_PATH)
            blob.upload_blob(b"", overwrite=False)
            blob.acquire_lease(60)
        return send()


def test_of_two_dispatchers_that_are_the_first_ever_one_steps_back(app: App) -> None:
    app.drop("a.jpg")
    clients = closed_later(UnreliableClients(app.settings, app.storage, OvertakenAtFirst(app.clients)))
    dispatch(clients, LedgerLater(clients.tables))
    assert app.waiting() == {"a.jpg": 0}, "it belongs to the one that has the lease"


class LeaseTakenAtRenewal(Writes):
    """The lease has run out and another dispatcher has it, right before this one renews it."""

    def __init__(self, other: Clients) -> None:
        super().__init__()
        self._other = other

    def write(self, request: Any, send: Any) -> Any:
        if request.headers.get("x-ms-lease-action") == "renew":
            break_lease(self._other)
            self._other.blobs.get_blob_client("labelloop", LEASE_PATH).acquire_lease(60)
        return send()


@pytest.mark.parametrize("open_batch", [True, False])
def test_a_dispatcher_that_took_too_long_leaves_the_rest_to_the_one_that_has_the_lease_now(
    app: App, open_batch: bool
) -> None:
    app.drop("a.jpg")
    if open_batch:
        app.new_batch()
    clients = closed_later(UnreliableClients(app.settings, app.storage, LeaseTakenAtRenewal(app.clients)))
    dispatch(clients, LedgerLater(clients.tables))
    assert app.rows() == {}
    break_lease(app.clients)
    app.dispatch()
    assert set(app.rows()) == {"a.jpg"}


def test_before_provisioning_there_is_nothing_to_dispatch(storage: str) -> None:
    clients = make_clients(storage)
    dispatch(clients, LedgerLater(clients.tables))


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


# Batches that get stuck


def delete_bundle(app: App, path: str) -> None:
    container = app.clients.blobs.get_container_client("labelloop")
    for name in list(container.list_blob_names(name_starts_with=f"{path}/")):
        container.delete_blob(name)


@pytest.fixture
def fresh_classifiers(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model is in memory."""
    monkeypatch.setattr(progress, "classifiers", ClassifierCache())


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches that failed often are tried again at once."""
    monkeypatch.setattr(progress, "PAUSE_SECONDS", 0)


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

    monkeypatch.setattr(progress, "score_shard", die)
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


# A scoring job's end


def test_the_end_of_a_job_that_is_no_batchs_changes_nothing(app: App) -> None:
    app.drop("a.jpg")
    app.dispatch()
    before = app.files("")
    (path,) = app.files(".csv")
    for job in ("train-1", "score-nobody", f"score-{Path(path).stem}"):
        settle_job(app.clients, app.ledger, job)
    assert app.files("") == before


def test_an_open_batch_is_brought_forward_by_its_jobs_end(app: App) -> None:
    app.drop("a.jpg")
    batch = app.new_batch()
    settle_job(app.clients, app.ledger, f"score-{batch.id}")
    assert set(app.rows()) == {"a.jpg"}
