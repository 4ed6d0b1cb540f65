"""The ledger on a real table service."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable

import pytest

import shared.ledger
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


def arrive(ledger: Ledger, each: Image) -> bool:
    """Note an image that is the current content of its blob."""
    return ledger.record_arrival(each, lambda: each.etag)


def batch(name: str = "b1") -> Batch:
    return Batch(name, "claiming", "inline", "few", "multilabel", "1", "models/m/1", "2026-11-24T00:00:00+00:00")


def waiting_paths(ledger: Ledger) -> list[str]:
    return [each.image.path for each in ledger.waiting(1000).images]


def states(ledger: Ledger, path: str) -> dict[str, str]:
    return {row["etag"]: row["state"] for row in ledger.history("images", path)}


def test_an_arrival_waits_and_the_same_content_again_is_nothing_new(ledger: Ledger) -> None:
    assert arrive(ledger, image("a.jpg"))
    assert not arrive(ledger, image("a.jpg"))
    assert waiting_paths(ledger) == ["a.jpg"]


def test_images_wait_in_the_order_in_which_they_came_and_no_more_than_asked_for_are_told(ledger: Ledger) -> None:
    paths = [f"{number:02}.jpg" for number in range(40)]
    for path in paths:
        arrive(ledger, image(path))
    assert waiting_paths(ledger) == paths
    assert [each.image.path for each in ledger.waiting(7).images] == paths[:7]


def test_waiting_time_is_told_by_the_storage_services_own_clock(ledger: Ledger) -> None:
    assert ledger.waiting(10).longest_wait_seconds == 0
    arrive(ledger, image("a.jpg"))
    waiting = ledger.waiting(10)
    assert -2 < waiting.shortest_wait_seconds <= waiting.longest_wait_seconds < 60


def test_a_newer_content_supersedes_an_older_one_that_waits(ledger: Ledger) -> None:
    arrive(ledger, image("a.jpg", "0x1"))
    assert arrive(ledger, image("a.jpg", "0x2"))
    assert [each.image.etag for each in ledger.waiting(10).images] == ["0x2"]
    assert states(ledger, "a.jpg") == {"0x1": "superseded", "0x2": "waiting"}
    assert not arrive(ledger, image("a.jpg", "0x1")), "an old event that comes late changes nothing"


def test_a_newer_content_leaves_an_older_one_in_its_batch(ledger: Ledger) -> None:
    arrive(ledger, image("a.jpg", "0x1"))
    ledger.claim("b1", ledger.waiting(10).images)
    arrive(ledger, image("a.jpg", "0x2"))
    assert states(ledger, "a.jpg") == {"0x1": "batched", "0x2": "waiting"}


def test_two_claims_of_the_same_images_put_each_into_one_batch(ledger: Ledger) -> None:
    for number in range(60):
        arrive(ledger, image(f"{number}.jpg"))
    waiting = ledger.waiting(60).images
    ledger.claim("b1", waiting[:40])
    ledger.claim("b2", waiting[20:])
    first, second = ({each.path for each in ledger.members(name)} for name in ("b1", "b2"))
    assert len(first) == 40
    assert len(second) == 20
    assert not first & second
    assert waiting_paths(ledger) == []


def test_settling_notes_what_came_of_each_image_and_doing_so_again_changes_nothing(ledger: Ledger) -> None:
    for path in ("good.jpg", "bad.jpg", "again.jpg"):
        arrive(ledger, image(path))
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
    assert states(ledger, "again.jpg") == {"0x1": "waiting"}
    assert waiting_paths(ledger) == [], "it waits for a while before its next batch"


def test_what_waits_for_its_next_batch_comes_later_each_time(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    now = dt.datetime.now(dt.UTC)
    arrive(ledger, image("a.jpg"))
    for attempt, (early, late) in enumerate([(59, 61), (299, 301), (1499, 1501)]):
        (each,) = ledger.waiting(10).images
        assert each.image.attempts == attempt
        ledger.claim(f"b{attempt}", [each])
        with monkeypatch.context() as clock:
            clock.setattr(shared.ledger, "_utc_now", at(now))
            ledger.settle(f"b{attempt}", [Settlement(each.image, "waiting")])
        for seconds, count in ((early, 0), (late, 1)):
            monkeypatch.setattr(shared.ledger, "_utc_now", at(now + dt.timedelta(seconds=seconds)))
            assert len(ledger.waiting(10).images) == count
        now += dt.timedelta(seconds=late)


def at(now: dt.datetime) -> Callable[[float], str]:
    """The ledger's clock, standing still."""

    def utc(delay: float = 0.0) -> str:
        return (now + dt.timedelta(seconds=delay)).isoformat(timespec="microseconds")

    return utc


def test_released_images_wait_again_at_once_and_lose_no_attempt(ledger: Ledger) -> None:
    for path in ("a.jpg", "b.jpg"):
        arrive(ledger, image(path))
    ledger.claim("b1", ledger.waiting(10).images)
    ledger.release("b1")
    ledger.release("b1")
    assert sorted(waiting_paths(ledger)) == ["a.jpg", "b.jpg"]
    assert {each.image.attempts for each in ledger.waiting(10).images} == {0}
    assert list(ledger.members("b1")) == []


def test_a_late_arrival_of_an_older_content_is_noted_but_does_not_wait(ledger: Ledger) -> None:
    arrive(ledger, image("a.jpg", "0x2"))
    assert ledger.record_arrival(image("a.jpg", "0x1"), lambda: "0x2")
    assert states(ledger, "a.jpg") == {"0x1": "superseded", "0x2": "waiting"}
    assert not ledger.record_arrival(image("a.jpg", "0x1"), lambda: "0x2")


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
