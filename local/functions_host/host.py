"""The host: from an app folder to running listeners, and back."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import logging
import os
import re
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from local.functions_host import logs
from local.functions_host.blob_trigger import BlobTriggers
from local.functions_host.blobs import blob_queue_name
from local.functions_host.errors import FunctionInError, StartupError
from local.functions_host.functions import (
    DEFAULT_CONNECTION,
    App,
    BlobTrigger,
    EventGridTrigger,
    Function,
    HttpTrigger,
    QueueTrigger,
    TimerTrigger,
    define_app,
)
from local.functions_host.host_json import HostOptions, read_host_json
from local.functions_host.http_server import HttpServer
from local.functions_host.invoker import Invoker
from local.functions_host.keys import load_or_create_keys
from local.functions_host.queue_listener import QueueListener
from local.functions_host.queue_trigger import QueueTriggerHandler
from local.functions_host.queues import Queue, Received, poison_queue_name
from local.functions_host.routes import Route, parse_route
from local.functions_host.settings import fill_from_local_settings
from local.functions_host.storage import Storage
from local.functions_host.timer_state import ScheduleMonitor, TimerLock
from local.functions_host.timers import TimerListener
from local.functions_host.webhooks import Webhooks
from local.functions_host.worker import Worker

LOG = logging.getLogger(__name__)

T = TypeVar("T")
GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class HostConfig:
    """What the command line says. `message_lease` and `response_timeout` in seconds."""

    app: Path
    port: int
    keys: Path
    host_id: str
    message_lease: float = 30.0
    response_timeout: float = 230.0


def default_host_id(app: Path) -> str:
    """A host id for an app folder: the same folder, the same id."""
    name = re.sub(r"[^a-z0-9]+", "-", app.name.lower()).strip("-")[:20].strip("-")
    return f"{name or 'app'}-{hashlib.sha256(str(app).encode()).hexdigest()[:8]}"


class Host:
    """One app, loaded and listened for."""

    def __init__(self, config: HostConfig) -> None:
        self._config = config
        self._worker = Worker()
        self._tasks: list[asyncio.Task[None]] = []
        self._queues: list[QueueListener] = []
        self._timers: dict[str, TimerListener] = {}

    def load(self) -> None:
        """Read the folder and index the app. Raises StartupError with the reason in full."""
        config = self._config
        fill_from_local_settings(config.app, os.environ)
        self._options: HostOptions = read_host_json(config.app)
        self._keys = load_or_create_keys(config.keys)
        logs.configure(self._options.log_levels, self._worker.current_function)
        self._app: App = define_app(self._worker.start(config.app), os.environ)

    async def start(self) -> int:
        """Start listening; returns the HTTP port. Raises StartupError when that cannot be."""
        self._storage = Storage(os.environ)
        try:
            return await self._start()
        except StartupError:
            await self._storage.close()
            raise

    async def _start(self) -> int:
        self._invoker = Invoker(self._worker, self._write_to_queue, self._options.function_timeout)
        self._lock: TimerLock | None = None
        self._in_error = dict(self._app.in_error)
        self._require_host_storage()
        self._check_outputs()
        routes = self._routes()
        for function, trigger in self._of_type(QueueTrigger):
            self._listen_to_queue(function, trigger)
        self._blobs = blobs = self._listen_to_blobs()
        for function, timer in self._of_type(TimerTrigger):
            self._listen_to_timer(function, timer)
        event_grid = {function.name: function for function, _ in self._of_type(EventGridTrigger)}
        runnable = tuple(item for item in self._app.functions if item.name not in self._in_error)
        self._app = App(runnable, self._in_error)
        self._http = HttpServer(
            self._app,
            [(route, trigger, function) for route, trigger, function in routes],
            self._keys,
            self._config.keys,
            self._invoker,
            Webhooks(event_grid, blobs, self._invoker),
            self._timers,
            host_id=self._config.host_id,
            response_timeout=self._config.response_timeout,
        )
        try:
            port = await self._http.start(self._config.port)
        except OSError as error:
            raise StartupError(f"cannot listen on 127.0.0.1:{self._config.port}: {error}") from error
        if self._lock is not None:
            self._spawn(self._lock.run())
        self._polling = [self._spawn(listener.run()) for listener in self._queues]
        for timer_listener in self._timers.values():
            self._spawn(timer_listener.run())
        return port

    def describe(self) -> Iterable[str]:
        """One line per function: name, trigger, and where it listens; then those in error."""
        prefix = self._options.route_prefix
        for function in self._app.functions:
            trigger = function.trigger
            if isinstance(trigger, HttpTrigger) and prefix:
                trigger = dataclasses.replace(trigger, route=f"/{prefix}/{trigger.route.strip('/')}")
            yield f"{function.name}: {function.trigger_type} {trigger}"
        for name, reason in self._app.in_error.items():
            yield f"The '{name}' function is in error: {reason}"

    async def stop(self) -> None:
        """Stop listening, let running functions end within the grace period, give back what is left."""
        for listener in self._queues:
            listener.stop()
        if self._blobs is not None:
            self._blobs.stop()
        for timer in self._timers.values():
            timer.stop()
        await self._http.stop_listening()
        in_time, *_ = await asyncio.gather(
            self._invoker.wait_until_idle(GRACE_SECONDS), *(listener.finish(GRACE_SECONDS) for listener in self._queues)
        )
        if not in_time:
            LOG.warning("Functions still ran after %s s and are left behind", GRACE_SECONDS)
        # A queue may just have been asked: what it answers is to be given back, not forgotten.
        if self._polling:
            await asyncio.wait(self._polling, timeout=1)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._lock is not None:
            await self._lock.release()
        await self._http.close()
        await self._storage.close()

    def _of_type(self, kind: type[T]) -> list[tuple[Function, T]]:
        return [
            (function, function.trigger)
            for function in self._app.functions
            if isinstance(function.trigger, kind) and function.name not in self._in_error
        ]

    def _require_host_storage(self) -> None:
        """Blob triggers and timers keep their state in the host's own storage."""
        needing = [item.name for item in self._app.functions if isinstance(item.trigger, BlobTrigger | TimerTrigger)]
        if not needing:
            return
        try:
            self._storage.blobs(DEFAULT_CONNECTION)
            self._storage.queues(DEFAULT_CONNECTION)
        except FunctionInError as error:
            raise StartupError(f"{error} It is needed by: {', '.join(needing)}") from error

    def _routes(self) -> list[tuple[Route, HttpTrigger, Function]]:
        routes = []
        prefix = self._options.route_prefix
        for function, trigger in self._of_type(HttpTrigger):
            try:
                route = parse_route(f"{prefix}/{trigger.route.strip('/')}" if prefix else trigger.route)
            except FunctionInError as error:
                self._in_error[function.name] = str(error)
            else:
                routes.append((route, trigger, function))
        return routes

    def _check_outputs(self) -> None:
        """A function that could not write what it returns must not run in the first place."""
        for function in self._app.functions:
            try:
                for output in function.outputs:
                    self._storage.queues(output.connection)
            except FunctionInError as error:
                self._in_error[function.name] = str(error)

    def _listen_to_queue(self, function: Function, trigger: QueueTrigger) -> None:
        options = self._options.queues
        try:
            service = self._storage.queues(trigger.connection)
            queue = Queue(service, trigger.queue, base64=options.base64)
            poison_name = poison_queue_name(trigger.queue)
            poison = None if poison_name is None else Queue(service, poison_name, base64=options.base64)
        except FunctionInError as error:
            self._in_error[function.name] = str(error)
            return
        handler = QueueTriggerHandler(function, trigger, queue, self._invoker)

        def find_poison_queue(_message: Received) -> Queue | None:
            return poison

        self._queues.append(
            QueueListener(
                queue,
                handler,
                find_poison_queue,
                options,
                lease=self._config.message_lease,
                last_activity=self._last_activity,
            )
        )

    def _listen_to_blobs(self) -> BlobTriggers | None:
        functions = {}
        for function, trigger in self._of_type(BlobTrigger):
            try:
                self._storage.blobs(trigger.connection)
                self._storage.queues(trigger.connection)
            except FunctionInError as error:
                self._in_error[function.name] = str(error)
            else:
                functions[function.full_name] = (function, trigger)
        if not functions:
            return None
        options = self._options
        base64 = options.queues.base64
        service = self._storage.queues(DEFAULT_CONNECTION)
        queue = Queue(service, blob_queue_name(self._config.host_id), base64=base64)
        blobs = BlobTriggers(functions, queue, self._storage, self._invoker, base64=base64)
        blobs.listener = QueueListener(
            queue,
            blobs.handle,
            blobs.poison_queue,
            options.blobs.as_queue(options.queues),
            lease=self._config.message_lease,
            last_activity=self._last_activity,
        )
        self._queues.append(blobs.listener)
        return blobs

    def _listen_to_timer(self, function: Function, trigger: TimerTrigger) -> None:
        config = self._config
        if self._lock is None:
            self._lock = TimerLock(self._storage, config.host_id, f"{config.app}:{config.port or os.getpid()}")
        monitor = ScheduleMonitor(self._storage, config.host_id, function.full_name) if trigger.use_monitor else None
        self._timers[function.name] = TimerListener(function, trigger, self._invoker, self._lock, monitor)

    def _last_activity(self) -> float:
        return self._invoker.last_activity

    async def _write_to_queue(self, connection: str, name: str, bodies: list[bytes]) -> None:
        queue = Queue(self._storage.queues(connection), name, base64=self._options.queues.base64)
        for body in bodies:
            await queue.put(body)
        for listener in self._queues:
            if listener.queue_name == name:
                listener.notify()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(_report)
        self._tasks.append(task)
        return task


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        LOG.critical("A listener has ended; restart the host", exc_info=task.exception())
