"""Who trains and who waits: one small blob, `trainings.json` in the work container, changed by one worker at a time."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.errors import ConflictError
from shared.locks import lock

if TYPE_CHECKING:
    from shared.clients import Clients

LINE_PATH = "trainings.json"
LOCK_PATH = "locks/trainings"


@dataclass(frozen=True)
class Running:
    """A training: its job, the export and the data set that it is of, the hash of the settings that shape it, and how
    new the export is (RFC 3339, UTC).
    """

    job: str
    export: str
    data_set: str
    shape: str
    modified: str


@dataclass(frozen=True)
class Waiting:
    """An export that is trained when the running training has ended: its name, the message that will start it, and how
    new it is.
    """

    export: str
    message: str
    modified: str


@dataclass(frozen=True)
class Line:
    """`last` is the training that completed last; `unsettled` are jobs that were canceled for a newer export and whose
    end was not told yet.
    """

    running: Running | None = None
    waiting: Waiting | None = None
    last: Running | None = None
    unsettled: tuple[str, ...] = ()
    etag: str | None = None

    @property
    def is_idle(self) -> bool:
        return not (self.running or self.waiting or self.unsettled)


@contextmanager
def training_lock(clients: Clients) -> Iterator[bool]:
    """Whether this worker is the one that decides on trainings; False when another is at it."""
    with lock(clients, LOCK_PATH) as is_mine:
        yield is_mine


def read_line(clients: Clients) -> Line:
    """As it is now; empty when nothing was ever trained."""
    from azure.core.exceptions import ResourceNotFoundError

    blob = clients.blobs.get_blob_client(clients.settings.work_container, LINE_PATH)
    try:
        download = blob.download_blob()
    except ResourceNotFoundError:
        return Line()
    kept: dict[str, Any] = json.loads(download.readall())
    return Line(
        Running(**kept["running"]) if kept["running"] else None,
        Waiting(**kept["waiting"]) if kept["waiting"] else None,
        Running(**kept["last"]) if kept["last"] else None,
        tuple(kept["unsettled"]),
        str(download.properties.etag),
    )


def write_line(clients: Clients, line: Line, **changes: Any) -> Line:
    """Write it with some fields changed. Raises ConflictError when it was changed since it was read: a worker that has
    lost the lock must not undo what the next one did.
    """
    from azure.core import MatchConditions
    from azure.core.exceptions import ResourceExistsError, ResourceModifiedError

    changed = dataclasses.replace(line, **changes)
    kept = dataclasses.asdict(changed)
    del kept["etag"]
    content = json.dumps(kept, indent=2).encode()
    blob = clients.blobs.get_blob_client(clients.settings.work_container, LINE_PATH)
    try:
        if line.etag is None:
            answer = blob.upload_blob(content, overwrite=False)
        else:
            answer = blob.upload_blob(
                content, overwrite=True, etag=line.etag, match_condition=MatchConditions.IfNotModified
            )
    except (ResourceExistsError, ResourceModifiedError):
        raise ConflictError("another worker changed the trainings meanwhile; try again") from None
    return dataclasses.replace(changed, etag=str(answer["etag"]))
