"""The .NET TimeSpan notation of host.json and timer schedules: `[d.]hh:mm:ss[.fraction]`."""

from __future__ import annotations

import re
from datetime import timedelta

_PATTERN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})(?:\.(\d{1,7}))?")


def parse_timespan(text: str) -> timedelta:
    """Read `00:00:05` or `1.12:00:00.5`. Raises ValueError when `text` is anything else."""
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a time span; expected [d.]hh:mm:ss, such as 00:00:30")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[:4])
    if hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError(f"{text!r} is not a time span; hours go to 23, minutes and seconds to 59")
    microseconds = int((match.group(5) or "0").ljust(7, "0")) // 10
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds, microseconds=microseconds)
