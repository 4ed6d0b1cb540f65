"""Notes of requests that are carried out once: a small blob for each, changed only by whoever wrote it last."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient

    from shared.clients import Clients

FOLDER = "idempotency"


@dataclass(frozen=True)
class Note:
    """A note that this worker has written. What another has taken over meanwhile stays theirs."""

    blob: BlobClient
    etag: str

    def replace(self, content: bytes) -> None:
        """Write other content."""
        from azure.core import MatchConditions
        from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

        try:
            self.blob.upload_blob(
                content, overwrite=True, etag=self.etag, match_condition=MatchConditions.IfNotModified
            )
        except (ResourceModifiedError, ResourceNotFoundError):
            return

    def delete(self) -> None:
        """Take it away."""
        from azure.core import MatchConditions
        from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

        try:
            self.blob.delete_blob(etag=self.etag, match_condition=MatchConditions.IfNotModified)
        except (ResourceModifiedError, ResourceNotFoundError):
            return


def write_note(clients: Clients, name: str, content: bytes, *, is_over: Callable[[bytes], bool]) -> Note | bytes:
    """Write a note, if there is none of the name (hexadecimal digits) or `is_over` says of the one there that it holds
    no more; else the content of that one.
    """
    from azure.core import MatchConditions
    from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError

    blob = clients.blobs.get_blob_client(clients.settings.work_container, f"{_shard(name)}{name}.json")
    while True:
        try:
            return Note(blob, str(blob.upload_blob(content, overwrite=False)["etag"]))
        except ResourceExistsError:
            pass
        try:
            download = blob.download_blob()
            found: bytes = download.readall()
            etag = str(download.properties.etag)
        except ResourceNotFoundError:
            continue
        if not is_over(found):
            return found
        try:
            condition = MatchConditions.IfNotModified
            written = blob.upload_blob(content, overwrite=True, etag=etag, match_condition=condition)
            return Note(blob, str(written["etag"]))
        except (ResourceModifiedError, ResourceNotFoundError):
            continue


def delete_old_notes(clients: Clients, name: str, before: dt.datetime) -> None:
    """Delete the notes last written before a moment, among those whose names begin as this one's: one in 256."""
    container = clients.blobs.get_container_client(clients.settings.work_container)
    for each in container.list_blobs(name_starts_with=_shard(name)):
        if each.last_modified < before:
            Note(container.get_blob_client(each.name), str(each.etag)).delete()


def _shard(name: str) -> str:
    return f"{FOLDER}/{name[:2]}/"
