"""When an event of each kind was last seen: one empty blob per kind, whose time of change is the answer.

Events may be lost without anybody noticing; that none came for days is what a person would look at first. A busy app
writes once a minute and process, however many events there are.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from shared.clients import Clients

FOLDER = "last-events"
IMAGES, LABEL_EXPORTS, JOBS = "images", "label_exports", "jobs"
SECONDS = 60.0

_lock = threading.Lock()
_written: WeakKeyDictionary[Clients, dict[str, float]] = WeakKeyDictionary()


def note_event(clients: Clients, kind: str) -> None:
    """An event of a kind has come. That this can't be written down is not its trouble: nothing is raised."""
    from azure.core.exceptions import AzureError

    now = time.monotonic()
    with _lock:
        written = _written.setdefault(clients, {})
        if now - written.get(kind, -SECONDS) < SECONDS:
            return
        written[kind] = now
    blob = clients.probing.blobs.get_blob_client(clients.settings.work_container, f"{FOLDER}/{kind}")
    try:
        blob.upload_blob(b"", overwrite=True)
    except AzureError:
        with _lock:
            written.pop(kind, None)


def last_events(clients: Clients) -> dict[str, dt.datetime]:
    """When an event of each kind was last seen (UTC, to the minute). Raises azure.core's errors."""
    from azure.core.exceptions import ResourceNotFoundError

    container = clients.blobs.get_container_client(clients.settings.work_container)
    try:
        found = list(container.list_blobs(name_starts_with=f"{FOLDER}/"))
    except ResourceNotFoundError:
        return {}
    return {str(each.name).removeprefix(f"{FOLDER}/"): each.last_modified for each in found}
