"""From waiting images to files of predictions, on real storage and with a real model: every image exactly once."""

from __future__ import annotations

import io
import json
from pathlib import Path

from shared import results
from shared.batches import dispatch, progress
from shared.images import Rejection, reject_image
from shared.manifests import part_path
from shared.predictions import read_csv
from tests.contract.storage.batch_app import COLOURS, FORMATS, App, LedgerLater
from tests.support import make_clients, plain_jpeg, promote_bundle

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


def test_fewer_images_than_a_node_is_worth_wait_for_more_and_if_none_come_are_scored_in_the_app(
    storage: str, tmp_path: Path
) -> None:
    costly: dict[str, object] = {"inline_max_images": 1, "batch_min_images": 3}
    app = App(storage, **costly)
    promote_bundle(app.clients, tmp_path)
    for path in ("a.jpg", "b.jpg"):
        app.drop(path)
    app.dispatch()
    assert app.waiting() == {"a.jpg": 0, "b.jpg": 0}
    impatient = make_clients(storage, **FORMATS, **costly, batch_max_wait_seconds=30)
    dispatch(impatient, LedgerLater(impatient.tables))
    assert set(app.rows()) == {"a.jpg", "b.jpg"}


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
