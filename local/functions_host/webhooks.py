"""The webhooks that Event Grid delivers to: `/runtime/webhooks/blobs` and `/runtime/webhooks/EventGrid`.

HttpRequestProcessor and EventGridExtensionConfigProvider of the real extension: handshake, one event or an array, 202
for what was taken, 500 for what failed so that Event Grid sends it again, 404 for a function that is not there.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from local.functions_host.blob_trigger import BlobTriggers
from local.functions_host.functions import Function
from local.functions_host.invoker import Invoker
from local.functions_host.messages import TypedData

LOG = logging.getLogger(__name__)

PUBLIC_ORIGIN = "eventgrid.azure.net"
Events = list[Mapping[str, Any]]
Deliver = Callable[[Events], Awaitable[web.Response]]


class Webhooks:
    """Takes events for the app's blob-triggered and Event-Grid-triggered functions."""

    def __init__(self, event_grid: Mapping[str, Function], blobs: BlobTriggers | None, invoker: Invoker) -> None:
        """`event_grid` by function name; `blobs` None: the app has no blob triggers."""
        self._event_grid = event_grid
        self._blobs = blobs
        self._invoker = invoker

    async def handle(self, extension: str, request: web.Request) -> web.Response:
        """Answer a request whose key was found right. `extension` is lower case."""
        name = request.query.get("functionName", "")
        if extension == "eventgrid":
            function = self._event_grid.get(name)
            if function is None:
                return web.Response(status=404, text=f"cannot find function: '{name}'")
            return await _process(request, name, lambda events: self._run(function, events))
        if extension == "blobs" and self._blobs is not None:
            blobs = self._blobs
            return await _process(request, name, lambda events: _enqueue(blobs, name, events))
        return web.Response(status=404)

    async def _run(self, function: Function, events: Events) -> web.Response:
        outcomes = await asyncio.gather(
            *(
                self._invoker.invoke(function, TypedData(json=json.dumps(event)), reason="EventGrid trigger fired.")
                for event in events
            )
        )
        for outcome in outcomes:
            if outcome.error is not None:
                return web.Response(status=500, text=outcome.error.partition("\n")[0])
        return web.Response(status=202)


async def _enqueue(blobs: BlobTriggers, function_id: str, events: Events) -> web.Response:
    try:
        await blobs.enqueue(events, function_id)
    except ValueError as error:
        return web.Response(status=400, text=str(error))
    return web.Response(status=202)


async def _process(request: web.Request, name: str, deliver: Deliver) -> web.Response:
    if request.method == "OPTIONS":
        # The CloudEvents handshake; the real host allows Event Grid's own origins and answers with the public one.
        origin = request.headers.get("WebHook-Request-Origin", PUBLIC_ORIGIN)
        allowed = origin if origin.startswith("eventgrid.azure.") else PUBLIC_ORIGIN
        return web.Response(headers={"WebHook-Allowed-Origin": allowed})
    kind = request.headers.get("aeg-event-type", "").lower()
    if kind == "unsubscribe":
        return web.Response(status=202)
    if kind not in {"subscriptionvalidation", "notification"}:
        return web.Response(status=400, text=f"aeg-event-type is {kind!r}")
    try:
        body = json.loads(await request.read())
        events: Events = body if isinstance(body, list) else [body]
        if not all(isinstance(event, dict) for event in events):
            return web.Response(status=400, text="not a delivery of Event Grid: an event is a JSON object")
        if kind == "subscriptionvalidation":
            code = _validation_code(events)
            LOG.info("perform handshake with eventGrid for function: %s", name)
            return web.json_response({"validationResponse": code})
    except (ValueError, KeyError, IndexError, TypeError) as error:
        return web.Response(status=400, text=f"not a delivery of Event Grid: {error!r}")
    return await deliver(events)


def _validation_code(events: Events) -> str:
    data = events[0]["data"]
    # In a CloudEvent the data is JSON within JSON.
    return str((json.loads(data) if isinstance(data, str) else data)["validationCode"])
