"""The files of a batch on real storage: sealed, written and summed up, whatever happens meanwhile."""

from __future__ import annotations

import datetime as dt
import io
import json
import threading
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from azure.core.exceptions import ServiceResponseError

from shared.predictions import FORMATS, columns
from shared.results import Collected, collecting, sealed, write_files
from tests.contract.storage.scored import ALL_FORMATS, FAILED, LABELS, Account, image
from tests.contract.storage.unreliable import AnswerLostAt, KilledAt, ProcessKilled, UnreliableClients, Writes
from tests.support import closed_later, make_clients


@pytest.fixture
def fresh(storage: str) -> Account:
    return Account(storage).prepare()


def test_every_format_has_the_rows_of_the_batch_and_a_type(fresh: Account) -> None:
    batch = fresh.batch([image("a.jpg"), image("b.jpg")], {"a.jpg": {}, "b.jpg": FAILED})
    collected = write_files(fresh.clients, batch, job_error="")
    stem = f"2026/11/24/{batch.id}"
    assert collected.paths == (f"{stem}.csv", f"{stem}.jsonl", f"{stem}.parquet")
    blobs = fresh.blobs()
    assert set(blobs) == {*collected.paths, f"{stem}_batch.json"}
    frames = (
        pd.read_csv(io.BytesIO(blobs[f"{stem}.csv"])),
        pd.read_json(io.BytesIO(blobs[f"{stem}.jsonl"]), lines=True),
        pd.read_parquet(io.BytesIO(blobs[f"{stem}.parquet"])),
    )
    for frame in frames:
        assert list(frame.columns) == columns(LABELS)
        assert sorted(frame["image"]) == ["a.jpg", "b.jpg"]
    for path, suffix in zip(collected.paths, FORMATS, strict=True):
        properties = fresh.clients.blobs.get_blob_client("predictions", path).get_blob_properties()
        assert properties.content_settings.content_type == FORMATS[suffix].content_type
        assert properties.size == next(file.bytes for file in collected.files if file.path == path)


def test_the_summary_tells_model_counts_times_errors_and_files(fresh: Account) -> None:
    images = [image(f"{n}.jpg") for n in range(8)] + [image("x.jpg", error="not an image")]
    outcomes: dict[str, dict[str, Any]] = {f"{n}.jpg": {"scored_at": f"2026-11-24T12:0{n}:00Z"} for n in range(5)}
    outcomes["4.jpg"]["labels"] = ("green", "blue")
    outcomes["5.jpg"] = {**FAILED, "error": "the image can't be decoded: 12 bytes are missing"}
    outcomes["6.jpg"] = FAILED
    batch = fresh.batch(images, outcomes)
    collected = write_files(fresh.clients, batch, job_error="")
    told = json.loads(fresh.blobs()[collected.summary])
    collected_at = told["timings"].pop("collected")
    assert abs(dt.datetime.fromisoformat(collected_at) - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)
    examples = {tuple(sorted(error.pop("images"))) for error in told["errors"]}
    assert examples == {("5.jpg", "6.jpg"), ("x.jpg",)}
    assert told["errors"][0].pop("error").startswith("the image can't be decoded: ")
    assert told == {
        "batch": batch.id,
        "model": "multilabel:1",
        "route": "cluster",
        "reason": "three",
        "job": batch.job,
        "request": "",
        "images": 9,
        "states": {"scored": 5, "failed": 2, "rejected": 1, "waiting": 1},
        "labels": {"red": 4, "green": 1, "blue": 1},
        "errors": [{"count": 2}, {"error": "not an image", "count": 1}],
        "timings": {
            "created": "2026-11-24T12:00:00Z",
            "submitted": "2026-11-24T12:01:00Z",
            "first_scored": "2026-11-24T12:00:00Z",
            "last_scored": "2026-11-24T12:05:00Z",
        },
        "files": [
            {"format": file.format, "path": file.path, "bytes": len(fresh.blobs()[file.path]), "rows": 8}
            for file in collected.files
        ],
    }


def test_collecting_again_writes_the_same_bytes_though_the_parts_have_changed(fresh: Account) -> None:
    images = [image(f"{n}.jpg") for n in range(40)]
    batch = fresh.batch(images, {f"{n}.jpg": {} for n in range(30)})
    assert batch.shards > 1
    write_files(fresh.clients, batch, job_error="")
    before = fresh.blobs()
    fresh.write_parts(batch, {each.path: {"labels": ("blue",), "probabilities": (0.0, 0.0, 1.0)} for each in images})
    again = write_files(fresh.clients, batch, job_error="another", last_attempt=True)
    assert fresh.blobs() == before
    assert again.tally.states == {"scored": 30, "waiting": 10}


def test_in_the_last_attempt_every_image_has_a_row(fresh: Account) -> None:
    batch = fresh.batch([image("a.jpg"), image("b.jpg")], {"a.jpg": {}})
    collected = write_files(fresh.clients, batch, job_error="scoring job x ended as Failed", last_attempt=True)
    rows = pd.read_csv(io.BytesIO(fresh.blobs()[collected.paths[0]])).set_index("image")
    assert rows["error"].fillna("").to_dict() == {"a.jpg": "", "b.jpg": "scoring job x ended as Failed"}


def test_a_line_that_can_not_be_read_costs_one_image_alone(fresh: Account) -> None:
    batch = fresh.batch(
        [image("a.jpg"), image("b.jpg")], {"a.jpg": {"probabilities": (float("nan"), 0.0, 0.0)}, "b.jpg": {}}
    )
    collected = write_files(fresh.clients, batch, job_error="")
    assert collected.tally.states == {"scored": 1, "waiting": 1}


@pytest.fixture
def long_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are put in blocks, and nothing is kept in memory, as with a hundred thousand rows."""
    monkeypatch.setattr(collecting, "ONE_PUT_BYTES", 0)
    monkeypatch.setattr(sealed, "KEPT_BYTES", 0)


class Watched(Writes):
    """What is under final names before each write."""

    def __init__(self, account: Account) -> None:
        super().__init__()
        self._account = account
        self.seen: list[dict[str, bytes]] = []

    def write(self, request: Any, send: Callable[[], Any]) -> Any:
        if "/predictions/" in request.url:
            self.seen.append(self._account.blobs())
        return send()


def test_a_long_file_appears_in_one_step_and_the_summary_last(fresh: Account, long_files: None) -> None:
    batch = fresh.batch([image(f"{n}.jpg") for n in range(40)], {f"{n}.jpg": {} for n in range(40)})
    watched = Watched(fresh)
    clients = closed_later(UnreliableClients(fresh.settings, fresh.storage, watched))
    collected = write_files(clients, batch, job_error="")
    final = fresh.blobs()
    assert len(watched.seen) > len(final), "blocks are put before their file is there"
    for seen in watched.seen:
        assert collected.summary not in seen
        assert seen.items() <= final.items()


def test_killed_before_any_of_its_writes_the_next_one_writes_the_same(
    azurite: Callable[[], str], long_files: None
) -> None:
    images = [image(f"{n}.jpg") for n in range(20)]
    outcomes: dict[str, dict[str, Any]] = {f"{n}.jpg": {} for n in range(20)}
    expected: dict[str, bytes] = {}
    for number in range(1, 100):
        account = Account(azurite(), prediction_formats="csv,parquet").prepare()
        batch = account.batch(images, outcomes)
        writes = KilledAt(number)
        doomed = closed_later(UnreliableClients(account.settings, account.storage, writes))
        try:
            write_files(doomed, batch, job_error="")
        except ProcessKilled:
            write_files(account.clients, batch, job_error="")
        files = {path: content for path, content in account.blobs().items() if not path.endswith(".json")}
        assert files == (expected or files), f"killed at write {number}"
        expected = files
        if not writes.killed:
            break
    assert number > 8


@pytest.mark.parametrize("number", range(1, 9))
def test_when_an_answer_is_lost_the_files_are_there_after_it_or_the_next_try(
    fresh: Account, long_files: None, number: int
) -> None:
    batch = fresh.batch([image("a.jpg")], {"a.jpg": {}})
    robbed = closed_later(UnreliableClients(fresh.settings, fresh.storage, AnswerLostAt(number)))
    try:
        write_files(robbed, batch, job_error="")
    except ServiceResponseError:
        write_files(fresh.clients, batch, job_error="")
    assert len(fresh.blobs()) == 4


@pytest.mark.parametrize("one_put_bytes", [0, 10**6])
def test_workers_that_collect_at_once_write_the_same_files(
    fresh: Account, monkeypatch: pytest.MonkeyPatch, one_put_bytes: int
) -> None:
    monkeypatch.setattr(collecting, "ONE_PUT_BYTES", one_put_bytes)
    batch = fresh.batch([image(f"{n}.jpg") for n in range(40)], {f"{n}.jpg": {} for n in range(40)})
    collected: list[Collected] = []
    workers = [make_clients(fresh.storage, **ALL_FORMATS) for _ in range(3)]
    threads = [
        threading.Thread(target=lambda each=each: collected.append(write_files(each, batch, job_error="")))
        for each in workers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(collected) == 3
    assert len({(each.files, each.summary) for each in collected}) == 1
    assert len(pd.read_csv(io.BytesIO(fresh.blobs()[collected[0].paths[0]]))) == 40
