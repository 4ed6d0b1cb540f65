"""Storage asks for roles where a token is brought, and for none where a key has signed."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobClient, BlobServiceClient
from azure.storage.queue import QueueServiceClient

from local.cloud.identity import APP_CLIENT_ID, IdentityProvider
from local.config import StackConfig
from tests.contract.cloud.arm import Arm
from tests.contract.cloud.conftest import RunningStack
from tests.contract.cloud.roles import Owner, Somebody, give, take

MISMATCH = "This request is not authorized to perform this operation using this permission"


class Services:
    """The three services, as somebody sees them."""

    def __init__(self, config: StackConfig, somebody: Somebody, resources: ExitStack) -> None:
        blob, queue, table = (config.storage_url(each) for each in ("blob", "queue", "table"))
        self.object_id = somebody.object_id
        self.blobs = resources.enter_context(BlobServiceClient(blob, credential=somebody))
        self.queues = resources.enter_context(QueueServiceClient(queue, credential=somebody))
        self.tables = resources.enter_context(TableServiceClient(table, credential=somebody))


@pytest.fixture
def name() -> str:
    """Of a container, queue and table."""
    return f"a{uuid.uuid4().hex[:12]}"


@pytest.fixture
def resources(config: StackConfig, name: str) -> Iterator[ExitStack]:
    """A container with one blob, a queue with one message, and a table with one entity."""
    with ExitStack() as stack:
        app = Services(config, Somebody(config, APP_CLIENT_ID), stack)
        app.blobs.create_container(name).upload_blob("blob", b"text")
        app.queues.create_queue(name).send_message("message")
        app.tables.create_table(name).create_entity({"PartitionKey": "p", "RowKey": "r"})
        yield stack


@pytest.fixture
def theirs(config: StackConfig, resources: ExitStack) -> Services:
    """Of somebody without a role."""
    return Services(config, Somebody(config), resources)


@pytest.fixture
def account(config: StackConfig, stack: RunningStack) -> str:
    return Arm(config).account


def refused(call: Callable[[], object]) -> bool:
    with pytest.raises(HttpResponseError, match=MISMATCH) as error:
        call()
    return code_of(error.value) == (403, "AuthorizationPermissionMismatch")


def code_of(error: HttpResponseError) -> tuple[int | None, str]:
    response: Any = error.response
    return error.status_code, response.headers["x-ms-error-code"]


def test_without_a_role_each_service_refuses_in_its_own_form(theirs: Services, name: str) -> None:
    assert refused(lambda: theirs.blobs.get_blob_client(name, "blob").download_blob().readall())
    assert refused(lambda: theirs.blobs.create_container(f"{name}b"))
    assert refused(lambda: list(theirs.blobs.list_containers()))
    assert refused(lambda: list(theirs.queues.get_queue_client(name).receive_messages()))
    assert refused(lambda: theirs.tables.get_table_client(name).get_entity("p", "r"))
    assert refused(lambda: list(theirs.tables.list_tables()))
    with pytest.raises(HttpResponseError) as error:
        theirs.blobs.get_blob_client(name, "blob").get_blob_properties()
    assert code_of(error.value) == (403, "AuthorizationPermissionMismatch")


def test_a_big_upload_is_refused_without_breaking_the_connection(theirs: Services, name: str) -> None:
    assert refused(lambda: theirs.blobs.get_blob_client(name, "big").upload_blob(bytes(8_000_000)))


def test_a_reader_reads_and_does_not_write(theirs: Services, config: StackConfig, account: str, name: str) -> None:
    for role in ("Storage Blob Data Reader", "Storage Table Data Reader"):
        give(config, theirs.object_id, role, account)
    container, table = theirs.blobs.get_container_client(name), theirs.tables.get_table_client(name)
    assert [blob.name for blob in container.list_blobs()] == ["blob"]
    assert container.download_blob("blob").readall() == b"text"
    assert table.get_entity("p", "r")["RowKey"] == "r"
    assert refused(lambda: container.upload_blob("other", b""))
    assert refused(lambda: container.delete_blob("blob"))
    assert refused(lambda: table.create_entity({"PartitionKey": "p", "RowKey": "s"}))
    assert refused(lambda: table.submit_transaction([("upsert", {"PartitionKey": "p", "RowKey": "s"})]))


def test_a_sender_of_messages_does_not_receive_them(
    theirs: Services, config: StackConfig, account: str, name: str
) -> None:
    give(config, theirs.object_id, "Storage Queue Data Message Sender", account)
    queue = theirs.queues.get_queue_client(name)
    queue.send_message("theirs")
    assert refused(queue.peek_messages)
    assert refused(lambda: list(queue.receive_messages()))
    assert refused(queue.clear_messages)


def test_a_role_at_one_container_opens_that_one(theirs: Services, config: StackConfig, account: str, name: str) -> None:
    scope = f"{account}/blobServices/default/containers/{name}"
    given = give(config, theirs.object_id, "Storage Blob Data Contributor", scope)
    theirs.blobs.get_blob_client(name, "theirs").upload_blob(b"")
    assert refused(lambda: theirs.blobs.get_blob_client("other", "theirs").upload_blob(b""))
    assert refused(lambda: list(theirs.blobs.list_containers()))
    take(config, given)
    assert refused(lambda: theirs.blobs.get_blob_client(name, "theirs").delete_blob())


def test_owners_manage_the_account_and_do_not_see_its_data(
    config: StackConfig, resources: ExitStack, name: str
) -> None:
    services = Services(config, Owner(config), resources)
    assert services.blobs.create_container(f"{name}-owners").exists()
    assert refused(lambda: services.blobs.get_blob_client(name, "blob").download_blob().readall())


def test_an_account_key_needs_no_role(config: StackConfig, resources: ExitStack, name: str) -> None:
    with BlobClient.from_connection_string(config.connection_string(), name, "blob") as blob:
        assert blob.download_blob().readall() == b"text"


def test_a_token_of_another_cloud_opens_nothing(
    config: StackConfig, resources: ExitStack, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forger = Somebody(config, APP_CLIENT_ID)
    monkeypatch.setattr(IdentityProvider, "_sign", lambda *_: bytes(32))
    blob = Services(config, forger, resources).blobs.get_blob_client(name, "blob")
    with pytest.raises(ClientAuthenticationError) as error:
        blob.download_blob()
    assert code_of(error.value) == (401, "InvalidAuthenticationInfo")
