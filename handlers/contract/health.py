"""What works."""

import datetime as dt
from typing import Annotated, Literal

from msgspec import Meta

from handlers.contract.base import Told


class Health(Told):
    """`healthy`; `degraded` when the app takes images in but something does not answer; `unhealthy` without storage.
    Each check is `ok` or says what is missing.
    """

    state: Literal["healthy", "degraded", "unhealthy"]
    checks: dict[str, str]
    queues: Annotated[dict[str, int], Meta(description="messages on each queue, about")]
    last_events: Annotated[
        dict[str, dt.datetime], Meta(description="when an event of each kind was last seen, to the minute")
    ]
