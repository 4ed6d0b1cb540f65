"""What is told of batches, on a real table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from shared.batch_queries import count_images, describe_batch, get_batch, list_batches
from shared.clients import Clients
from shared.errors import InvalidRequestError, NotFoundError
from shared.ledger import Batch, Image, Ledger
from tests.contract.storage.unreliable import UnreliableClients, Writes
from tests.support import closed_later, make_settings


class Requests(Writes):
    """Counts the requests, reads included."""

    total = 0

    def send(self, request: object, send: Callable[[], object]) -> object:
        self.total += 1
        return super().send(request, send)


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


def all_pages(clients: Clients, state: str | None, limit: int) -> list[list[str]]:
    pages, cursor = [], None
    while True:
        page = list_batches(clients, state=state, cursor=cursor, limit=limit)
        pages.append([each["id"] for each in page["batches"]])
        cursor = page["next"]
        if cursor is None:
            return pages


def test_batches_are_listed_newest_first_by_pages(clients: Clients, ledger: Ledger, requests: Requests) -> None:
    ids = []
    for number in range(0, 230, 10):
        opened = ledger.open_batch(batch(number))
        ids.append(opened.id)
        if number % 40:
            ledger.close_batch(opened)
    is_open = {batch(number).id for number in range(0, 230, 40)}
    newest_first = sorted(ids, reverse=True)
    assert [each for page in all_pages(clients, None, 5) for each in page] == newest_first
    assert [len(page) for page in all_pages(clients, None, 5)] == [5, 5, 5, 5, 3]
    assert all_pages(clients, None, 23) == [newest_first], "no empty page follows a full one"
    assert [each for page in all_pages(clients, "open", 2) for each in page] == sorted(is_open, reverse=True)
    assert [each for page in all_pages(clients, "done", 4) for each in page] == sorted(set(ids) - is_open, reverse=True)
    before = requests.total
    list_batches(clients, limit=5, cursor=newest_first[10])
    assert requests.total - before == 2


def test_a_batch_is_found_by_its_id(clients: Clients, ledger: Ledger) -> None:
    opened = ledger.open_batch(batch(1, job="score-x", submitted="2026-11-24T12:01:00+00:00"))
    told = get_batch(clients, opened.id)
    assert (told["state"], told["model"], told["job"]) == ("submitted", "m:1", "score-x")
    assert (told["created"], told["submitted"], told["ended"]) == ("2026-11-24T12:00:00Z", "2026-11-24T12:01:00Z", None)
    ledger.close_batch(dataclasses.replace(opened, files=("a.csv",)))
    told = get_batch(clients, opened.id)
    assert (told["state"], told["files"], told["error"], told["rescoring"]) == ("done", ["a.csv"], None, None)
    assert str(told["ended"]).endswith("Z")
    with pytest.raises(NotFoundError, match="no batch nobody"):
        get_batch(clients, "nobody")


def test_a_state_that_there_is_none_of_is_refused(clients: Clients) -> None:
    with pytest.raises(InvalidRequestError, match="state is 'stuck', but must be one of open, done"):
        list_batches(clients, state="stuck")


def test_images_are_counted_by_what_becomes_of_them(
    clients: Clients, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert count_images(clients) == {
        "waiting": 0,
        "waiting_is_more": False,
        "batched": 0,
        "open_batches": 0,
        "days": [],
    }
    for number in range(5):
        path = f"{number}.jpg"
        ledger.record_arrival(Image("images", path, "0x1", "images", path, "0x1"), lambda: "0x1")
    ledger.open_batch(batch(1))
    for number, changes in enumerate([{"predicted": 5, "errors": 1, "retried": 1}, {"predicted": 7}], 2):
        ledger.close_batch(ledger.open_batch(batch(number, **changes)))
    ledger.close_batch(ledger.open_batch(batch(4, predicted=3, errors=1, request="20261124-000000-abc")))
    counts = count_images(clients)
    (day,) = counts.pop("days")
    assert counts == {"waiting": 5, "waiting_is_more": False, "batched": 7, "open_batches": 1}
    assert day == {"day": f"{ledger.now():%Y-%m-%d}"} | {
        "batches": 3,
        "predicted": 12,
        "errors": 1,
        "retried": 1,
        "rescored": 4,
    }
    monkeypatch.setattr("shared.batch_queries.MOST_WAITING", 3)
    counts = count_images(clients)
    assert (counts["waiting"], counts["waiting_is_more"]) == (3, True)


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


def test_the_description_of_a_batch_has_all_that_the_contract_names() -> None:
    named = "id state route reason model created images predicted errors retried job files ended"
    assert set(named.split()) <= describe_batch(batch(1)).keys()
