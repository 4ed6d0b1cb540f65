"""Times as Azure writes them."""

from __future__ import annotations

import datetime


def utc_text(seconds: float) -> str:
    """`2026-11-24T06:12:00.123456Z` for seconds since 1970-01-01 UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def duration_text(seconds: float) -> str:
    """ISO 8601 duration, such as `PT3.5S`."""
    return f"PT{max(seconds, 0):.3f}S"
