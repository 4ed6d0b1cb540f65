"""What works, for whoever watches over the app."""

import msgspec

from handlers.contract.health import Health
from handlers.http import Answer, Key, api
from shared.clients import clients


@api.get("health", Key.ANONYMOUS, answers={200: Health, 503: Health})
def health() -> Answer:
    """Whether storage, the workspace and the queues answer, whether there is a model, and when events were last seen.
    The answer is at most ten seconds old.
    """
    from shared.health import recent_health

    report = msgspec.convert(recent_health(clients()), Health)
    return Answer(report, 503 if report.state == "unhealthy" else 200, {"Cache-Control": "no-store"})
