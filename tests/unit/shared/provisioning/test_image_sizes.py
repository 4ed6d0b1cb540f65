"""Which of the images' event subscriptions an event passes, by the size that it tells."""

from __future__ import annotations

from typing import Any

import pytest

from local.cloud.eventgrid.filters import matches
from shared.clients import DATA_STORAGE, Clients
from shared.provisioning.subscriptions import Images, LargeImages
from shared.provisioning.topics import StorageTopic
from tests.support import make_settings

LIMIT = 7_000_000


def created(size: int | None, api: str = "PutBlob", container: str = "images") -> dict[str, Any]:
    data = {"api": api, "eTag": "0x1"} if size is None else {"api": api, "eTag": "0x1", "contentLength": size}
    subject = f"/blobServices/default/containers/{container}/blobs/2026/a.jpg"
    return {"eventType": "Microsoft.Storage.BlobCreated", "subject": subject, "data": data}


def passed(event: dict[str, Any]) -> tuple[bool, bool]:
    """Whether an event goes to the trigger that reads the blob, and to the one that does not."""
    clients = Clients(make_settings(max_image_megabytes=7), {DATA_STORAGE: "UseDevelopmentStorage=true"})
    topic = StorageTopic(clients)
    small, large = (kind(clients, "name", "function", topic)._filter() for kind in (Images, LargeImages))
    return matches(small, event), matches(large, event)


@pytest.mark.parametrize("api", ["PutBlob", "PutBlockList", "CopyBlob", "FlushWithClose"])
@pytest.mark.parametrize("size", [0, 1, LIMIT, LIMIT + 1, 2**40])
def test_a_blob_that_is_too_large_never_comes_to_the_trigger_that_reads_it(size: int, api: str) -> None:
    assert passed(created(size, api)) == (size <= LIMIT, size > LIMIT)


@pytest.mark.parametrize("event", [created(1, "CreateFile"), created(1, container="images2"), created(None)])
def test_what_is_no_complete_image_comes_to_neither(event: dict[str, Any]) -> None:
    assert passed(event) == (False, False)
