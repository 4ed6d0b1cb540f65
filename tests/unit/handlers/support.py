"""What triggers give to handlers, made with the real azure.functions classes."""

from __future__ import annotations

import datetime as dt
import functools
import json
from typing import Any

import azure.functions as func

from handlers.http import Route
from handlers.http.running import run

CONTAINERS = "/blobServices/default/containers"


def user_function(decorated: Any) -> Any:
    """What the host calls for a decorated handler; the decorator leaves a route or a builder in its place."""
    if isinstance(decorated, Route):
        return functools.partial(run, decorated)
    return decorated._function.get_user_function()


def request(
    method: str = "GET",
    path: str = "/api/health",
    *,
    body: bytes = b"",
    content_type: str = "",
    params: dict[str, str] | None = None,
    route: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> func.HttpRequest:
    headers = {**(headers or {}), **({"content-type": content_type} if content_type else {})}
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
