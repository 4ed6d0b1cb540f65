"""The ledger on a real table service."""

from __future__ import annotations

import dataclasses
import datetime as dt

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


class LedgerAt(Ledger):
    """A ledger whose clock is set by hand."""

    time = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)

    def now(self) -> dt.datetime:
        return self.time


def test_what_waits_for_its_next_batch_comes_later_each_time(storage: str) -> None:
    ledger = LedgerAt(make_clients(storage).tables)
    ledger.create()
    arrive(ledger, image("a.jpg"))
    for attempt, delay in enumerate([60, 300, 1500]):
        (each,) = ledger.waiting(10).images
        assert each.image.attempts == attempt
        ledger.claim(f"b{attempt}", [each])
        ledger.settle(f"b{attempt}", [Settlement(each.image, "waiting")])
        ledger.time += dt.timedelta(seconds=delay - 5)
        assert ledger.waiting(10).images == ()
        ledger.time += dt.timedelta(seconds=5)
        assert len(ledger.waiting(10).images) == 1


def test_an_image_that_a_worker_with_an_earlier_idea_of_the_time_looks_for_is_found_all_the_same(storage: str) -> None:
    ledger, behind = (LedgerAt(make_clients(storage).tables) for _ in range(2))
    ledger.create()
    behind.time = ledger.time - dt.timedelta(seconds=1.9)
    arrive(ledger, image("a.jpg"))
    assert len(behind.waiting(10).images) == 1


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
    done = ledger.batch("b1")
    assert done is not None
    assert done == dataclasses.replace(advanced, state="done", ended=done.ended)
    assert dt.datetime.fromisoformat(done.ended) <= ledger.now()
    with pytest.raises(ConcurrentUpdateError):
        ledger.close_batch(advanced)
    with pytest.raises(ConcurrentUpdateError):
        ledger.advance(advanced, state="claimed")
    assert ledger.batch("nobody") is None


def test_an_older_content_that_arrives_late_while_a_newer_one_is_in_a_batch_waits_for_nothing(ledger: Ledger) -> None:
    arrive(ledger, image("a.jpg", "0x2"))
    ledger.claim("b1", ledger.waiting(10).images)
    assert ledger.record_arrival(image("a.jpg", "0x1"), lambda: "0x2")
    assert states(ledger, "a.jpg") == {"0x1": "superseded", "0x2": "batched"}


def test_a_content_whose_blob_is_gone_waits_for_the_row_that_says_so(ledger: Ledger) -> None:
    arrive(ledger, image("a.jpg", "0x1"))
    assert ledger.record_arrival(image("a.jpg", "0x2"), lambda: None)
    assert states(ledger, "a.jpg") == {"0x1": "superseded", "0x2": "waiting"}


def test_a_claim_that_comes_after_the_batch_was_fenced_leaves_the_images_waiting(ledger: Ledger) -> None:
    for number in range(50):
        arrive(ledger, image(f"{number}.jpg"))
    waiting = ledger.waiting(50).images
    ledger.claim("b1", waiting[:20])
    ledger.fence("b1", "")
    ledger.claim("b1", waiting)
    assert len(list(ledger.members("b1"))) == 20
    assert len(waiting_paths(ledger)) == 30


def test_one_content_is_told_as_it_was_recorded(ledger: Ledger) -> None:
    arrive(ledger, image("a.jpg", error="no image"))
    record = ledger.record(image("a.jpg"))
    assert record is not None
    assert (record["state"], record["error"], record["path"]) == ("waiting", "no image", "a.jpg")
    assert ledger.record(image("a.jpg", "0x9")) is None


def test_to_note_that_images_were_scored_again_changes_no_state(ledger: Ledger) -> None:
    arrive(ledger, image("a.jpg"))
    ledger.note_rescored(
        "r1", [Settlement(image("nobody.jpg"), "scored"), Settlement(image("a.jpg"), "scored", file="x")]
    )
    (row,) = ledger.history("images", "a.jpg")
    assert (row["state"], row["rescored_batch"], row["rescored_file"]) == ("waiting", "r1", "x")
    assert waiting_paths(ledger) == ["a.jpg"]
