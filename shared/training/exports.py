"""Which files are one label export, and whether it has landed as a whole.

The labelling tool tells nothing but blobs, so this is a rule:

- files directly in `Labeling/export/`, or in `coco/` or `csv/` below it, where export after export lands, are an export
  each, and so is a COCO file in any folder;
- all other files directly in one folder are one export, and so are numbered shards (`labeledDatapoints_1.jsonl`, …)
  anywhere. Where an MLTable file is among them, it says which files count, also in folders below.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import email.utils
import hashlib
import io
import json
import posixpath
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from shared.errors import ExportError
from shared.labels import ExportFile, Format
from shared.labels.export import HEAD_BYTES, recognise
from shared.ledger import normalised_etag
from shared.queues import LABEL_EXPORTS

if TYPE_CHECKING:
    from azure.storage.blob import BlobProperties, ContainerClient

    from shared.clients import Clients

EXPORTS_FOLDER = "Labeling/export/"
SHARED_FOLDERS = (EXPORTS_FOLDER, f"{EXPORTS_FOLDER}coco/", f"{EXPORTS_FOLDER}csv/")
MAX_FILES = 10_000
_SHARD = re.compile(r"labeledDatapoints_[0-9]{1,6}\.\w+", re.IGNORECASE)


@dataclass(frozen=True)
class LandedExport:
    """A file of a label export, as an event told it, or the export that someone wants to be trained on.

    A path with a slash at its end is a folder. `waits` counts how often its missing files were waited for. `by_hand`:
    someone asked for it, with `changes` of the settings; `name` is then the data asset that it was asked for by.
    """

    container: str
    path: str
    etag: str = ""
    waits: int = 0
    by_hand: bool = False
    changes: Mapping[str, str] = field(default_factory=dict)
    name: str = ""

    def to_message(self) -> str:
        always = {"container", "path", "etag"}
        values = dataclasses.asdict(self)
        return json.dumps({name: value for name, value in values.items() if value or name in always})

    @classmethod
    def from_message(cls, message: str) -> LandedExport:
        return cls(**json.loads(message))


def announce_export(clients: Clients, export: LandedExport, delay: int | None = None) -> None:
    """Put an export on the queue; it is looked at after `delay` seconds (default: EXPORT_QUIET_SECONDS)."""
    seconds = clients.settings.export_quiet_seconds if delay is None else delay
    clients.queue(LABEL_EXPORTS).send_message(export.to_message(), visibility_timeout=seconds)


@dataclass(frozen=True)
class FoundExport:
    """An export's files (path → etag) as they are now. `modified` is when the last of them was written, `now` the time
    of the storage service, both UTC. A name with a slash at its end is a folder's.
    """

    name: str
    container: str
    files: Mapping[str, str]
    sizes: Mapping[str, int]
    modified: dt.datetime
    now: dt.datetime

    @property
    def content(self) -> str:
        """A hash that names the files and what is in them."""
        return hashlib.sha256(json.dumps(sorted(self.files.items())).encode()).hexdigest()[:16]

    @property
    def quiet_seconds(self) -> float:
        """How long it has been as it is."""
        return (self.now - self.modified).total_seconds()

    @contextmanager
    def opened(self, clients: Clients) -> Iterator[list[ExportFile]]:
        """Its files, each of which is downloaded to a temporary folder when it is first read.

        Reading raises azure.core.exceptions.ResourceModifiedError or ResourceNotFoundError when a file is no longer the
        one that was found.
        """
        container = clients.blobs.get_container_client(self.container)
        with tempfile.TemporaryDirectory(prefix="labelloop-export-") as folder:
            yield [
                ExportFile(path, self.sizes[path], _Download(container, path, etag, Path(folder) / str(number)).open)
                for number, (path, etag) in enumerate(self.files.items())
            ]


@dataclass(frozen=True)
class _Download:
    container: ContainerClient
    path: str
    etag: str
    target: Path

    def open(self) -> IO[bytes]:
        from azure.core import MatchConditions

        if not self.target.exists():
            part = self.target.with_suffix(".part")
            with part.open("wb") as file:
                self.container.download_blob(
                    self.path, etag=self.etag, match_condition=MatchConditions.IfNotModified
                ).readinto(file)
            part.rename(self.target)
        return self.target.open("rb")


def find_export(clients: Clients, landed: LandedExport) -> FoundExport | None:
    """The export that a file belongs to; None when that is not there."""
    from azure.core.exceptions import ResourceNotFoundError

    container = clients.blobs.get_container_client(landed.container)
    folder = landed.path if landed.path.endswith("/") else f"{posixpath.dirname(landed.path)}/".lstrip("/")
    try:
        found, now = _list(container, folder)
    except ResourceNotFoundError:
        return None
    if not landed.path.endswith("/") and landed.path not in found:
        return None
    if _stands_alone(container, landed.path, folder, found):
        name, chosen = landed.path, [found[landed.path]]
    else:
        name = folder
        shared = folder in SHARED_FOLDERS
        chosen = [blob for path, blob in found.items() if not shared or _SHARD.fullmatch(posixpath.basename(path))]
    if not chosen:
        return None
    return FoundExport(
        landed.name or f"{landed.container}/{name}",
        landed.container,
        {str(blob.name): normalised_etag(str(blob.etag)) for blob in chosen},
        {str(blob.name): int(blob.size) for blob in chosen},
        max(blob.last_modified for blob in chosen),
        now,
    )


def _list(container: ContainerClient, folder: str) -> tuple[dict[str, BlobProperties], dt.datetime]:
    """The blobs directly in a folder, with an MLTable file among them also those below, and the service's time."""
    from azure.storage.blob import BlobProperties

    dates: list[str] = []

    def note(response: Any) -> None:
        dates.append(response.http_response.headers["Date"])

    found: dict[str, BlobProperties] = {}
    for item in container.walk_blobs(name_starts_with=folder, delimiter="/", raw_response_hook=note):
        if isinstance(item, BlobProperties):
            found[item.name] = item
    if any(posixpath.basename(path).lower() == "mltable" for path in found):
        for blob in container.list_blobs(name_starts_with=folder):
            found[blob.name] = blob
            if len(found) > MAX_FILES:
                raise ExportError(f"{container.container_name}/{folder}", [f"has more than {MAX_FILES} files"])
    return found, email.utils.parsedate_to_datetime(dates[-1])


def _stands_alone(container: ContainerClient, path: str, folder: str, found: Mapping[str, BlobProperties]) -> bool:
    name = posixpath.basename(path)
    if not name or _SHARD.fullmatch(name) or name.lower() == "mltable":
        return False
    if folder in SHARED_FOLDERS:
        return True
    return _is_coco(container, path, int(found[path].size))


def _is_coco(container: ContainerClient, path: str, size: int) -> bool:
    if not size:
        return False
    head: bytes = container.download_blob(path, offset=0, length=HEAD_BYTES + 4).readall()
    try:
        return recognise(ExportFile(path, size, lambda: io.BytesIO(head))) is Format.COCO
    except ExportError:
        return False
