"""The ledger's states under any order of events, with several workers that may die at any write."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import shared.ledger.images
import shared.ledger.rows
from shared.ledger import TABLE, Batch, Image, Ledger, Settlement, Waiting
from tests.contract.storage.unreliable import ProcessKilled, UnreliableClients, Writes
from tests.support import closed_later, make_settings

PATHS = ("a.jpg", "b.jpg", "c.jpg")
WORKERS = 3
KEPT = ("waiting", "batched")
workers = st.integers(0, WORKERS - 1)
# It lives, or dies before its n-th write.
deaths = st.one_of(st.none(), st.integers(1, 4))


class Mortal(Writes):
    """A process that dies before the write that is as many writes away as `left` says; None: it lives."""

    def __init__(self) -> None:
        super().__init__()
        self.left: int | None = None

    def write(self, request: Any, send: Callable[[], Any]) -> Any:
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                raise ProcessKilled
        return send()


def image(path: str, etag: str) -> Image:
    return Image("images", path, etag, "images", path, etag)


class LedgerStates(RuleBasedStateMachine):
    """What the machine knows of the world: each path's contents, oldest first, and each batch's fate."""

    def __init__(self, connection: str) -> None:
        super().__init__()
        self.lives = [Mortal() for _ in range(WORKERS)]
        clients = [closed_later(UnreliableClients(make_settings(), connection, life)) for life in self.lives]
        self.ledgers = [Ledger(each.tables) for each in clients]
        self.ledgers[0].create()
        self.table = clients[0].tables.get_table_client(TABLE)
        self.seen: list[tuple[Waiting, ...]] = [()] * WORKERS
        self.dropped: dict[str, list[str]] = defaultdict(list)
        self.noted: set[tuple[str, str]] = set()
        self.open: set[str] = set()
        self.manifests: dict[str, list[Image]] = {}
        self.fates: dict[str, list[Settlement]] = {}
        self.batches = 0

    # What happens outside

    @initialize()
    def begin(self) -> None:
        for path in PATHS:
            self.dropped[path].append("0x1")
            self.ledgers[0].record_arrival(image(path, "0x1"), lambda: "0x1")
            self.noted.add((path, "0x1"))

    @rule(worker=workers, path=st.sampled_from(PATHS), is_new=st.booleans(), data=st.data(), dies=deaths)
    def arrive(self, worker: int, path: str, is_new: bool, data: st.DataObject, dies: int | None) -> None:
        """A path may get a new content; an event comes of this or an earlier one, for the first time or again."""
        etags = self.dropped[path]
        if is_new:
            etags.append(f"0x{len(etags) + 1}")
        etag = data.draw(st.sampled_from(etags[::-1]))
        if self.lived(worker, dies, lambda: self.ledgers[worker].record_arrival(image(path, etag), lambda: etags[-1])):
            self.noted.add((path, etag))

    # What dispatchers do

    @rule(worker=workers, limit=st.integers(1, 6))
    def look(self, worker: int, limit: int) -> None:
        self.seen[worker] = self.ledgers[worker].waiting(limit).images

    @rule(worker=workers, looks=st.sampled_from([True, True, False]), dies=deaths)
    def claim(self, worker: int, looks: bool, dies: int | None) -> None:
        """For a new batch, what was seen, maybe long ago."""
        if looks:
            self.look(worker, 6)
        self.batches += 1
        self.open.add(f"b{self.batches}")
        self.lived(worker, dies, lambda: self.ledgers[worker].claim(f"b{self.batches}", self.seen[worker]))

    @precondition(lambda self: self.batches)
    @rule(worker=workers, data=st.data(), looks=st.booleans())
    def claim_late(self, worker: int, data: st.DataObject, looks: bool) -> None:
        """For a batch that may be under way or done by now."""
        if looks:
            self.look(worker, 6)
        name = f"b{data.draw(st.integers(1, self.batches))}"
        self.lived(worker, None, lambda: self.ledgers[worker].claim(name, self.seen[worker]))

    @precondition(lambda self: self.open)
    @rule(worker=workers, data=st.data(), dies=deaths)
    def bring_forward(self, worker: int, data: st.DataObject, dies: int | None) -> None:
        """To its manifest, or its end. What comes of its images is decided once; to note it may take several tries."""
        name = data.draw(st.sampled_from(sorted(self.open)))
        if name not in self.manifests:
            self.lived(worker, dies, lambda: self.manifest(worker, name))
            return
        states = st.sampled_from(["scored", "failed", "waiting"])
        if name not in self.fates:
            self.fates[name] = [Settlement(each, data.draw(states), file=name) for each in self.manifests[name]]
        if self.lived(worker, dies, lambda: self.ledgers[worker].settle(name, self.fates[name])):
            self.open.discard(name)

    def manifest(self, worker: int, name: str) -> None:
        self.ledgers[worker].fence(name, "")
        self.manifests[name] = list(self.ledgers[worker].members(name))

    @precondition(lambda self: self.open - self.fates.keys())
    @rule(worker=workers, data=st.data(), dies=deaths)
    def give_up(self, worker: int, data: st.DataObject, dies: int | None) -> None:
        name = data.draw(st.sampled_from(sorted(self.open - self.fates.keys())))
        self.fates[name] = []
        self.manifests.setdefault(name, [])

        def release() -> None:
            self.ledgers[worker].fence(name, "")
            self.ledgers[worker].release(name)

        if not self.lived(worker, dies, release):
            self.lived(worker, None, release)
        self.open.discard(name)

    def lived(self, worker: int, dies: int | None, work: Callable[[], Any]) -> bool:
        """Whether a worker lived to the end of its work; if not, another takes its place."""
        self.lives[worker].left = dies
        try:
            work()
        except ProcessKilled:
            return False
        finally:
            self.lives[worker].left = None
        return True

    # What always holds

    @invariant()
    def every_image_has_just_the_marker_that_belongs_to_its_state(self) -> None:
        self.check()

    def check(self) -> dict[tuple[str, str], str]:
        """Returns each noted content's state."""
        states: dict[tuple[str, str], str] = {}
        expected, markers = [], []
        for row in self.table.list_entities():
            kind, _, rest = row["RowKey"].partition(":")
            if kind == "i" and ":" in rest:
                content = (row["path"], row["etag"])
                states[content] = row["state"]
                if row["state"] == "waiting":
                    expected.append(("w", row["marker"], content))
                elif row["state"] == "batched":
                    expected.append(("b", row["batch"], content))
            elif kind == "w":
                markers.append(("w", row["RowKey"], (row["path"], row["etag"])))
            elif kind == "b":
                markers.append(("b", rest.split(":")[0], (row["path"], row["etag"])))
        assert sorted(markers) == sorted(expected)
        assert self.noted <= states.keys()
        ends = Counter(
            (each.image.path, each.image.etag) for fate in self.fates.values() for each in fate if _ends(each)
        )
        assert all(count == 1 for count in ends.values()), "a content has two rows"
        return states

    def teardown(self) -> None:
        """All events have come, all batches come to their end: each content was scored once, or a newer one was."""
        for path, etags in self.dropped.items():
            for etag in etags:
                self.ledgers[0].record_arrival(image(path, etag), etags[-1:].pop)
        self.finish_batches()
        while found := self.ledgers[0].waiting(100).images:
            assert self.batches < 1000, "what was claimed still waits"
            self.batches += 1
            self.open.add(f"b{self.batches}")
            self.ledgers[0].claim(f"b{self.batches}", found)
            self.finish_batches()
        states = self.check()
        assert set(states) == {(path, etag) for path, etags in self.dropped.items() for etag in etags}
        assert set(states.values()) <= {"scored", "failed", "superseded"}
        for path, etags in self.dropped.items():
            assert states[path, etags[-1]] != "superseded"

    def finish_batches(self) -> None:
        for name in sorted(self.open):
            if name not in self.manifests:
                self.manifest(0, name)
            fate = self.fates.setdefault(name, [Settlement(each, "scored") for each in self.manifests[name]])
            self.ledgers[0].settle(name, fate)
        self.open.clear()


def _ends(settlement: Settlement) -> bool:
    return settlement.state not in KEPT


@pytest.fixture
def two_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared.ledger.rows, "SHARDS", "01")
    monkeypatch.setattr(shared.ledger.images, "RETRY_SECONDS", 0.0)
    # Several transactions a shard.
    monkeypatch.setattr(shared.ledger.images, "IMAGES_PER_TRANSACTION", 2)


def test_no_order_of_events_and_deaths_loses_an_image_or_scores_it_twice(
    azurite: Callable[[], str], two_shards: None
) -> None:
    class OnFreshAccounts(LedgerStates):
        def __init__(self) -> None:
            super().__init__(azurite())

    # To make a failure's example smaller would take many minutes.
    phases = (Phase.explicit, Phase.generate)
    run_state_machine_as_test(
        OnFreshAccounts, settings=settings(max_examples=10, stateful_step_count=25, phases=phases)
    )


def test_two_contents_of_a_path_that_arrive_at_the_same_time_do_not_both_wait(storage: str) -> None:
    """Each sees none other before it writes."""
    clients = closed_later(UnreliableClients(make_settings(), storage, Writes()))
    ledger = Ledger(clients.tables)
    ledger.create()

    def other_arrives() -> str:
        # It is asked when a first content is known; meanwhile a third arrives.
        ledger.record_arrival(image("a.jpg", "0x3"), lambda: "0x3")
        return "0x3"

    ledger.record_arrival(image("a.jpg", "0x1"), lambda: "0x1")
    assert ledger.record_arrival(image("a.jpg", "0x2"), other_arrives)
    states = {row["etag"]: row["state"] for row in ledger.history("images", "a.jpg")}
    assert states == {"0x1": "superseded", "0x2": "superseded", "0x3": "waiting"}


def test_a_batch_is_closed_by_whoever_read_it_last(storage: str) -> None:
    clients = closed_later(UnreliableClients(make_settings(), storage, Writes()))
    ledger = Ledger(clients.tables)
    ledger.create()
    opened = ledger.open_batch(Batch("b1", "claimed", "inline", "", "m", "1", "m/1", "2026-11-24T00:00:00+00:00"))
    advanced = ledger.advance(opened, predicted=3)
    with pytest.raises(shared.ledger.ConcurrentUpdateError):
        ledger.close_batch(opened)
    ledger.close_batch(advanced)
    assert ledger.open_batches() == []
