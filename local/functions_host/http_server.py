"""The host's HTTP side: function routes with their keys, the webhooks, and the small admin API."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from aiohttp import web

from local.functions_host.functions import App, Function, HttpTrigger
from local.functions_host.http_messages import request_data, response_of
from local.functions_host.invoker import Invoker
from local.functions_host.keys import HostKeys, save_keys
from local.functions_host.routes import Route, decode_path
from local.functions_host.timers import TimerListener
from local.functions_host.webhooks import Webhooks

LOG = logging.getLogger(__name__)

MAX_BODY_BYTES = 100 * 1024 * 1024
# Azure's load balancer ends a request that is silent for so long; the function goes on.
RESPONSE_TIMEOUT = 230.0
_WEBHOOK = re.compile(r"runtime/webhooks/(\w+)(?:/.*)?", re.IGNORECASE)
_FUNCTION_KEYS = re.compile(r"admin/functions/(\w[\w-]*)/keys(?:/(\w[\w-]*))?", re.IGNORECASE)
_ADMIN_FUNCTION = re.compile(r"admin/functions/(\w[\w-]*)", re.IGNORECASE)


class HttpServer:
    """Serves on 127.0.0.1 until closed."""

    def __init__(
        self,
        app: App,
        routes: Sequence[tuple[Route, HttpTrigger, Function]],
        keys: HostKeys,
        keys_file: Path,
        invoker: Invoker,
        webhooks: Webhooks,
        timers: Mapping[str, TimerListener],
        *,
        host_id: str,
        response_timeout: float = RESPONSE_TIMEOUT,
    ) -> None:
        """`routes` with host.json's prefix, in the order in which they are tried; `timers` by function name. Keys of
        functions, which the admin API sets, are kept in `keys_file`.
        """
        self._app = app
        self._routes = routes
        self._keys = keys
        self._keys_file = keys_file
        self._invoker = invoker
        self._webhooks = webhooks
        self._timers = timers
        self._host_id = host_id
        self._response_timeout = response_timeout
        self._started = time.monotonic()
        self._background: set[asyncio.Task[None]] = set()
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_route("*", r"/{path:[\s\S]*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=0.1)

    async def start(self, port: int) -> int:
        """Listen on `port` (0: any free one) and return it. Raises OSError when it is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop_listening(self) -> None:
        """Take no more connections; requests in work are answered."""
        for site in list(self._runner.sites):
            await site.stop()

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        path = decode_path(request.rel_url.raw_path).strip("/")
        key = request.headers.get("x-functions-key") or request.query.get("code")
        if not path:
            return web.Response(text="This function app is up and running, on a local host.\n")
        if path.lower() == "admin" or path.lower().startswith("admin/"):
            return await self._admin(request, path, key)
        webhook = _WEBHOOK.fullmatch(path)
        if webhook is not None:
            extension = webhook.group(1).lower()
            if extension not in {"blobs", "eventgrid"}:
                return web.Response(status=404)
            if not self._keys.allows_webhook(extension, key):
                return web.Response(status=401)
            return await self._webhooks.handle(extension, request)
        for route, trigger, function in self._routes:
            if trigger.methods is None or request.method in trigger.methods:
                params = route.match(path)
                if params is not None:
                    if not self._keys.allows(trigger.auth_level, key, function.name):
                        return web.Response(status=401)
                    return await self._invoke(request, function, params)
        return web.Response(status=404)

    async def _invoke(self, request: web.Request, function: Function, params: Mapping[str, str]) -> web.Response:
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return web.Response(status=413)
        body = await request.read()
        invocation = asyncio.create_task(
            self._invoker.invoke(
                function,
                request_data(request, body, params),
                reason="This function was programmatically called via the host APIs.",
                trace_parent=request.headers.get("traceparent"),
            )
        )
        done, _ = await asyncio.wait({invocation}, timeout=self._response_timeout)
        if not done:
            LOG.error("Function '%s' took longer than %s s to answer", function.name, self._response_timeout)
            return web.Response(status=504)
        outcome = invocation.result()
        if not outcome.succeeded:
            return web.Response(status=500)
        try:
            return response_of(outcome.return_value)
        except ValueError as error:
            LOG.error("Function '%s': %s", function.name, error)  # noqa: TRY400 - the trace would be the host's
            return web.Response(status=500)

    async def _admin(self, request: web.Request, path: str, key: str | None) -> web.Response:
        if not self._keys.allows("admin", key):
            return web.Response(status=401)
        if path.lower() == "admin/host/status" and request.method == "GET":
            return web.json_response(self._status())
        if path.lower() == "admin/functions" and request.method == "GET":
            return web.json_response(
                [{"name": item.name, "config": {"bindings": list(item.bindings)}} for item in self._app.functions]
            )
        function_keys = _FUNCTION_KEYS.fullmatch(path)
        if function_keys is not None:
            return await self._function_keys(request, *function_keys.groups())
        function = _ADMIN_FUNCTION.fullmatch(path)
        if function is not None and request.method == "POST" and function.group(1) in self._timers:
            task = asyncio.create_task(self._timers[function.group(1)].run_now())
            self._background.add(task)
            task.add_done_callback(self._background.discard)
            return web.Response(status=202)
        return web.Response(status=404)

    async def _function_keys(self, request: web.Request, function: str, name: str | None) -> web.Response:
        """List the keys of a function, or set one: https://github.com/Azure/azure-functions-host/wiki/Key-management-API"""
        if function not in {each.name for each in self._app.functions}:
            return web.Response(status=404)
        known = self._keys.functions.get(function, {})
        if request.method == "GET" and name is None:
            return web.json_response({"keys": [{"name": each, "value": value} for each, value in known.items()]})
        if request.method != "PUT" or name is None:
            return web.Response(status=404)
        try:
            value = str(json.loads(await request.read() or b"{}").get("value") or secrets.token_urlsafe(32))
        except (ValueError, AttributeError):
            return web.Response(status=400)
        self._keys = self._keys.with_function_key(function, name, value)
        save_keys(self._keys_file, self._keys)
        return web.json_response({"name": name, "value": value}, status=200 if name in known else 201)

    def _status(self) -> dict[str, object]:
        return {
            "id": self._host_id,
            "state": "Running",
            "version": f"local, azure-functions-runtime {version('azure-functions-runtime')}",
            "processUptime": int(1000 * (time.monotonic() - self._started)),
            "runningInvocations": self._invoker.running,
            "errors": [f"The '{name}' function is in error: {reason}" for name, reason in self._app.in_error.items()],
        }
