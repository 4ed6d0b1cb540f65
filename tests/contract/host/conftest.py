"""Fixtures of the host's tests: sample hosts, and the storage account they use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueClient, QueueServiceClient, TextBase64DecodePolicy, TextBase64EncodePolicy

from tests.contract.host.support import HOST_ID, RunningHost

PAST_STATUS = (
    '{"Last":"2020-01-01T00:00:00+00:00","Next":"2021-01-01T00:00:00+00:00","LastUpdated":"2020-01-01T00:00:00+00:00"}'
)


@dataclass(frozen=True)
class Account:
    """One storage account, seen with the SDK."""

    connection_string: str

    @property
    def blobs(self) -> BlobServiceClient:
        return BlobServiceClient.from_connection_string(self.connection_string)

    def queue(self, name: str, *, base64: bool = True) -> QueueClient:
        if not base64:
            return QueueClient.from_connection_string(self.connection_string, name)
        return QueueClient.from_connection_string(
            self.connection_string,
            name,
            message_encode_policy=TextBase64EncodePolicy(),
            message_decode_policy=TextBase64DecodePolicy(),
        )

    def make_queue(self, name: str, *, base64: bool = True) -> QueueClient:
        queue = self.queue(name, base64=base64)
        if name not in [item.name for item in self._queues().list_queues()]:
            queue.create_queue()
        return queue

    def is_empty(self, name: str) -> bool:
        """Whether the queue holds no message, not even one under lease."""
        return self.queue(name).get_queue_properties().approximate_message_count == 0

    def _queues(self) -> QueueServiceClient:
        return QueueServiceClient.from_connection_string(self.connection_string)

    def environment(self) -> dict[str, str]:
        return {
            "AzureWebJobsStorage": self.connection_string,
            "DATA": self.connection_string,
            "SAMPLE_QUEUE": "sample",
        }


@pytest.fixture(scope="package")
def account(azurite: Callable[[], str]) -> Account:
    """The account of the host that most tests share."""
    account = Account(azurite())
    account.blobs.create_container("images")
    hosts = account.blobs.create_container("azure-webjobs-hosts")
    hosts.upload_blob(f"timers/{HOST_ID}/Host.Functions.each_year/status", PAST_STATUS)
    return account


@pytest.fixture(scope="package")
def host(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    """The sample app `everything`, running."""
    running = RunningHost(
        "everything", tmp_path_factory.mktemp("everything"), account.environment(), "--message-lease", "2"
    )
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture
def own_account(storage: str) -> Account:
    """An empty account for one test."""
    account = Account(storage)
    account.blobs.create_container("images")
    return account


@pytest.fixture
def slow(own_account: Account, tmp_path: Path) -> Iterator[Callable[[], RunningHost]]:
    """Starts hosts of the sample app `slow`, one after the other, on one account and journal."""
    environment = {**own_account.environment(), "RELEASE": str(tmp_path / "release")}
    started: list[RunningHost] = []

    def start() -> RunningHost:
        started.append(RunningHost("slow", tmp_path, environment, "--message-lease", "2", "--response-timeout", "0.5"))
        return started[-1].start()

    try:
        yield start
    finally:
        (tmp_path / "release").touch()
        for running in started:
            running.stop()
