"""Timer triggers: the running ones, and the pure rules of schedules."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from local.functions_host.schedules import parse_schedule
from local.functions_host.timer_state import ScheduleStatus, status_at_start
from tests.contract.host.support import RunningHost


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_timer_runs_again_and_again_but_never_twice_at_once(host: RunningHost) -> None:
    runs = host.await_seen("each_second", count=3)
    for earlier, later in itertools.pairwise(runs):
        assert later["started"] >= earlier["ended"]
    assert not any(run["past_due"] for run in runs)
    # As in Azure, schedules of less than a minute are not recorded.
    assert all(run["status"] == {} for run in runs)


def test_a_timer_that_missed_its_time_runs_once_on_start(host: RunningHost) -> None:
    (run,) = host.await_seen("each_year", past_due=True)
    assert run["status"]["Next"] == "2021-01-01T00:00:00+00:00"
    assert len(host.await_seen("each_year", past_due=True)) == 1


def test_a_timer_can_be_run_by_hand_with_the_master_key(host: RunningHost) -> None:
    assert host.request("POST", "/admin/functions/each_year", json={}).status_code == 401
    headers = {"x-functions-key": host.keys["master"]}
    before = len(host.await_seen("each_year"))
    assert host.request("POST", "/admin/functions/each_year", json={}, headers=headers).status_code == 202
    host.await_seen("each_year", count=before + 1)


@pytest.mark.parametrize(
    ("expression", "moment", "due"),
    [
        ("* * * * * *", "2026-01-01T00:00:00.5", "2026-01-01T00:00:01"),
        ("0 * * * * *", "2026-01-01T00:00:00", "2026-01-01T00:01:00"),
        ("0 */5 * * * *", "2026-01-01T00:03:10", "2026-01-01T00:05:00"),
        ("*/20 * * * * *", "2026-01-01T23:59:41", "2026-01-02T00:00:00"),
        ("0 30 9 * * 1-5", "2026-01-02T09:30:00", "2026-01-05T09:30:00"),
        ("0 30 9 * Jan Mon", "2026-01-26T09:30:00", "2027-01-04T09:30:00"),
        ("5,8,10 * * * * *", "2026-01-01T00:00:08", "2026-01-01T00:00:10"),
        ("0 5/15 * * * *", "2026-01-01T00:05:00", "2026-01-01T00:20:00"),
        ("0 0 9-17/4 * * *", "2026-01-01T13:00:00", "2026-01-01T17:00:00"),
        ("0 0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
        # Unlike crontab, both days must match.
        ("0 0 0 13 * 5", "2026-01-01T00:00:00", "2026-02-13T00:00:00"),
        ("*/5 * * * *", "2026-01-01T00:03:10", "2026-01-01T00:05:00"),
        ("00:00:05", "2026-01-01T00:00:01", "2026-01-01T00:00:06"),
        ("1.00:00:00", "2026-01-01T00:00:01", "2026-01-02T00:00:01"),
    ],
)
def test_a_schedule_is_due_next_at(expression: str, moment: str, due: str) -> None:
    assert parse_schedule(expression).after(at(moment)) == at(due)


@pytest.mark.parametrize(
    "expression",
    ["", "* * *", "60 * * * * *", "0 0 0 31 2 *", "a * * * * *", "0 5-1 * * * *", "*/0 * * * * *", "00:00"],
)
def test_what_is_no_schedule_is_refused_by_name(expression: str) -> None:
    with pytest.raises(ValueError, match="The schedule expression"):
        parse_schedule(expression)


HOURLY = parse_schedule("0 0 * * * *")
NOW = at("2026-01-01T10:30:00")


def test_a_new_timer_is_first_due_after_now() -> None:
    assert status_at_start(None, HOURLY, NOW) == ScheduleStatus(None, at("2026-01-01T11:00:00"), NOW)


def test_a_timer_that_missed_its_time_is_past_due() -> None:
    recorded = ScheduleStatus(at("2026-01-01T08:00:00"), at("2026-01-01T09:00:00"), at("2026-01-01T08:00:00"))
    assert status_at_start(recorded, HOURLY, NOW) == recorded
    assert recorded.next < NOW


def test_a_changed_schedule_counts_from_now() -> None:
    recorded = ScheduleStatus(NOW - timedelta(days=2), NOW - timedelta(days=1), NOW - timedelta(days=2))
    assert status_at_start(recorded, HOURLY, NOW).next == at("2026-01-01T11:00:00")


def test_a_status_is_written_as_the_real_host_reads_it() -> None:
    status = ScheduleStatus(None, at("2026-01-01T11:00:00"), NOW)
    assert status.to_json()["Last"] == "0001-01-01T00:00:00+00:00"
    assert ScheduleStatus.from_json(status.to_json()) == status
