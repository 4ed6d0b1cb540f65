"""The storage proxy: what passes, what is counted, what is never held in memory."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.data.tables import TableServiceClient
from azure.storage.blob import (
    BlobClient,
    BlobServiceClient,
    ContainerClient,
    ContainerSasPermissions,
    ContentSettings,
    generate_container_sas,
)
from azure.storage.queue import QueueServiceClient

from local.config import HOST_AGENT, StackConfig
from tests.contract.cloud.conftest import RunningStack

BIG = 64 * 1024 * 1024


@pytest.fixture(scope="module")
def shared_key(stack: RunningStack) -> Iterator[ContainerClient]:
    """A container by connection string: SharedKey over plain HTTP."""
    with (
        BlobServiceClient.from_connection_string(stack.config.connection_string()) as service,
        service.create_container("proxied") as container,
    ):
        yield container


@pytest.mark.parametrize(
    "name", ["plain", "with space", "ümläut/ß", "a+b%2Fc", "q?x=1&y", "double//slash", "dot/.hidden"]
)
def test_any_blob_name_survives_with_its_content_and_headers(shared_key: ContainerClient, name: str) -> None:
    settings = ContentSettings(content_type="image/png", content_encoding="gzip", cache_control="no-cache")
    shared_key.upload_blob(name, b"\x1f\x8b not really gzip", content_settings=settings, metadata={"a": "1"})
    blob = shared_key.get_blob_client(name)
    properties = blob.get_blob_properties()
    assert properties.size == 18
    assert properties.content_settings.content_type == "image/png"
    assert properties.content_settings.content_encoding == "gzip"
    assert properties.metadata == {"a": "1"}
    assert blob.exists()
    assert name in list(shared_key.list_blob_names())


def test_content_is_passed_byte_for_byte(shared_key: ContainerClient) -> None:
    content = os.urandom(300_000)
    blob = shared_key.upload_blob("bytes", content)
    assert blob.download_blob().readall() == content
    assert blob.download_blob(offset=1000, length=10).readall() == content[1000:1010]
    shared_key.upload_blob("empty", b"")
    assert shared_key.download_blob("empty").readall() == b""


def test_sas_and_tls_pass(config: StackConfig, shared_key: ContainerClient) -> None:
    shared_key.upload_blob("for-sas", b"yes", overwrite=True)
    sas = generate_container_sas(
        config.account_name,
        "proxied",
        account_key=config.account_key,
        permission=ContainerSasPermissions(read=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    url = f"{config.storage_url('blob')}/proxied/for-sas"
    response = requests.get(f"{url}?{sas}", verify=str(config.certificate), timeout=10)
    assert (response.status_code, response.content) == (200, b"yes")
    assert requests.get(url, verify=str(config.certificate), timeout=10).status_code in (403, 404)
    write = {"data": b"no", "headers": {"x-ms-blob-type": "BlockBlob"}}
    refused = requests.put(f"{url}?{sas}", verify=str(config.certificate), timeout=10, **write)  # type: ignore[arg-type]
    assert refused.status_code == 403


def test_errors_and_conditions_pass(shared_key: ContainerClient) -> None:
    with pytest.raises(ResourceNotFoundError):
        shared_key.download_blob("not-there")
    shared_key.upload_blob("once", b"1")
    with pytest.raises(ResourceExistsError):
        shared_key.upload_blob("once", b"2")
    wrong = BlobClient(shared_key.url.rsplit("/", 1)[0], "proxied", "once", credential="d3Jvbmc=")
    with pytest.raises(HttpResponseError):
        wrong.download_blob()
    wrong.close()


def write_sas(config: StackConfig) -> str:
    permission = ContainerSasPermissions(read=True, write=True, create=True)
    expiry = datetime.now(UTC) + timedelta(hours=1)
    return generate_container_sas(
        config.account_name, "proxied", account_key=config.account_key, permission=permission, expiry=expiry
    )


def test_a_client_that_expects_continue_is_told_to(config: StackConfig, shared_key: ContainerClient) -> None:
    head = (
        f"PUT /{config.account_name}/proxied/expected?{write_sas(config)} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        "x-ms-blob-type: BlockBlob\r\nx-ms-version: 2023-11-03\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
        "Connection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", config.ports["blob_http"]), timeout=10) as connection:
        connection.sendall(head.encode())
        assert connection.recv(1024).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"hello")
        assert connection.recv(1024).startswith(b"HTTP/1.1 201 ")
    assert shared_key.download_blob("expected").readall() == b"hello"


def test_a_big_upload_and_download_stream_through_without_being_held(
    stack: RunningStack, shared_key: ContainerClient, tmp_path: Path
) -> None:
    before = _peak_memory(stack.cloud.pid)
    digest = hashlib.sha256()
    file = tmp_path / "big"
    with file.open("wb") as out:
        for _ in range(BIG // 2**20):
            block = os.urandom(2**20)
            digest.update(block)
            out.write(block)
    with file.open("rb") as source:
        blob = shared_key.upload_blob("big", source, length=BIG, overwrite=True, max_concurrency=1)
    received = hashlib.sha256()
    for chunk in blob.download_blob().chunks():
        received.update(chunk)
    assert received.digest() == digest.digest()
    # The SDK sends 64 MiB as one request or as 4 MiB blocks; either way only the window in flight is held.
    assert _peak_memory(stack.cloud.pid) - before < BIG // 2


def _peak_memory(guard: int) -> int:
    """Peak resident bytes of the cloud, a child of its guard (Linux; elsewhere 0)."""
    children = Path(f"/proc/{guard}/task/{guard}/children")
    if not children.exists():
        return 0
    status = Path(f"/proc/{children.read_text().split()[0]}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def test_queues_and_tables_pass(config: StackConfig) -> None:
    with QueueServiceClient.from_connection_string(config.connection_string()) as queues:
        queue = queues.create_queue("proxied")
        for number in range(3):
            queue.send_message(f"message {number} <&>")
        received = [message for page in queue.receive_messages(messages_per_page=3).by_page() for message in page]
        assert [message.content for message in received] == [f"message {number} <&>" for number in range(3)]
        for message in received:
            queue.delete_message(message)
        assert queue.get_queue_properties().approximate_message_count == 0
    with TableServiceClient.from_connection_string(config.connection_string()) as tables:
        table = tables.create_table("proxied")
        rows = [{"PartitionKey": "p q", "RowKey": f"r{n:03}", "n": n, "t": "ü"} for n in range(100)]
        table.submit_transaction([("create", row) for row in rows])
        found = list(table.query_entities("PartitionKey eq 'p q' and n ge 98"))
        assert [row["n"] for row in found] == [98, 99]
        table.update_entity({**rows[0], "n": -1})
        table.delete_entity("p q", "r001")
        assert table.get_entity("p q", "r000")["n"] == -1


def test_operations_are_counted_by_caller_and_service_until_the_count_is_reset(
    stack: RunningStack, config: StackConfig, shared_key: ContainerClient
) -> None:
    stack.admin("DELETE", "/counts")
    shared_key.upload_blob("counted", b"1")
    shared_key.download_blob("counted").readall()
    with TableServiceClient.from_connection_string(config.connection_string()) as tables:
        table = tables.create_table_if_not_exists("counted")
        table.upsert_entity({"PartitionKey": "p", "RowKey": "r"})
    counts = stack.admin("GET", "/counts").json()["client"]
    assert counts["blob"] == {"GetBlob": 1, "PutBlob": 1}
    assert counts["table"] == {"CreateTable": 1, "InsertOrMergeEntity": 1}
    stack.admin("DELETE", "/counts")
    url = f"http://127.0.0.1:{config.ports['blob_http']}/{config.account_name}/proxied/counted"
    requests.get(url, headers={"User-Agent": HOST_AGENT}, timeout=10)
    assert stack.admin("GET", "/counts").json() == {"client": {}, "host": {"blob": {"GetBlob": 1}}, "platform": {}}
    stack.admin("DELETE", "/counts")
    assert stack.admin("GET", "/counts").json() == {"client": {}, "host": {}, "platform": {}}


def test_a_busy_account_can_be_played(stack: RunningStack, config: StackConfig, shared_key: ContainerClient) -> None:
    rule = {"service": "blob", "operation": "PutBlob", "times": 1, "skip": 1, "status": 429, "retry_after": 3}
    stack.admin("PUT", "/faults", json={"value": [rule]})
    url = f"http://127.0.0.1:{config.ports['blob_http']}/{config.account_name}/proxied/busy?{write_sas(config)}"
    try:
        answers = [requests.put(url, data=b"1", headers={"x-ms-blob-type": "BlockBlob"}, timeout=10) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [201, 429, 201]
        assert answers[1].headers["Retry-After"] == "3"
        assert stack.admin("GET", "/faults").json()["value"][0]["left"] == 0
        assert stack.admin("PUT", "/faults", json={"value": [{"service": "moon"}]}).status_code == 400
    finally:
        stack.admin("PUT", "/faults", json={"value": []})


def test_a_connection_can_be_reset_on_demand(
    stack: RunningStack, config: StackConfig, shared_key: ContainerClient
) -> None:
    stack.admin("PUT", "/faults", json={"value": [{"service": "blob", "operation": "Get*", "times": 1, "reset": True}]})
    url = f"http://127.0.0.1:{config.ports['blob_http']}/{config.account_name}/proxied/x?{write_sas(config)}"
    try:
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=10)
    finally:
        stack.admin("PUT", "/faults", json={"value": []})


def test_the_answer_to_a_write_of_a_certain_content_can_be_lost(
    stack: RunningStack, config: StackConfig, shared_key: ContainerClient
) -> None:
    rule = {"service": "blob", "content": "*two*", "after": True, "times": 1, "reset": True}
    stack.admin("PUT", "/faults", json={"value": [rule]})
    account = f"http://127.0.0.1:{config.ports['blob_http']}/{config.account_name}"
    headers = {"x-ms-blob-type": "BlockBlob"}
    try:
        assert (
            requests.put(
                f"{account}/proxied/one?{write_sas(config)}", data=b"one\n", headers=headers, timeout=10
            ).status_code
            == 201
        )
        with pytest.raises(requests.ConnectionError):
            requests.put(f"{account}/proxied/two?{write_sas(config)}", data=b"1\ntwo\n", headers=headers, timeout=10)
        assert shared_key.get_blob_client("two").download_blob().readall() == b"1\ntwo\n"
    finally:
        stack.admin("PUT", "/faults", json={"value": []})
