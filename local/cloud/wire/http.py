"""Requests, replies, routes, and the server that joins them. Handlers see decoded values and answer plain ones."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from aiohttp import web

from local.cloud.errors import BadRequestError, CloudError, NotImplementedByLocalCloudError
from local.cloud.faults import Fault, Faults
from local.cloud.rules.ids import GroupScope, WorkspaceScope

logger = logging.getLogger(__name__)

Json = dict[str, Any]

# The largest management request: components and jobs are tens of kilobytes.
MAX_BODY_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Request:
    """A decoded request. `params` are the route's placeholders, `headers` have lower-case names."""

    method: str
    path: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any

    @property
    def group(self) -> GroupScope:
        return GroupScope(self.params["subscription"], self.params["group"])

    @property
    def workspace(self) -> WorkspaceScope:
        return WorkspaceScope(self.params["subscription"], self.params["group"], self.params["workspace"])

    @property
    def document(self) -> Json:
        """The body as a JSON object. Raises BadRequestError for anything else."""
        if not isinstance(self.body, dict):
            raise BadRequestError("The request body must be a JSON object.", code="InvalidRequestContent")
        return self.body


@dataclass(frozen=True)
class Reply:
    """A status, a JSON body (None: empty; str: plain text), and headers."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Awaitable[Reply]]
Guard = Callable[[Request], None]


@dataclass(frozen=True)
class Route:
    """An operation: method, path with `{placeholders}`, handler, what it does, and who calls it that way."""

    method: str
    template: str
    handler: Handler
    summary: str
    callers: str = ""

    @property
    def pattern(self) -> re.Pattern[str]:
        """ARM's paths are case-insensitive in everything but the values of names."""
        parts = re.split(r"\{(\w+)\}", self.template)
        text = "".join(f"(?P<{part}>[^/]+)" if i % 2 else re.escape(part) for i, part in enumerate(parts))
        return re.compile(f"^{text}/?$", re.IGNORECASE)


@dataclass(frozen=True)
class RouteGroup:
    """Routes that share a guard, which raises when a request may not pass."""

    title: str
    guard: Guard
    routes: Sequence[Route]


def build_application(groups: Sequence[RouteGroup], faults: Faults) -> web.Application:
    """The server of all routes. Unknown operations are answered 501, errors as `{"error": {"code", "message", …}}`."""
    table = [(route.pattern, route, group) for group in groups for route in group.routes]

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await _dispatch(request, table, faults)
        except CloudError as error:
            return _error(error.status, error.document())
        except (ConnectionResetError, web.HTTPException):
            raise
        except Exception as error:
            logger.exception("%s %s broke", request.method, request.path)
            message = f"The local cloud broke: {type(error).__name__}: {error}"
            return _error(500, {"code": "InternalServerError", "message": message})

    application = web.Application(client_max_size=MAX_BODY_BYTES)
    application.router.add_route("*", "/{tail:.*}", handle)
    return application


async def _dispatch(
    request: web.Request, table: Sequence[tuple[re.Pattern[str], Route, RouteGroup]], faults: Faults
) -> web.StreamResponse:
    headers = {name.lower(): value for name, value in request.headers.items()}
    query = dict(request.query)
    for pattern, route, group in table:
        match = pattern.match(request.path)
        if match is None or route.method != request.method:
            continue
        bare = Request(request.method, request.path, match.groupdict(), query, headers, None)
        group.guard(bare)
        fault = faults.find("arm", request.method, request.path) or Fault()
        if not fault.after and (answer := await _faulty(request, fault)) is not None:
            return answer
        body = _decode(await request.read())
        reply = await route.handler(Request(bare.method, bare.path, bare.params, query, headers, body))
        if fault.after and (answer := await _faulty(request, fault)) is not None:
            return answer
        return _encode(reply)
    raise NotImplementedByLocalCloudError(
        f"{request.method} {request.path} (api-version {query.get('api-version', 'none')}): "
        "the local cloud does not know this operation"
    )


async def _faulty(request: web.Request, fault: Fault) -> web.Response | None:
    """Carry out a fault; None lets the request, or its own answer, pass (after the delay)."""
    if fault.delay:
        await asyncio.sleep(fault.delay)
    if fault.reset:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("fault: connection reset")
    if fault.status is None:
        return None
    code = fault.error or HTTPStatus(fault.status).phrase.replace(" ", "")
    return _error(fault.status, {"code": code, "message": "fault injected by the local cloud"}, fault.retry_after)


def _decode(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError as error:
        raise BadRequestError(f"The request body is not JSON: {error}.", code="InvalidRequestContent") from error


def _encode(reply: Reply) -> web.Response:
    headers = {"x-ms-request-id": str(uuid.uuid4()), **reply.headers}
    if reply.body is None:
        return web.Response(status=reply.status, headers=headers)
    if isinstance(reply.body, str):
        return web.Response(status=reply.status, headers=headers, text=reply.body)
    return web.json_response(reply.body, status=reply.status, headers=headers)


def _error(status: int, error: Json, retry_after: float | None = None) -> web.Response:
    headers = {"x-ms-request-id": str(uuid.uuid4()), "x-ms-error-code": str(error["code"])}
    if retry_after is not None:
        headers["Retry-After"] = f"{retry_after:g}"
    return web.json_response({"error": error}, status=status, headers=headers)
