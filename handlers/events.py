"""What the handlers read out of Event Grid's storage events."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import azure.functions as func

from shared.errors import InvalidRequestError

# https://learn.microsoft.com/azure/event-grid/event-schema-blob-storage
_SUBJECT = re.compile(r"/blobServices/default/containers/(?P<container>[^/]+)/blobs/(?P<path>.+)")


@dataclass(frozen=True)
class BlobEvent:
    """A blob that was written. `size` in bytes."""

    container: str
    path: str
    etag: str
    size: int


def blob_event(event: func.EventGridEvent) -> BlobEvent:
    """Decode a BlobCreated event. Raises InvalidRequestError when its subject names no blob."""
    match = _SUBJECT.fullmatch(event.subject or "")
    if not match:
        raise InvalidRequestError(f"event {event.id}: its subject {event.subject!r} names no blob")
    data: dict[str, Any] = event.get_json()
    return BlobEvent(match["container"], match["path"], str(data.get("eTag", "")), int(data.get("contentLength") or 0))
