"""The Event Grid events of blob storage, from a request that Azurite has carried out.

Shape: learn.microsoft.com, "Azure Blob Storage as Event Grid source".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from local.cloud.storage.operations import StorageRequest

Json = dict[str, Any]

CREATED, DELETED = "Microsoft.Storage.BlobCreated", "Microsoft.Storage.BlobDeleted"
_CREATING = ("PutBlob", "PutBlockList", "CopyBlob")
_BLOB_TYPES = ("BlockBlob", "PageBlob", "AppendBlob")


@dataclass(frozen=True)
class BlobProperties:
    """Length (bytes), content type and blob type of a written blob."""

    length: int
    content_type: str
    blob_type: str


def event_type(request: StorageRequest, status: int) -> str | None:
    """The type of event that a carried-out request raises, or None."""
    if request.service != "blob" or not request.blob:
        return None
    if request.operation in _CREATING and status in (201, 202):
        return CREATED
    if request.operation == "DeleteBlob" and status == 202 and "snapshot" not in request.query:
        return DELETED
    return None


def properties_from_request(request: StorageRequest, headers: Mapping[str, str]) -> BlobProperties | None:
    """What a PutBlob request says of the blob; None for operations whose request does not say it."""
    if request.operation != "PutBlob":
        return None
    blob_type = next((t for t in _BLOB_TYPES if t.lower() == headers.get("x-ms-blob-type", "").lower()), "BlockBlob")
    length = headers.get("x-ms-blob-content-length") if blob_type == "PageBlob" else headers.get("content-length")
    content_type = headers.get("x-ms-blob-content-type") or headers.get("content-type") or "application/octet-stream"
    return BlobProperties(int(length or 0), content_type, blob_type)


def subject(request: StorageRequest) -> str:
    return f"/blobServices/default/containers/{request.container}/blobs/{request.blob}"


def event_data(
    request: StorageRequest,
    sequence: int,
    *,
    blob_endpoint: str,
    raw_path: str,
    request_headers: Mapping[str, str],
    response_headers: Mapping[str, str],
    properties: BlobProperties | None,
) -> Json:
    """The `data` of a blob event. `blob_endpoint` is the account's scheme, host and port; `raw_path` keeps its escapes.

    `properties` is None for a deleted blob, whose event carries neither eTag nor length.
    """
    data: Json = {
        "api": request.operation,
        "clientRequestId": request_headers.get("x-ms-client-request-id", ""),
        "requestId": response_headers.get("x-ms-request-id", ""),
    }
    if properties is not None:
        data["eTag"] = response_headers.get("etag", "").strip('"')
        data["contentType"] = properties.content_type
        data["contentLength"] = properties.length
        data["blobType"] = properties.blob_type
    else:
        data["contentType"] = "application/octet-stream"
        data["blobType"] = "BlockBlob"
    data["url"] = f"{blob_endpoint}{urlsplit(raw_path).path}"
    # Readers compare sequencers as strings after left-padding; a fixed width spares them the padding.
    data["sequencer"] = f"{sequence:032X}"
    data["storageDiagnostics"] = {"batchId": f"00000000-0000-0000-0000-{sequence:012x}"}
    return data
