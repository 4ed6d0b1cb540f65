"""Queue triggers: a message → the worker's value and metadata (QueueTriggerBinding in the storage extension)."""

from __future__ import annotations

import json
import logging
from datetime import datetime

from local.functions_host.functions import Function, QueueTrigger
from local.functions_host.invoker import Invoker
from local.functions_host.messages import TypedData
from local.functions_host.queues import Queue, Received

LOG = logging.getLogger(__name__)


def queue_metadata(message: Received, body: str | None) -> dict[str, TypedData]:
    """What the worker decodes a QueueMessage from, beside the body."""
    metadata = {
        "DequeueCount": TypedData(json=str(message.dequeue_count)),
        "ExpirationTime": _time(message.expires_on),
        "Id": TypedData(string=message.id),
        "InsertionTime": _time(message.inserted_on),
        "NextVisibleTime": _time(message.next_visible_on),
        "PopReceipt": TypedData(string=message.pop_receipt),
    }
    if body is not None:
        metadata["QueueTrigger"] = TypedData(string=body)
        _add_fields(metadata, body)
    return metadata


def _time(moment: datetime) -> TypedData:
    return TypedData(json=json.dumps(moment.isoformat()))


def _add_fields(metadata: dict[str, TypedData], body: str) -> None:
    """Add the top-level fields of a JSON object, *over* fields of the same name whatever their case.

    That is what the real host does (Utility.ApplyBindingData, on a dictionary that ignores case): a message
    `{"id": "x"}` arrives with `message.id == "x"`. Better to meet that here than in Azure.
    """
    if not body.lstrip().startswith("{"):
        return
    try:
        fields = json.loads(body)
    except ValueError:
        return
    names = {name.lower(): name for name in metadata}
    for field, value in fields.items():
        if value is None or isinstance(value, list):
            continue
        name = names.get(field.lower(), field)
        text = value if isinstance(value, str) else json.dumps(value)
        metadata[name] = TypedData(json=text) if isinstance(value, dict) else TypedData(string=text)


class QueueTriggerHandler:
    """Runs one function on each message of its queue."""

    def __init__(self, function: Function, trigger: QueueTrigger, queue: Queue, invoker: Invoker) -> None:
        self._function = function
        self._trigger = trigger
        self._queue = queue
        self._invoker = invoker

    async def __call__(self, message: Received) -> bool:
        try:
            body = self._queue.decode(message)
            text = None if self._trigger.binary else body.decode()
        except ValueError as error:
            LOG.warning("Function '%s' cannot be given a message: %s", self._function.name, error)
            return False
        data = TypedData(bytes=body) if text is None else TypedData(string=text)
        outcome = await self._invoker.invoke(
            self._function,
            data,
            queue_metadata(message, text),
            reason=f"New queue message detected on '{self._queue.name}', dequeue count {message.dequeue_count}.",
        )
        return outcome.succeeded
