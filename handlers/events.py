"""Event Grid's events, as the triggers give them."""

from __future__ import annotations

import azure.functions as func

from shared.event_grid import Event


def told(event: func.EventGridEvent) -> Event:
    """What a trigger's event tells. Raises InvalidRequestError when it is not as Event Grid's schema has it."""
    return Event.from_document(
        {"id": event.id, "eventType": event.event_type, "subject": event.subject, "data": event.get_json()}
    )
