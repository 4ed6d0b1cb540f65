"""Blob triggers fed by Event Grid: webhook → internal queue → download → function, five tries, poison queue.

As in the extension there are no receipts: a notification that comes twice runs the function twice, on whatever the
blob is by then; a blob that is gone is dropped without a word.

One thing differs, for a laptop's sake: while many notifications wait in the internal queue, Event Grid waits for its
answer, and keeps the others. Azurite sorts all messages at each look into a queue; with thousands it does little else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Mapping
from typing import Any

from local.functions_host.blobs import (
    POISON_QUEUE,
    BlobMessage,
    blob_metadata,
    match_path,
    message_of_event,
    properties_json,
)
from local.functions_host.functions import DEFAULT_CONNECTION, BlobTrigger, Function
from local.functions_host.invoker import Invoker
from local.functions_host.messages import TypedData
from local.functions_host.queue_listener import QueueListener
from local.functions_host.queues import Queue, Received
from local.functions_host.storage import Storage, StorageError

LOG = logging.getLogger(__name__)

MOST_QUEUED = 128
# Event Grid waits 30 s for an answer.
PATIENCE_SECONDS = 15.0


class BlobTriggers:
    """All blob-triggered functions of the app: they share one internal queue, in the host's own storage account."""

    def __init__(
        self,
        functions: Mapping[str, tuple[Function, BlobTrigger]],
        queue: Queue,
        storage: Storage,
        invoker: Invoker,
        *,
        base64: bool,
    ) -> None:
        """`functions` by their full name (`Host.Functions.<name>`); `base64`: how poison messages are encoded."""
        self._functions = functions
        self._queue = queue
        self._blobs = {name: storage.blobs(trigger.connection) for name, (_, trigger) in functions.items()}
        self._invoker = invoker
        self._poison = {
            name: Queue(storage.queues(trigger.connection), POISON_QUEUE, base64=base64)
            for name, (_, trigger) in functions.items()
        }
        self._default_poison = Queue(storage.queues(DEFAULT_CONNECTION), POISON_QUEUE, base64=base64)
        self.listener: QueueListener | None = None
        # What this process has queued and not begun to work on.
        self._queued = 0
        self._begun = asyncio.Event()
        self._is_stopping = False

    def stop(self) -> None:
        """Keep no one waiting: what is notified from now on is queued, for the next process."""
        self._is_stopping = True
        self._begun.set()

    async def enqueue(self, events: list[Mapping[str, Any]], function_id: str) -> None:
        """Queue one notification per event, when there is room. Raises ValueError for what is not a storage event."""
        messages = [message_of_event(event, function_id) for event in events]
        await self._await_room()
        self._queued += len(messages)
        for message in messages:
            await self._queue.put(message.to_json().encode())
        if self.listener is not None:
            self.listener.notify()

    async def _await_room(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while self._queued >= MOST_QUEUED and not self._is_stopping:
                    self._begun.clear()
                    await self._begun.wait()

    def poison_queue(self, message: Received) -> Queue:
        """Where `message` goes when it failed for good: the account of the trigger, or else of the host."""
        try:
            function_id = BlobMessage.from_json(self._queue.decode(message)).function_id
        except ValueError:
            return self._default_poison
        return self._poison.get(function_id, self._default_poison)

    async def handle(self, received: Received) -> bool:
        """Run the function of one notification; whether that is done with."""
        if received.dequeue_count == 1:
            self._queued = max(0, self._queued - 1)
            self._begun.set()
        try:
            message = BlobMessage.from_json(self._queue.decode(received))
        except ValueError as error:
            LOG.warning("Queue '%s' has a message that is not a blob notification: %s", self._queue.name, error)
            return False
        if message.function_id not in self._functions:
            LOG.warning("Blob '%s' is for function '%s', which there is not", message.path, message.function_id)
            return True
        function, trigger = self._functions[message.function_id]
        service = self._blobs[message.function_id]
        try:
            blob = await service.request("GET", message.path)
        except StorageError as error:
            if not error.not_found:
                raise
            LOG.debug("Blob '%s' is gone", message.path)
            return True
        names = match_path(trigger.path, message.path)
        if names is None:
            LOG.warning(
                "Function '%s' gets blob '%s', which its path '%s' does not match: the Event Grid subscription lets"
                " through too much (in Azure it would run just so)",
                function.name,
                message.path,
                trigger.path,
            )
        outcome = await self._invoker.invoke(
            function,
            TypedData(string=blob.body.decode(errors="replace")) if trigger.text else TypedData(bytes=blob.body),
            {
                "BlobTrigger": TypedData(string=message.path),
                "Uri": TypedData(json=json.dumps(service.url(message.path))),
                "Properties": TypedData(json=properties_json(blob.headers)),
                "Metadata": TypedData(json=json.dumps(blob_metadata(blob.headers))),
                **{name: TypedData(string=value) for name, value in (names or {}).items()},
            },
            reason=f"New blob detected(EventGrid): {message.path}, try {received.dequeue_count}",
        )
        return outcome.succeeded
