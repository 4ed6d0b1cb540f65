"""The storage service's clock, as its answers tell it.

Row keys hold times that other workers compare with their own. Workers' clocks may differ by minutes; so all of them
tell the time by the service: its last answer's Date header, and for how long ago that was their own stopwatch.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import threading
import time
from typing import Any


class ServiceClock:
    """Learns from every answer (`raw_response_hook=clock`). It is late by at most a second and the answer's way, and
    never goes back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ahead: float | None = None
        """The service's time less the stopwatch's (s)."""

    @property
    def is_known(self) -> bool:
        """Whether any answer has come yet."""
        return self._ahead is not None

    def __call__(self, response: Any) -> None:
        told = email.utils.parsedate_to_datetime(response.http_response.headers["date"]).timestamp()
        ahead = told - time.monotonic()
        with self._lock:
            self._ahead = ahead if self._ahead is None else max(self._ahead, ahead)

    def now(self) -> dt.datetime:
        """The time in UTC. Only when it is known."""
        assert self._ahead is not None  # noqa: S101
        return dt.datetime.fromtimestamp(self._ahead + time.monotonic(), dt.UTC)


_clocks: dict[str, ServiceClock] = {}


def service_clock(url: str) -> ServiceClock:
    """The process's clock of the service at `url`."""
    return _clocks.setdefault(url, ServiceClock())
