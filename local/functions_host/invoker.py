"""Running a function once: the log lines around it, its time limit, and its queue outputs."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from local.functions_host.functions import Function
from local.functions_host.messages import TypedData
from local.functions_host.worker import Request, Response, Worker

LOG = logging.getLogger(__name__)

# Puts message bodies on a queue: (connection, queue, bodies).
QueueWriter = Callable[[str, str, list[bytes]], Awaitable[None]]


@dataclass(frozen=True)
class Outcome:
    """Of one invocation. `error` None: it succeeded, outputs included."""

    invocation_id: str
    return_value: TypedData | None
    error: str | None

    @property
    def succeeded(self) -> bool:
        return self.error is None


class Invoker:
    """Runs functions on the worker, and knows how many are running and when the last one ended."""

    def __init__(self, worker: Worker, write_to_queue: QueueWriter, timeout: float | None) -> None:
        self._worker = worker
        self._write_to_queue = write_to_queue
        self._timeout = timeout
        self._idle = asyncio.Event()
        self._idle.set()
        self.running = 0
        self.last_activity = time.monotonic()

    async def invoke(
        self,
        function: Function,
        data: TypedData,
        metadata: Mapping[str, TypedData] | None = None,
        *,
        reason: str,
        trace_parent: str | None = None,
        retry: tuple[int, int] = (0, 0),
    ) -> Outcome:
        """Run `function` on one trigger value. Never raises for what the function does; `retry` is (count, maximum)."""
        request = Request(
            invocation_id=str(uuid.uuid4()),
            function_id=function.id,
            parameter=function.parameter,
            data=data,
            metadata=metadata or {},
            trace_parent=trace_parent or f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01",
            retry_count=retry[0],
            max_retry_count=retry[1],
        )
        LOG.info("Executing 'Functions.%s' (Reason='%s', Id=%s)", function.name, reason, request.invocation_id)
        started = time.monotonic()
        self.running += 1
        self._idle.clear()
        outcome = Outcome(request.invocation_id, None, "cancelled, the host is stopping")
        try:
            outcome = await self._run(function, request)
        finally:
            self.running -= 1
            self.last_activity = time.monotonic()
            if not self.running:
                self._idle.set()
            LOG.log(
                logging.INFO if outcome.succeeded else logging.ERROR,
                "Executed 'Functions.%s' (%s, Id=%s, Duration=%dms)%s",
                function.name,
                "Succeeded" if outcome.succeeded else "Failed",
                request.invocation_id,
                1000 * (time.monotonic() - started),
                "" if outcome.succeeded else f"\n{outcome.error}",
            )
        return outcome

    async def wait_until_idle(self, seconds: float) -> bool:
        """Wait for the running functions to end, `seconds` at most; whether they did."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def _run(self, function: Function, request: Request) -> Outcome:
        future = asyncio.wrap_future(self._worker.invoke(function.name, request))
        try:
            async with asyncio.timeout(self._timeout):
                response = await future
        except TimeoutError:
            return Outcome(
                request.invocation_id,
                None,
                f"Timeout value of {self._timeout} s exceeded by function 'Functions.{function.name}'"
                " (host.json functionTimeout). A function that is not async goes on in its thread.",
            )
        if response.error is not None:
            return Outcome(request.invocation_id, None, f"{response.error}\n{response.trace or ''}".rstrip())
        try:
            await self._write_outputs(function, response)
        except Exception as error:  # storage's or the value's fault: like the real host, the invocation has failed
            LOG.exception("Output of function '%s' could not be written", function.name)
            return Outcome(request.invocation_id, None, f"output binding failed: {error}")
        return Outcome(request.invocation_id, response.return_value, None)

    async def _write_outputs(self, function: Function, response: Response) -> None:
        for output in function.outputs:
            value = response.return_value if output.name == "$return" else response.outputs.get(output.name)
            if value is not None and value.kind is not None:
                await self._write_to_queue(output.connection, output.queue, queue_bodies(value))


def queue_bodies(value: TypedData) -> list[bytes]:
    """Bodies of the messages that an output value makes: one for a string or bytes, one per item of a JSON list."""
    if value.kind == "bytes":
        return [bytes(value.value)]
    if value.kind == "string":
        return [str(value.value).encode()]
    if value.kind == "json":
        parsed = json.loads(value.value)
        items = parsed if isinstance(parsed, list) else [parsed]
        return [(item if isinstance(item, str) else json.dumps(item)).encode() for item in items]
    return [str(value.value).encode()]
