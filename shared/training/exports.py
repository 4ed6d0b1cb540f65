"""Which files are one label export, and whether it has landed as a whole.

The labelling tool tells nothing but blobs, so this is a rule:

- files directly in `Labeling/export/`, or in `coco/` or `csv/` below it, where export after export lands, are an export
  each, and so is a COCO file in any folder;
- all other files directly in one folder are one export, and so are numbered shards (`labeledDatapoints_1.jsonl`, …)
  anywhere. Where an MLTable file is among them, it says which files count, also in folders below;
- images are no files of an export;
- a v1 data set is the files that its definition names.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
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
from typing import IO, TYPE_CHECKING

from shared.errors import ExportError, NotFoundError
from shared.labels import ExportFile, Format
from shared.labels.export import HEAD_BYTES, recognise
from shared.labels.mltable import is_named_mltable
from shared.ledger import normalised_etag
from shared.queues import LABEL_EXPORTS
from shared.training.data_assets import read_definition
from shared.training.listing import Listing

if TYPE_CHECKING:
    from azure.storage.blob import BlobProperties, ContainerClient

    from shared.clients import Clients

EXPORTS_FOLDER = "Labeling/export/"
SHARED_FOLDERS = (EXPORTS_FOLDER, f"{EXPORTS_FOLDER}coco/", f"{EXPORTS_FOLDER}csv/")
_SHARD = re.compile(r"labeledDatapoints_[0-9]{1,6}\.\w+", re.IGNORECASE)


@dataclass(frozen=True)
class LandedExport:
    """A file of a label export, as an event told it, or the export that someone wants to be trained on.

    A path with a slash at its end is a folder; an empty one is what the v1 data set `name` names. `waits` counts how
    often its missing files were waited for. `by_hand`: someone asked for it, with `changes` of the settings; `name` is
    then that of the export, which is `azureml:name:version` where it was asked for by a data asset.
    """

    container: str
    path: str
    etag: str = ""
    waits: int = 0
    by_hand: bool = False
    changes: Mapping[str, str] = field(default_factory=dict)
    name: str = ""

    @property
    def asked_name(self) -> str:
        """What it is called where nothing is known of it but what was asked for."""
        return self.name or f"{self.container}/{self.path}"

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
    of the storage service, both UTC. A name with a slash at its end is a folder's. `notes` are to be told with it;
    `refusal` says why it can't be read.
    """

    name: str
    container: str
    files: Mapping[str, str]
    sizes: Mapping[str, int]
    modified: dt.datetime
    now: dt.datetime
    notes: tuple[str, ...] = ()
    refusal: str = ""

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
    listing = Listing(container, landed.path)
    notes: tuple[str, ...] = ()
    try:
        if not landed.path:
            definition = read_definition(clients, landed.name)
            listing.add_chosen(definition.paths)
            name, chosen, notes = landed.name, list(listing.blobs.values()), definition.notes
        else:
            name, chosen = _belonging(container, landed, listing)
    except (ResourceNotFoundError, NotFoundError):
        return None
    if not chosen:
        return None
    return FoundExport(
        landed.name or f"{landed.container}/{name}",
        landed.container,
        {str(blob.name): normalised_etag(str(blob.etag)) for blob in chosen},
        {str(blob.name): int(blob.size) for blob in chosen},
        max(blob.last_modified for blob in chosen),
        listing.now,
        notes,
        listing.refusal,
    )


def _belonging(container: ContainerClient, landed: LandedExport, listing: Listing) -> tuple[str, list[BlobProperties]]:
    """The name of the export that a file belongs to, within its container, and its files; none when it is not there."""
    path, found = landed.path, listing.blobs
    folder = path if path.endswith("/") else f"{posixpath.dirname(path)}/".lstrip("/")
    shared = folder in SHARED_FOLDERS
    if shared and _may_stand_alone(path):
        listing.add_file()
        return path, [found[path]] if path in found else []
    listing.add_folder(folder)
    if not path.endswith("/") and path not in found:
        # Among too many files it may not have been listed; then the refusal is about all of them.
        return folder, list(found.values()) if listing.refusal else []
    if _may_stand_alone(path) and _is_coco(container, path, int(found[path].size)):
        listing.refusal = ""
        return path, [found[path]]
    return folder, [blob for each, blob in found.items() if not shared or _SHARD.fullmatch(posixpath.basename(each))]


def _may_stand_alone(path: str) -> bool:
    name = posixpath.basename(path)
    return bool(name) and not _SHARD.fullmatch(name) and not is_named_mltable(name)


def _is_coco(container: ContainerClient, path: str, size: int) -> bool:
    if not size:
        return False
    head: bytes = container.download_blob(path, offset=0, length=HEAD_BYTES + 4).readall()
    try:
        return recognise(ExportFile(path, size, lambda: io.BytesIO(head))) is Format.COCO
    except ExportError:
        return False
