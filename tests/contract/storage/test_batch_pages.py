"""What is told of batches, on a real table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from shared.batch_pages import batch_report, batches_page, get_batch
from shared.clients import Clients
from shared.errors import NotFoundError
from shared.ledger import Batch, Ledger
from tests.contract.storage.unreliable import Requests, UnreliableClients, Writes
from tests.support import closed_later, make_settings


@pytest.fixture
def requests() -> Requests:
    return Requests()


@pytest.fixture
def clients(storage: str, requests: Requests) -> Clients:
    clients = closed_later(UnreliableClients(make_settings(), storage, requests))
    Ledger(clients.tables).create()
    return clients


@pytest.fixture
def ledger(clients: Clients) -> Ledger:
    return Ledger(clients.tables)


def batch(number: int, **changes: object) -> Batch:
    name = f"202611{number // 100 + 10}-1200{number % 100:02}-abc{number:04}"
    made = Batch(name, "submitted", "cluster", "many", "m", "1", "models/m/1", "2026-11-24T12:00:00+00:00", images=7)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def all_pages(ledger: Ledger, state: str | None, limit: int) -> list[list[str]]:
    pages, after = [], None
    while True:
        page, after = batches_page(ledger, state, after=after, limit=limit)
        pages.append([each.id for each in page])
        if after is None:
            return pages


def test_batches_are_listed_by_pages_the_open_ones_first_each_newest_first(ledger: Ledger, requests: Requests) -> None:
    ids = []
    for number in range(0, 230, 10):
        opened = ledger.open_batch(batch(number))
        ids.append(opened.id)
        if number % 40:
            ledger.close_batch(opened)
    open_ones = sorted((batch(number).id for number in range(0, 230, 40)), reverse=True)
    done = sorted(set(ids) - set(open_ones), reverse=True)
    assert [each for page in all_pages(ledger, None, 5) for each in page] == open_ones + done
    assert [len(page) for page in all_pages(ledger, None, 5)] == [5, 5, 5, 5, 3]
    assert all_pages(ledger, None, 23) == [open_ones + done], "no empty page follows a full one"
    assert [each for page in all_pages(ledger, "open", 2) for each in page] == open_ones
    assert [each for page in all_pages(ledger, "done", 4) for each in page] == done
    before = requests.total
    _, after = batches_page(ledger, None, limit=10)
    batches_page(ledger, None, after=after, limit=5)
    assert requests.total - before == 3


def test_a_batch_that_ends_while_the_pages_are_read_is_in_one_of_them(ledger: Ledger) -> None:
    first, second, third = (ledger.open_batch(batch(number)) for number in (1, 2, 3))
    page, after = batches_page(ledger, None, limit=1)
    assert [each.id for each in page] == [third.id]
    ledger.close_batch(second)
    assert {each for page in all_pages(ledger, None, 1) for each in page} == {first.id, second.id, third.id}
    page, after = batches_page(ledger, None, after=after, limit=1)
    assert [each.id for each in page] == [first.id]
    page, after = batches_page(ledger, None, after=after, limit=1)
    assert ([each.id for each in page], after) == ([second.id], None)


def test_a_batch_is_found_by_its_id(ledger: Ledger) -> None:
    opened = ledger.open_batch(batch(1, job="score-x"))
    told = batch_report(get_batch(ledger, opened.id))
    assert (told["state"], told["model"], told["job"], told["ended"]) == ("submitted", "m:1", "score-x", None)
    ledger.close_batch(dataclasses.replace(opened, files=("a.csv",)))
    told = batch_report(get_batch(ledger, opened.id))
    assert (told["state"], told["files"], told["error"], told["rescoring"]) == ("done", ["a.csv"], None, None)
    assert told["ended"]
    for unknown in ("nobody", "no/key", "x" * 101):
        with pytest.raises(NotFoundError, match=f"no batch {unknown}"):
            get_batch(ledger, unknown)


def test_two_batches_that_end_at_the_same_time_are_both_counted(storage: str) -> None:
    class OtherEndsFirst(Writes):
        def write(self, request: object, send: Callable[[], object]) -> object:
            if self.count == 3:
                other.close_batch(second)
            return send()

    other = Ledger(closed_later(UnreliableClients(make_settings(), storage, Writes())).tables)
    other.create()
    second = other.open_batch(batch(2, predicted=2))
    ledger = Ledger(closed_later(UnreliableClients(make_settings(), storage, OtherEndsFirst())).tables)
    ledger.close_batch(ledger.advance(ledger.open_batch(batch(1)), predicted=1))
    assert other.open_batches() == []
    (day,) = other.days(10)
    assert (day.batches, day.predicted) == (2, 3)
