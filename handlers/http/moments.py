"""Times in a query: a date, or a time with its zone."""

import datetime as dt
from typing import Annotated

from msgspec import Meta

from shared.errors import InvalidRequestError

EXPECTED = "a date, e.g. 2026-11-24, or a time with its zone, e.g. 2026-11-24T06:00:00Z"
Moment = Annotated[
    str,
    Meta(
        description="a date (midnight UTC), or a time (RFC 3339)",
        extra={"expected": EXPECTED},
        extra_json_schema={"anyOf": [{"format": "date-time"}, {"format": "date"}]},
    ),
]


def moment(text: str | None, field: str) -> dt.datetime | None:
    """The time that a text means. Raises InvalidRequestError when it means none."""
    if text is None:
        return None
    try:
        # A plus sign that was not escaped in a URL is a space.
        time = dt.datetime.fromisoformat(text.strip().replace(" ", "+"))
    except ValueError:
        raise InvalidRequestError(f"{field} is {text!r}, but must be {EXPECTED}", field) from None
    if time.tzinfo is None and len(text.strip()) > len("2026-11-24"):
        raise InvalidRequestError(f"{field} is {text!r}, without a zone; it must be {EXPECTED}", field)
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)
