"""What Event Grid tells, in its own schema (https://learn.microsoft.com/azure/event-grid/event-schema)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.errors import InvalidRequestError
from shared.queues import JOB_EVENTS

if TYPE_CHECKING:
    from shared.clients import Clients

BLOB_CREATED = "Microsoft.Storage.BlobCreated"
RUN_EVENTS = (
    "Microsoft.MachineLearningServices.RunCompleted",
    "Microsoft.MachineLearningServices.RunStatusChanged",
)
# https://learn.microsoft.com/azure/event-grid/event-schema-blob-storage
_BLOB = re.compile(r"/blobServices/default/containers/(?P<container>[^/]+)/blobs/(?P<path>.+)")
# https://learn.microsoft.com/azure/event-grid/event-schema-machine-learning
_RUN = re.compile(r"experiments/[^/]+/runs/(?P<run>[^/]+)")


@dataclass(frozen=True)
class Event:
    """An event; what `data` holds depends on its type."""

    id: str
    type: str
    subject: str
    data: Mapping[str, Any]

    @classmethod
    def from_document(cls, document: Any) -> Event:
        """Decode an event's JSON. Raises InvalidRequestError when it is no event."""
        match document:
            case {"id": str(name), "eventType": str(kind), "subject": str(subject), "data": dict(data)}:
                return cls(name, kind, subject, data)
        raise InvalidRequestError(
            f"{str(document)[:200]!r} is no event; one has the texts id, eventType and subject, and the object data"
        )


@dataclass(frozen=True)
class BlobEvent:
    """A blob that was written. `size` in bytes."""

    container: str
    path: str
    etag: str
    size: int


def blob_event(event: Event) -> BlobEvent:
    """Decode a BlobCreated event. Raises InvalidRequestError when it names no blob, or a size that is none."""
    match = _BLOB.fullmatch(event.subject)
    if not match:
        raise InvalidRequestError(f"event {event.id}: its subject {event.subject!r} names no blob")
    size = event.data.get("contentLength") or 0
    if not isinstance(size, int):
        raise InvalidRequestError(f"event {event.id}: contentLength is {size!r}, but must be a number of bytes")
    return BlobEvent(match["container"], match["path"], str(event.data.get("eTag", "")), size)


def ended_run(event: Event) -> str | None:
    """The run that an event of the workspace says has ended, None when it says something else.

    Steps and trials are runs, too; a pipeline's own run has the pipeline's name.
    """
    from shared.cluster import ENDED_STATUSES

    match = _RUN.fullmatch(event.subject)
    run = str(event.data.get("runId") or (match["run"] if match else ""))
    ended = str(event.data.get("runStatus", "Completed")) in ENDED_STATUSES
    return run if run and ended else None


def announce_ended_job(clients: Clients, event: Event) -> None:
    """Put the job that an event says has ended on the queue. No effect when none has, or when it is not LabelLoop's."""
    from shared.batches import JOB_PREFIX as SCORING
    from shared.training import JOB_PREFIX as TRAINING

    run = ended_run(event)
    if run is not None and run.startswith((SCORING, TRAINING)):
        clients.queue(JOB_EVENTS).send_message(json.dumps({"job": run}))
