"""The time as the storage service tells it."""

from __future__ import annotations

import datetime as dt
from email.utils import format_datetime
from types import SimpleNamespace

import pytest

from shared.ledger import clock
from shared.ledger.clock import ServiceClock

TOLD = dt.datetime(2031, 5, 1, 12, tzinfo=dt.UTC)


def answer(told: dt.datetime) -> SimpleNamespace:
    headers = {"date": format_datetime(told, usegmt=True)}
    return SimpleNamespace(http_response=SimpleNamespace(headers=headers))


@pytest.fixture
def stopwatch(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    stopwatch = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: stopwatch.seconds))
    return stopwatch


def test_the_time_goes_on_from_what_the_service_told_whatever_the_machine_takes_it_for(
    stopwatch: SimpleNamespace,
) -> None:
    service = ServiceClock()
    assert not service.is_known
    service(answer(TOLD))
    stopwatch.seconds += 2.5
    assert service.now() == TOLD + dt.timedelta(seconds=2.5)


def test_an_answer_that_was_long_under_way_does_not_put_the_clock_back(stopwatch: SimpleNamespace) -> None:
    service = ServiceClock()
    service(answer(TOLD))
    stopwatch.seconds += 10
    service(answer(TOLD + dt.timedelta(seconds=3)))
    assert service.now() == TOLD + dt.timedelta(seconds=10)
    service(answer(TOLD + dt.timedelta(seconds=11)))
    assert service.now() == TOLD + dt.timedelta(seconds=11)


def test_a_machine_that_slept_learns_the_time_from_the_next_answer(stopwatch: SimpleNamespace) -> None:
    service = ServiceClock()
    service(answer(TOLD))
    service(answer(TOLD + dt.timedelta(hours=8)))
    assert service.now() == TOLD + dt.timedelta(hours=8)


def test_a_process_has_one_clock_for_each_service() -> None:
    assert clock.service_clock("https://one") is clock.service_clock("https://one")
    assert clock.service_clock("https://one") is not clock.service_clock("https://two")
