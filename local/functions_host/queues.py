"""One storage queue as the host sees it: raw messages, their encoding, and the calls it makes on them."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from local.functions_host.storage import Service, StorageError

MAX_QUEUE_NAME = 63
POISON_SUFFIX = "-poison"
_XML = {"Content-Type": "application/xml"}


@dataclass(frozen=True)
class Received:
    """A message under lease. `text` is the content as it lies in the queue, still encoded. Times are aware, UTC."""

    id: str
    text: str
    pop_receipt: str
    dequeue_count: int
    inserted_on: datetime
    expires_on: datetime
    next_visible_on: datetime


class Queue:
    """A queue of one account; `base64` is host.json's messageEncoding. Calls raise StorageError."""

    def __init__(self, service: Service, name: str, *, base64: bool = True) -> None:
        self.name = name
        self._service = service
        self._base64 = base64
        self._messages = f"{name}/messages"

    async def receive(self, count: int, lease: float) -> list[Received]:
        """Up to `count` messages, invisible to others for `lease` seconds. StorageError.not_found: no such queue."""
        query = {"numofmessages": str(count), "visibilitytimeout": str(round(lease))}
        answer = await self._service.request("GET", self._messages, query)
        # The parser is safe for what the configured storage account answers.
        return [_received(item) for item in ET.fromstring(answer.body).iter("QueueMessage")]  # noqa: S314

    async def renew(self, message: Received, lease: float) -> str:
        """Keep `message` invisible for `lease` more seconds; returns its new pop receipt."""
        query = {"popreceipt": message.pop_receipt, "visibilitytimeout": str(round(lease))}
        answer = await self._service.request("PUT", f"{self._messages}/{message.id}", query)
        return answer.headers["x-ms-popreceipt"]

    async def delete(self, message: Received) -> None:
        await self._service.request("DELETE", f"{self._messages}/{message.id}", {"popreceipt": message.pop_receipt})

    async def put(self, body: bytes) -> None:
        """Add a message with this body, encoded; make the queue if there is none."""
        await self.put_encoded(base64.b64encode(body).decode("ascii") if self._base64 else body.decode())

    async def put_encoded(self, text: str) -> None:
        """Add a message whose content is already as it should lie in the queue."""
        document = f"<QueueMessage><MessageText>{escape(text)}</MessageText></QueueMessage>".encode()
        try:
            await self._service.request("POST", self._messages, headers=_XML, body=document)
        except StorageError as error:
            if not error.not_found:
                raise
            await self.create()
            await self._service.request("POST", self._messages, headers=_XML, body=document)

    async def create(self) -> None:
        """Make the queue; if there is one already, that is fine."""
        try:
            await self._service.request("PUT", self.name)
        except StorageError as error:
            if error.code != "QueueAlreadyExists":
                raise

    def decode(self, message: Received) -> bytes:
        """The body of `message`. Raises ValueError when it is not base64 and should be."""
        if not self._base64:
            return message.text.encode()
        try:
            return base64.b64decode(message.text, validate=True)
        except binascii.Error as error:
            raise ValueError(
                f"message {message.id} of queue {self.name} is not base64 ({error});"
                ' host.json extensions.queues.messageEncoding is "base64"'
            ) from error


def poison_queue_name(queue: str) -> str | None:
    """The poison queue of `queue`; None when it is one itself or the name would be too long (as in the extension)."""
    name = queue + POISON_SUFFIX
    return None if queue.endswith(POISON_SUFFIX) or len(name) > MAX_QUEUE_NAME else name


def _received(item: ET.Element) -> Received:
    def text(name: str) -> str:
        return item.findtext(name) or ""

    return Received(
        id=text("MessageId"),
        text=text("MessageText"),
        pop_receipt=text("PopReceipt"),
        dequeue_count=int(text("DequeueCount")),
        inserted_on=parsedate_to_datetime(text("InsertionTime")),
        expires_on=parsedate_to_datetime(text("ExpirationTime")),
        next_visible_on=parsedate_to_datetime(text("TimeNextVisible")),
    )
