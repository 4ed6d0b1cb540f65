"""What outlives a host of its timers: when each ran and is next due, and which host runs them.

Both lie in the host's storage, in container `azure-webjobs-hosts`, where the real host has them: the status in the
real one's place and form (StorageScheduleMonitor), the right to run timers as a lease on one blob (there it is one per
timer function).
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from local.functions_host.functions import DEFAULT_CONNECTION
from local.functions_host.schedules import Schedule
from local.functions_host.storage import Storage, StorageError

LOG = logging.getLogger(__name__)

CONTAINER = "azure-webjobs-hosts"
LEASE_SECONDS = 30
RENEW_SECONDS = 10.0
RETRY_SECONDS = 2.0
_NEVER = "0001-01-01T00:00:00+00:00"


@dataclass(frozen=True)
class ScheduleStatus:
    """Times are aware, UTC; None: never."""

    last: datetime | None
    next: datetime
    last_updated: datetime | None

    def to_json(self) -> dict[str, str]:
        return {
            "Last": _text(self.last),
            "Next": self.next.isoformat(),
            "LastUpdated": _text(self.last_updated),
        }

    @classmethod
    def from_json(cls, document: Any) -> ScheduleStatus:
        """Raises ValueError when `document` is not such a status."""
        try:
            return cls(
                last=_moment(document["Last"]),
                next=datetime.fromisoformat(document["Next"]),
                last_updated=_moment(document["LastUpdated"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a schedule status: {error!r}") from error


def _text(moment: datetime | None) -> str:
    return _NEVER if moment is None else moment.isoformat()


def _moment(text: str) -> datetime | None:
    return None if text.startswith("0001-") else datetime.fromisoformat(text)


def first_status(schedule: Schedule, now: datetime) -> ScheduleStatus:
    """Of a timer that has never run."""
    return ScheduleStatus(last=None, next=schedule.after(now), last_updated=now)


def status_at_start(recorded: ScheduleStatus | None, schedule: Schedule, now: datetime) -> ScheduleStatus:
    """The status to start with; the timer is past due when its `next` lies before `now`.

    A schedule that was changed since counts from now on, so that the change itself does not make it past due
    (ScheduleMonitor.CheckPastDueAsync).
    """
    if recorded is None:
        return first_status(schedule, now)
    base = recorded.last or recorded.last_updated or now
    expected = schedule.after(base)
    if recorded.next == expected:
        return recorded
    if now > expected:
        return first_status(schedule, now)
    return ScheduleStatus(last=None, next=expected, last_updated=base)


class ScheduleMonitor:
    """Keeps the status of one timer function in storage."""

    def __init__(self, storage: Storage, host_id: str, full_name: str) -> None:
        self._blob = _HostBlob(storage, f"timers/{host_id}/{full_name}/status")

    async def read(self) -> ScheduleStatus | None:
        """The recorded status; None when there is none, or none that can be read."""
        try:
            return ScheduleStatus.from_json(json.loads(await self._blob.read()))
        except StorageError as error:
            if not error.not_found:
                raise
            return None
        except ValueError as error:
            LOG.warning("Timer status %s is not usable, starting anew: %s", self._blob.path, error)
            return None

    async def write(self, status: ScheduleStatus) -> None:
        """Record `status`. Best effort, as in the real host: a timer does not fail for it."""
        try:
            await self._blob.write(json.dumps(status.to_json()).encode())
        except StorageError as error:
            LOG.warning("Timer status %s could not be recorded: %s", self._blob.path, error)


class TimerLock:
    """Held by one host of a host id at a time. `holder` names this one: started again, it has the lock at once."""

    def __init__(self, storage: Storage, host_id: str, holder: str) -> None:
        self._blob = _HostBlob(storage, f"locks/{host_id}/timers")
        self._lease_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{host_id}/{holder}"))
        self.held = asyncio.Event()

    async def run(self) -> None:
        """Take the lock and keep it, until cancelled."""
        kept_until, told = 0.0, False
        while True:
            try:
                started = time.monotonic()
                await self._acquire()
                kept_until, told = started + LEASE_SECONDS, False
                self.held.set()
            except StorageError as error:
                if time.monotonic() > kept_until:
                    self.held.clear()
                if not told:
                    LOG.warning("Timers wait: another host with this host id runs them, or storage is away: %s", error)
                    told = True
            await asyncio.sleep(RENEW_SECONDS if self.held.is_set() else RETRY_SECONDS)

    async def _acquire(self) -> None:
        # Acquiring with the id that holds the lease already prolongs it.
        headers = {
            "x-ms-lease-action": "acquire",
            "x-ms-lease-duration": str(LEASE_SECONDS),
            "x-ms-proposed-lease-id": self._lease_id,
        }
        try:
            await self._blob.lease(headers)
        except StorageError as error:
            if not error.not_found:
                raise
            await self._blob.write(b"")
            await self._blob.lease(headers)

    async def release(self) -> None:
        """Give the lock back, so that another host need not wait for it to run out."""
        if not self.held.is_set():
            return
        self.held.clear()
        try:
            await self._blob.lease({"x-ms-lease-action": "release", "x-ms-lease-id": self._lease_id})
        except StorageError as error:
            LOG.debug("Timer lock not released, it runs out by itself: %s", error)


class _HostBlob:
    """One blob of the host's container, which is made when it is first needed."""

    def __init__(self, storage: Storage, name: str) -> None:
        self.path = f"{CONTAINER}/{name}"
        self._service = storage.blobs(DEFAULT_CONNECTION)

    async def read(self) -> bytes:
        return (await self._service.request("GET", self.path)).body

    async def write(self, content: bytes) -> None:
        headers = {"x-ms-blob-type": "BlockBlob", "Content-Type": "application/octet-stream"}
        try:
            await self._service.request("PUT", self.path, headers=headers, body=content)
        except StorageError as error:
            if not error.not_found:
                raise
            await self._create_container()
            await self._service.request("PUT", self.path, headers=headers, body=content)

    async def lease(self, headers: Mapping[str, str]) -> None:
        await self._service.request("PUT", self.path, {"comp": "lease"}, headers=headers)

    async def _create_container(self) -> None:
        try:
            await self._service.request("PUT", CONTAINER, {"restype": "container"})
        except StorageError as error:
            if error.code != "ContainerAlreadyExists":
                raise
