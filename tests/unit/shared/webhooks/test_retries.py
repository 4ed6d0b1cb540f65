"""When a delivery that failed is tried again."""

from __future__ import annotations

import datetime as dt

import pytest

from shared.webhooks.delivering import next_wait

SINCE = dt.datetime(2026, 11, 24, 6, tzinfo=dt.UTC)
DAY, HOUR = 86_400, 3600


def test_the_waits_grow_and_the_last_try_is_a_day_after_the_first() -> None:
    now = SINCE
    waits: list[int] = []
    while (wait := next_wait(len(waits), SINCE, now, None)) is not None:
        waits.append(wait)
        now += dt.timedelta(seconds=wait)
    assert waits[:8] == [5, 60, 300, 1500, 2 * HOUR, 6 * HOUR, 6 * HOUR, 6 * HOUR]
    assert len(waits) == 9
    assert sum(waits) == DAY


@pytest.mark.parametrize(
    ("attempt", "asked", "wait"),
    [(0, 30, 30), (0, 1, 5), (2, 120, 300), (2, 1000, 1000), (0, 10 * DAY, 6 * HOUR), (0, None, 5), (0, 0, 5)],
)
def test_a_receiver_may_ask_for_more_time_within_bounds(attempt: int, asked: int | None, wait: int) -> None:
    assert next_wait(attempt, SINCE, SINCE, asked) == wait


def test_no_wait_goes_beyond_the_day() -> None:
    late = SINCE + dt.timedelta(seconds=DAY - 100)
    assert next_wait(7, SINCE, late, 6 * HOUR) == 100
    assert next_wait(0, SINCE, SINCE + dt.timedelta(seconds=DAY), None) is None
