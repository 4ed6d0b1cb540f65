"""Blob triggers whose source is Event Grid."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import Any

import pytest

from tests.contract.host.conftest import Account
from tests.contract.host.support import HOST_ID, PATIENCE, RunningHost

FUNCTION = "Host.Functions.on_blob"
INTERNAL_QUEUE = f"azure-webjobs-blobtrigger-{HOST_ID}"


def created(account: Account, name: str) -> dict[str, Any]:
    """The event of a blob in `images`."""
    blob = account.blobs.get_blob_client("images", name)
    return {
        "id": "1",
        "topic": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a",
        "subject": f"/blobServices/default/containers/images/blobs/{name}",
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": "2026-11-24T06:00:00.1234567Z",
        "data": {"api": "PutBlob", "url": blob.url, "blobType": "BlockBlob", "eTag": "0x8D1", "contentLength": 3},
        "dataVersion": "",
        "metadataVersion": "1",
    }


def upload(account: Account, name: str, content: bytes, **options: Any) -> dict[str, Any]:
    account.blobs.get_blob_client("images", name).upload_blob(content, overwrite=True, **options)
    return created(account, name)


def await_no_notifications(account: Account) -> None:
    deadline = time.monotonic() + PATIENCE
    while not account.is_empty(INTERNAL_QUEUE):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_created_blob_runs_the_function_with_its_content_and_properties(host: RunningHost, account: Account) -> None:
    content = bytes(range(256))
    event = upload(account, "2026/a b.jpg", content, metadata={"camera": "one"})
    assert host.deliver("blobs", FUNCTION, [event]).status_code == 202
    (seen,) = host.await_seen("on_blob", name="images/2026/a b.jpg")
    assert seen["content"] == content.hex()
    assert seen["length"] == 256
    assert seen["uri"] == event["data"]["url"]
    assert seen["metadata"] == {"camera": "one"}
    properties = seen["properties"]
    assert properties["ContentLength"] == 256
    assert properties["ContentType"] == "application/octet-stream"
    assert properties["ContentHash"] == base64.b64encode(hashlib.md5(content).digest()).decode()  # noqa: S324
    assert properties["LastModified"].startswith("20")
    # In Azure, too, the ETag arrives as an empty object: who needs it asks storage.
    assert properties["ETag"] == {}
    await_no_notifications(account)


def test_a_delivery_may_hold_several_events_and_an_empty_blob(host: RunningHost, account: Account) -> None:
    events = [upload(account, f"several/{number}.jpg", b"") for number in range(3)]
    assert host.deliver("blobs", FUNCTION, events).status_code == 202
    for number in range(3):
        host.await_seen("on_blob", name=f"images/several/{number}.jpg", content="")


def test_an_event_that_is_delivered_twice_runs_the_function_twice(host: RunningHost, account: Account) -> None:
    event = upload(account, "twice/a.jpg", b"abc")
    for _ in range(2):
        host.deliver("blobs", FUNCTION, event)
    host.await_seen("on_blob", count=2, name="images/twice/a.jpg")


def test_a_blob_that_is_gone_is_dropped(host: RunningHost, account: Account) -> None:
    assert host.deliver("blobs", FUNCTION, created(account, "gone/a.jpg")).status_code == 202
    await_no_notifications(account)
    assert [seen for seen in host.seen("on_blob") if "gone" in seen["name"]] == []
    assert account.blobs.get_container_client("images").exists()


def test_a_blob_whose_function_fails_is_tried_again_and_then_set_aside(host: RunningHost, account: Account) -> None:
    host.deliver("blobs", FUNCTION, upload(account, "bad/a.jpg", b"bad"))
    host.await_seen("on_blob", count=3, name="images/bad/a.jpg")
    await_no_notifications(account)
    (message,) = account.queue("webjobs-blobtrigger-poison").receive_messages()
    assert json.loads(message.content) == {
        "Type": "BlobTrigger",
        "FunctionId": FUNCTION,
        "BlobType": "BlockBlob",
        "ContainerName": "images",
        "BlobName": "bad/a.jpg",
        "ETag": '"0x8D1"',
    }
    assert len(host.seen("on_blob")) >= 3


def test_the_handshake_is_answered(host: RunningHost) -> None:
    event = {"data": {"validationCode": "code"}, "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent"}
    response = host.deliver("blobs", FUNCTION, [event], "SubscriptionValidation")
    assert (response.status_code, response.json()) == (200, {"validationResponse": "code"})


@pytest.mark.parametrize("key", ["", "wrong"])
def test_without_the_key_nothing_is_taken(host: RunningHost, account: Account, key: str) -> None:
    event = created(account, "unauthorised/a.jpg")
    path = f"/runtime/webhooks/blobs?functionName={FUNCTION}&code={key}"
    assert host.request("POST", path, json=[event], headers={"aeg-event-type": "Notification"}).status_code == 401


def test_what_is_not_a_storage_event_is_refused(host: RunningHost) -> None:
    assert host.deliver("blobs", FUNCTION, [{"data": {"url": "x"}}]).status_code == 400
    assert host.deliver("blobs", FUNCTION, [3]).status_code == 400
    assert host.deliver("blobs", FUNCTION, [], "Something").status_code == 400
