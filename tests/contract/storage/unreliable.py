"""Storage clients whose writes can be watched, killed or robbed of their answers, at the HTTP transport."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from azure.core.exceptions import ServiceResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient, LinearRetry
from azure.storage.queue import LinearRetry as QueueLinearRetry
from azure.storage.queue import QueueServiceClient

from shared.clients import DATA_STORAGE, Clients
from shared.settings import Settings


class ProcessKilled(BaseException):
    """The process died here. No handler of errors may see it."""


class Writes:
    """The writes of one process, counted from 1. What happens at them is for a subclass."""

    def __init__(self) -> None:
        self.count = 0
        self._counting = threading.Lock()
        self._thread = threading.local()

    @property
    def number(self) -> int:
        """The number of the write that this thread is at."""
        number: int = self._thread.number
        return number

    def send(self, request: Any, send: Callable[[], Any]) -> Any:
        """Send one request, through `send`."""
        if request.method not in {"GET", "HEAD"}:
            with self._counting:
                self.count += 1
                self._thread.number = self.count
            return self.write(request, send)
        return send()

    def write(self, request: Any, send: Callable[[], Any]) -> Any:
        """Send one write, the `count`-th."""
        return send()


class KilledAt(Writes):
    """The process dies before its n-th write, which on storage is the same as right after the one before."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    @property
    def killed(self) -> bool:
        return self.count >= self._number

    def send(self, request: Any, send: Callable[[], Any]) -> Any:
        if self.killed:
            raise ProcessKilled
        return super().send(request, send)

    def write(self, request: Any, send: Callable[[], Any]) -> Any:
        if self.killed:
            raise ProcessKilled
        return send()


class AnswerLostAt(Writes):
    """The n-th write is carried out, but its answer is lost. The SDK sends some writes again, others it gives up."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def write(self, request: Any, send: Callable[[], Any]) -> Any:
        answer = send()
        if self.number == self._number:
            answer.internal_response.close()
            raise ServiceResponseError("connection aborted")
        return answer


class LateAt(Writes):
    """The n-th write times out, and is carried out only when it is told to arrive. The SDK sends some writes again."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number
        self._late: Callable[[], Any] | None = None

    def write(self, request: Any, send: Callable[[], Any]) -> Any:
        if self.number == self._number:
            self._late = send
            raise ServiceResponseError("timed out")
        return send()

    def arrive(self) -> None:
        if self._late is not None:
            self._late().internal_response.close()


class _Transport(RequestsTransport):  # type: ignore[misc] # azure.core loads it lazily, as Any
    def __init__(self, writes: Writes) -> None:
        super().__init__()
        self._writes = writes

    def send(self, request: Any, **options: Any) -> Any:
        return self._writes.send(request, functools.partial(super().send, request, **options))


class UnreliableClients(Clients):
    """Clients of one storage account whose writes go through `writes`. Retries come without delay."""

    def __init__(self, configured: Settings, connection_string: str, writes: Writes) -> None:
        super().__init__(configured, {DATA_STORAGE: connection_string})
        self._connection_string = connection_string
        self._writes = writes

    @functools.cached_property
    def blobs(self) -> BlobServiceClient:
        return BlobServiceClient.from_connection_string(
            self._connection_string,
            transport=_Transport(self._writes),
            retry_policy=LinearRetry(backoff=0, random_jitter_range=0),
        )

    @functools.cached_property
    def queues(self) -> QueueServiceClient:
        return QueueServiceClient.from_connection_string(
            self._connection_string,
            transport=_Transport(self._writes),
            retry_policy=QueueLinearRetry(backoff=0, random_jitter_range=0),
        )

    @functools.cached_property
    def tables(self) -> TableServiceClient:
        return TableServiceClient.from_connection_string(
            self._connection_string, transport=_Transport(self._writes), retry_backoff_factor=0
        )


class Requests(Writes):
    """Counts the requests, reads included."""

    total = 0

    def send(self, request: object, send: Callable[[], object]) -> object:
        self.total += 1
        return super().send(request, send)
