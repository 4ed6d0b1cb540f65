"""What triggers give to handlers, made with the real azure.functions classes."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import azure.functions as func

CONTAINERS = "/blobServices/default/containers"


def user_function(builder: Any) -> Any:
    """The function that a decorated handler was; the decorator leaves a builder in its place."""
    return builder._function.get_user_function()


def request(
    method: str = "GET",
    path: str = "/api/health",
    *,
    body: bytes = b"",
    content_type: str = "",
    params: dict[str, str] | None = None,
    route: dict[str, str] | None = None,
) -> func.HttpRequest:
    headers = {"content-type": content_type} if content_type else {}
    url = f"https://app.example{path}"
    return func.HttpRequest(method, url, headers=headers, params=params, route_params=route, body=body)


def body_of(response: func.HttpResponse) -> Any:
    """An answer's JSON."""
    return json.loads(response.get_body())


def event(subject: str, data: dict[str, Any], event_type: str = "Microsoft.Storage.BlobCreated") -> func.EventGridEvent:
    return func.EventGridEvent(
        id="event-1",
        topic="/subscriptions/s",
        subject=subject,
        event_type=event_type,
        event_time=dt.datetime(2026, 11, 24, tzinfo=dt.UTC),
        data=data,
        data_version="1",
    )


def blob_created(container: str, path: str, *, etag: str = "0x8D1", size: int = 10) -> func.EventGridEvent:
    subject = f"{CONTAINERS}/{container}/blobs/{path}"
    return event(subject, {"api": "PutBlob", "eTag": etag, "contentLength": size})


def message(content: Any) -> func.QueueMessage:
    return func.QueueMessage(id="1", body=content if isinstance(content, str) else json.dumps(content))
