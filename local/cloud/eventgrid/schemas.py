"""The two event schemas, and the way from one to the other.

https://learn.microsoft.com/azure/event-grid/event-schema,
https://learn.microsoft.com/azure/event-grid/cloud-event-schema and
https://learn.microsoft.com/azure/event-grid/input-mappings: what comes in as an Event Grid event may go out as a
CloudEvent, but not the other way round.
"""

from __future__ import annotations

from typing import Any

from local.cloud.errors import BadRequestError

Json = dict[str, Any]

EVENT_GRID, CLOUD_EVENTS = "EventGridSchema", "CloudEventSchemaV1_0"
SCHEMAS = (EVENT_GRID, CLOUD_EVENTS)
_REQUIRED = {
    EVENT_GRID: ("id", "subject", "eventType", "eventTime", "data", "dataVersion"),
    CLOUD_EVENTS: ("id", "source", "specversion", "type"),
}


def schema_of(event: Json) -> str:
    return CLOUD_EVENTS if "specversion" in event else EVENT_GRID


def event_type(event: Json) -> str:
    return str(event["type"] if schema_of(event) == CLOUD_EVENTS else event["eventType"])


def check_event(event: Any, schema: str) -> None:
    """Raises BadRequestError unless an event that is published is whole."""
    missing = [name for name in _REQUIRED[schema] if not isinstance(event, dict) or name not in event]
    if missing:
        raise BadRequestError(f"An event of the schema {schema} must have {', '.join(missing)}.")
    if schema == CLOUD_EVENTS and event["specversion"] != "1.0":
        raise BadRequestError(f"The event's specversion is '{event['specversion']}'; it must be 1.0.")


def for_filters(event: Json) -> Json:
    """An event with the names that filters know: those of the Event Grid schema beside its own."""
    if schema_of(event) == EVENT_GRID:
        return event
    return {"subject": "", **event, "eventType": event["type"], "topic": event["source"]}


def delivered_as(event: Json, schema: str) -> Json:
    """An event in the schema that a subscription wants."""
    if schema == EVENT_GRID or schema_of(event) == CLOUD_EVENTS:
        return event
    return {
        "specversion": "1.0",
        "id": event["id"],
        "source": event["topic"],
        "subject": event["subject"],
        "type": event["eventType"],
        "time": event["eventTime"],
        "data": event["data"],
    }


def request_of(event: Json, schema: str) -> tuple[str, Any]:
    """Content type and body of a delivery: a CloudEvent comes alone, an Event Grid event in a list of one."""
    delivered = delivered_as(event, schema)
    if schema == CLOUD_EVENTS:
        return "application/cloudevents+json; charset=utf-8", delivered
    return "application/json; charset=utf-8", [delivered]
