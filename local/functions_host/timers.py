"""Timer triggers: one run at a time, missed ticks skipped, past-due and on-startup runs (TimerListener)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

from local.functions_host.functions import Function, RetryPolicy, TimerTrigger
from local.functions_host.invoker import Invoker
from local.functions_host.messages import TypedData
from local.functions_host.storage import StorageError
from local.functions_host.timer_state import (
    RETRY_SECONDS,
    ScheduleMonitor,
    ScheduleStatus,
    TimerLock,
    first_status,
    status_at_start,
)

LOG = logging.getLogger(__name__)


class TimerListener:
    """Runs one timer function for as long as this host holds the timer lock."""

    def __init__(
        self,
        function: Function,
        trigger: TimerTrigger,
        invoker: Invoker,
        lock: TimerLock,
        monitor: ScheduleMonitor | None,
    ) -> None:
        """`monitor` None: the schedule is not recorded, so nothing is ever past due."""
        self._function = function
        self._trigger = trigger
        self._invoker = invoker
        self._lock = lock
        self._monitor = monitor
        self._one_at_a_time = asyncio.Lock()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Start no more runs; the one that is running goes on."""
        self._stopping.set()

    async def run(self) -> None:
        """Run when due, until `stop`."""
        if await self._stopped_before(self._lock.held.wait()):
            return
        status = await self._start_status()
        if status.next < _now():
            LOG.info("Function '%s' is past due on startup. Executing now.", self._function.name)
            status = await self._fire(status, reason="Timer fired, past due.", past_due=True)
        elif self._trigger.run_on_startup:
            status = await self._fire(status, reason="Timer fired, on startup.", on_startup=True)
        while not await self._stopped_before(self._sleep_until(status.next)):
            if await self._stopped_before(self._lock.held.wait()):
                return
            status = await self._fire(status, reason="Timer fired.")

    async def run_now(self) -> None:
        """One run outside the schedule, after the one that may be running."""
        async with self._one_at_a_time:
            await self._invoke(first_status(self._trigger.schedule, _now()), past_due=False, reason="Run by hand.")

    async def _start_status(self) -> ScheduleStatus:
        if self._monitor is None:
            return first_status(self._trigger.schedule, _now())
        while True:
            try:
                recorded = await self._monitor.read()
                break
            except StorageError as error:
                LOG.warning("Timer status of '%s' cannot be read, trying again: %s", self._function.name, error)
                await asyncio.sleep(RETRY_SECONDS)
        status = status_at_start(recorded, self._trigger.schedule, _now())
        if status != recorded:
            await self._monitor.write(status)
        return status

    async def _fire(
        self, status: ScheduleStatus, *, reason: str, past_due: bool = False, on_startup: bool = False
    ) -> ScheduleStatus:
        async with self._one_at_a_time:
            moment = _now()
            if not past_due and not on_startup:
                # Clocks differ by a little: counted from before the due time, `next` would be the same time again.
                moment = max(moment, status.next)
            await self._invoke(status, past_due=past_due, reason=reason)
        status = ScheduleStatus(last=moment, next=self._trigger.schedule.after(moment), last_updated=moment)
        if self._monitor is not None:
            await self._monitor.write(status)
        return status

    async def _invoke(self, status: ScheduleStatus, *, past_due: bool, reason: str) -> None:
        data = TypedData(json=timer_info(None if self._monitor is None else status, past_due=past_due))
        policy = self._function.retry or RetryPolicy(0, 0, 0)
        delay, tries = policy.minimum, 0
        while True:
            outcome = await self._invoker.invoke(
                self._function, data, reason=reason, retry=(tries, max(policy.count, 0))
            )
            # A negative count means to try for ever.
            if outcome.succeeded or tries == policy.count or self._stopping.is_set():
                return
            tries += 1
            LOG.info("Function '%s' is tried again in %s s (retry %d)", self._function.name, delay, tries)
            if await self._stopped_before(asyncio.sleep(delay)):
                return
            delay = min(delay * 2, policy.maximum)

    async def _sleep_until(self, moment: datetime) -> None:
        # The loop's clock does not stand still with the machine's, so a long sleep is cut into pieces.
        while (left := (moment - _now()).total_seconds()) > 0:  # noqa: ASYNC110 - it is time that is waited for
            await asyncio.sleep(min(left, 30))

    async def _stopped_before(self, waiting: Coroutine[Any, Any, object]) -> bool:
        """Await `waiting`, but no longer than until `stop`; whether the host is stopping."""
        task = asyncio.create_task(waiting)
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return self._stopping.is_set()
        finally:
            task.cancel()
            stopping.cancel()


def timer_info(status: ScheduleStatus | None, *, past_due: bool) -> str:
    """TimerInfo as Newtonsoft.Json writes it. `status` None, as for sub-minute schedules: ScheduleStatus is null."""
    return json.dumps(
        {
            "Schedule": {"AdjustForDST": True},
            "ScheduleStatus": None if status is None else status.to_json(),
            "IsPastDue": past_due,
        }
    )


def _now() -> datetime:
    return datetime.now(UTC)
