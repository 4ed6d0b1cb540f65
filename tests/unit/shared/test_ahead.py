"""Working ahead in threads, within bounds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.ahead import Budget, chunks, map_ahead

WAIT_SECONDS = 30


def test_results_come_in_order_whoever_is_first() -> None:
    released = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert released.wait(WAIT_SECONDS)
        if number == 3:
            released.set()
        return number

    with ThreadPoolExecutor(4) as pool:
        assert list(map_ahead(pool, work, range(10), 4)) == list(range(10))


def test_no_more_is_begun_than_may_be_ahead() -> None:
    begun: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10):
            begun.append(number)
            yield number

    with ThreadPoolExecutor(2) as pool:
        results = map_ahead(pool, lambda number: number, items(), 3)
        for number in range(10):
            assert next(results) == number
            assert len(begun) <= number + 3


def test_a_failure_comes_at_its_items_turn() -> None:
    with ThreadPoolExecutor(2) as pool:
        results = map_ahead(pool, lambda number: 1 // number, [1, 1, 0, 1], 4)
        assert [next(results), next(results)] == [1, 1]
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_chunks_are_full_but_the_last() -> None:
    assert list(chunks(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(chunks([], 2)) == []


def test_a_budget_is_held_by_as_many_as_fit_and_no_more() -> None:
    budget, together, most = Budget(10), [0], [0]
    lock = threading.Lock()

    def hold(amount: int) -> None:
        with budget.held(amount):
            with lock:
                together[0] += amount
                most[0] = max(most[0], together[0])
            with lock:
                together[0] -= amount

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hold, [3, 4, 5, 1] * 100))
    assert 0 < most[0] <= 10


def test_what_is_more_than_the_whole_budget_is_held_alone() -> None:
    budget, inside, released = Budget(10), threading.Event(), threading.Event()
    second = threading.Event()

    def large() -> None:
        with budget.held(1000):
            inside.set()
            assert released.wait(WAIT_SECONDS)

    def small() -> None:
        with budget.held(1):
            second.set()

    with ThreadPoolExecutor(2) as pool:
        pool.submit(large)
        assert inside.wait(WAIT_SECONDS)
        pool.submit(small)
        assert not second.wait(0.05)
        released.set()
        assert second.wait(WAIT_SECONDS)
