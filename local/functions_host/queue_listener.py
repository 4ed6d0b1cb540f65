"""Reading a queue: lease messages, hand them on, delete, retry or set aside.

The rules are those of QueueListener and QueueProcessor in the storage extension: a batch at a time, the next one when
`new_batch_threshold` or fewer are in work; after success the message is deleted; after a failure it becomes visible
again after `visibility_timeout`, or goes to the poison queue when this was try number `max_dequeue_count`. A queue
that does not exist is waited for. Two things differ, for a laptop's sake: polling is faster, and the lease is short
and often renewed (the real one is 10 minutes), so that after a crash work goes on soon.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable

from local.functions_host.host_json import QueueOptions
from local.functions_host.queues import Queue, Received
from local.functions_host.storage import StorageError

LOG = logging.getLogger(__name__)

SHORTEST_WAIT = 0.05
# Idle queues are asked this often while the host is in use, and after a quiet minute less and less often.
ACTIVE_WAIT = 0.25
QUIET_WAIT = 1.0
QUIET_AFTER = 60.0
RELEASE_SECONDS = 2.0
_TAKEN_OVER = {"PopReceiptMismatch", "MessageNotFound", "QueueNotFound"}

# Works on one message; whether it succeeded.
Handler = Callable[[Received], Awaitable[bool]]
# Where a message goes that has failed for good; None: nowhere, it stays under lease and is tried again later.
FindPoisonQueue = Callable[[Received], Queue | None]


class QueueListener:
    """Listens to one queue until stopped."""

    def __init__(
        self,
        queue: Queue,
        handler: Handler,
        find_poison_queue: FindPoisonQueue,
        options: QueueOptions,
        *,
        lease: float,
        last_activity: Callable[[], float],
    ) -> None:
        self._queue = queue
        self._handler = handler
        self._find_poison_queue = find_poison_queue
        self._options = options
        self._lease = lease
        self._last_activity = last_activity
        self._wake = asyncio.Event()
        self._stopping = False
        self._working: set[asyncio.Task[None]] = set()

    @property
    def queue_name(self) -> str:
        return self._queue.name

    def notify(self) -> None:
        """Say that a message was just put: look now."""
        self._wake.set()

    def stop(self) -> None:
        """Take no more messages; those in work go on."""
        self._stopping = True
        self._wake.set()

    async def finish(self, seconds: float) -> None:
        """After `stop`: let the messages in work be completed, then give back those that are left."""
        if self._working:
            await asyncio.wait(self._working, timeout=seconds)
        for task in self._working:
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)

    async def run(self) -> None:
        """Poll until `stop`. Storage errors are logged and waited out."""
        wait, failures = SHORTEST_WAIT, 0
        while not self._stopping:
            self._wake.clear()
            messages: list[Received] = []
            try:
                messages = await self._queue.receive(self._options.batch_size, self._lease)
                failures = 0
            except StorageError as error:
                failures = 0 if error.not_found else failures + 1
                LOG.log(
                    logging.WARNING if failures == 1 else logging.DEBUG,
                    "Queue '%s' cannot be read, trying again: %s",
                    self._queue.name,
                    error,
                )
            if self._stopping:
                await asyncio.gather(*(self._queue.renew(message, 0) for message in messages), return_exceptions=True)
                return
            for message in messages:
                task = asyncio.create_task(self._process(message))
                self._working.add(task)
                task.add_done_callback(self._working.discard)
            if messages:
                wait = SHORTEST_WAIT
                while len(self._working) > self._options.new_batch_threshold and not self._stopping:
                    await asyncio.wait(self._working, return_when=asyncio.FIRST_COMPLETED)
            else:
                await self._pause(wait if not failures else max(wait, QUIET_WAIT))
                wait = min(wait * 1.5, self._longest_wait())

    def _longest_wait(self) -> float:
        quiet = self._options.max_polling_interval or QUIET_WAIT
        in_use = time.monotonic() - self._last_activity() < QUIET_AFTER
        return min(ACTIVE_WAIT, quiet) if in_use else quiet

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _process(self, message: Received) -> None:
        try:
            if message.dequeue_count > self._options.max_dequeue_count:
                await self._set_aside(message)
                return
            done = asyncio.Event()
            renewing = asyncio.create_task(self._keep(message, done))
            try:
                succeeded = await self._handler(message)
            except asyncio.CancelledError:
                done.set()
                async with asyncio.timeout(RELEASE_SECONDS):
                    await self._release(await renewing, 0)
                raise
            finally:
                done.set()
            message = await renewing
            if succeeded:
                await self._queue.delete(message)
            elif message.dequeue_count >= self._options.max_dequeue_count:
                await self._set_aside(message)
            else:
                await self._release(message, self._options.visibility_timeout)
        except StorageError as error:
            if error.code in _TAKEN_OVER:
                LOG.warning("Message %s of queue '%s' is in other hands by now", message.id, self._queue.name)
            else:
                LOG.warning("Message %s of queue '%s' is left for later: %s", message.id, self._queue.name, error)
        except Exception:
            # Storage is down, say. The lease runs out and the message is tried again: queues promise at least once.
            LOG.exception("Message %s of queue '%s' could not be completed", message.id, self._queue.name)

    async def _keep(self, message: Received, done: asyncio.Event) -> Received:
        """Renew the lease until `done`; returns the message with its latest pop receipt."""
        while True:
            try:
                async with asyncio.timeout(self._lease / 3):
                    await done.wait()
            except TimeoutError:
                pass
            else:
                return message
            try:
                receipt = await self._queue.renew(message, self._lease)
                message = dataclasses.replace(message, pop_receipt=receipt)
            except StorageError as error:
                LOG.warning("Lease of message %s of queue '%s' not renewed: %s", message.id, self._queue.name, error)

    async def _release(self, message: Received, seconds: float) -> None:
        if self._find_poison_queue(message) is not None:
            await self._queue.renew(message, seconds)
        # Without a poison queue it stays under lease: made visible at once, it would fail in a tight loop.

    async def _set_aside(self, message: Received) -> None:
        poison = self._find_poison_queue(message)
        if poison is None:
            return
        LOG.warning(
            "Message has reached MaxDequeueCount of %d. Moving message to queue '%s'.",
            self._options.max_dequeue_count,
            poison.name,
        )
        await poison.put_encoded(message.text)
        await self._queue.delete(message)
