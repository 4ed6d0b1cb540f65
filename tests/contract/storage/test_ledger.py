"""The ledger on a real table service."""

from __future__ import annotations

import dataclasses

import pytest

from shared.ledger import Batch, ConcurrentUpdateError, Image, Ledger, Settlement
from tests.support import make_clients


@pytest.fixture
def ledger(storage: str) -> Ledger:
    ledger = Ledger(make_clients(storage).tables)
    ledger.create()
    ledger.create()
    return ledger


def image(path: str, etag: str = "0x1", **changes: object) -> Image:
    return dataclasses.replace(Image("images", path, etag, "images", path, etag), **changes)  # type: ignore[arg-type]


def batch(name: str = "b1") -> Batch:
    return Batch(name, "claiming", "inline", "few", "multilabel", "1", "models/m/1", "2026-11-24T00:00:00+00:00")


def waiting_paths(ledger: Ledger) -> list[str]:
    return [each.image.path for each in ledger.waiting(1000).images]


def states(ledger: Ledger, path: str) -> dict[str, str]:
    return {row["etag"]: row["state"] for row in ledger.history("images", path)}


def test_an_arrival_waits_and_the_same_content_again_is_nothing_new(ledger: Ledger) -> None:
    assert ledger.record_arrival(image("a.jpg"))
    assert not ledger.record_arrival(image("a.jpg"))
    assert waiting_paths(ledger) == ["a.jpg"]


def test_images_wait_in_the_order_in_which_they_came_and_no_more_than_asked_for_are_told(ledger: Ledger) -> None:
    paths = [f"{number:02}.jpg" for number in range(40)]
    for path in paths:
        ledger.record_arrival(image(path))
    assert waiting_paths(ledger) == paths
    assert [each.image.path for each in ledger.waiting(7).images] == paths[:7]


def test_waiting_time_is_told_by_the_storage_services_own_clock(ledger: Ledger) -> None:
    assert ledger.waiting(10).longest_wait_seconds == 0
    ledger.record_arrival(image("a.jpg"))
    waiting = ledger.waiting(10)
    assert -2 < waiting.shortest_wait_seconds <= waiting.longest_wait_seconds < 60


def test_a_newer_content_supersedes_an_older_one_that_waits(ledger: Ledger) -> None:
    ledger.record_arrival(image("a.jpg", "0x1"))
    assert ledger.record_arrival(image("a.jpg", "0x2"))
    assert [each.image.etag for each in ledger.waiting(10).images] == ["0x2"]
    assert states(ledger, "a.jpg") == {"0x1": "superseded", "0x2": "waiting"}
    assert not ledger.record_arrival(image("a.jpg", "0x1")), "an old event that comes late changes nothing"


def test_a_newer_content_leaves_an_older_one_in_its_batch(ledger: Ledger) -> None:
    ledger.record_arrival(image("a.jpg", "0x1"))
    ledger.claim("b1", ledger.waiting(10).images)
    ledger.record_arrival(image("a.jpg", "0x2"))
    assert states(ledger, "a.jpg") == {"0x1": "batched", "0x2": "waiting"}


def test_two_claims_of_the_same_images_put_each_into_one_batch(ledger: Ledger) -> None:
    for number in range(100):
        ledger.record_arrival(image(f"{number}.jpg"))
    waiting = ledger.waiting(100).images
    ledger.claim("b1", waiting[:60])
    ledger.claim("b2", waiting[30:])
    first, second = ({each.path for each in ledger.members(name)} for name in ("b1", "b2"))
    assert len(first) == 60
    assert len(second) == 40
    assert not first & second
    assert waiting_paths(ledger) == []


def test_settling_notes_what_came_of_each_image_and_doing_so_again_changes_nothing(ledger: Ledger) -> None:
    for path in ("good.jpg", "bad.jpg", "again.jpg"):
        ledger.record_arrival(image(path))
    ledger.claim("b1", ledger.waiting(10).images)
    settlements = [
        Settlement(image("good.jpg"), "scored", file="x.csv"),
        Settlement(image("bad.jpg"), "failed", "damaged", "x.csv"),
        Settlement(image("again.jpg"), "waiting"),
    ]
    ledger.settle("b1", settlements)
    ledger.settle("b1", settlements)
    assert list(ledger.members("b1")) == []
    assert states(ledger, "good.jpg") == {"0x1": "scored"}
    (row,) = ledger.history("images", "bad.jpg")
    assert (row["state"], row["error"], row["file"]) == ("failed", "damaged", "x.csv")
    (again,) = ledger.waiting(10).images
    assert (again.image.path, again.image.attempts) == ("again.jpg", 1)


def test_a_batch_is_opened_once_advanced_by_whoever_read_it_last_and_closed_once(ledger: Ledger) -> None:
    opened = ledger.open_batch(batch())
    with pytest.raises(ConcurrentUpdateError):
        ledger.open_batch(batch())
    advanced = ledger.advance(opened, state="claimed", images=3)
    with pytest.raises(ConcurrentUpdateError):
        ledger.advance(opened, state="submitted")
    assert ledger.open_batches() == [advanced]
    assert ledger.batch("b1") == advanced
    ledger.close_batch(advanced)
    assert ledger.open_batches() == []
    assert ledger.batch("b1") == dataclasses.replace(advanced, state="done")
    with pytest.raises(ConcurrentUpdateError):
        ledger.close_batch(advanced)
    with pytest.raises(ConcurrentUpdateError):
        ledger.advance(advanced, state="claimed")
    assert ledger.batch("nobody") is None
