"""The ledger's rows as plain values, and the keys that they have in the table."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Azure aims at 2,000 rows a second in a partition and 20,000 in an account; every look at what waits asks each shard:
# https://learn.microsoft.com/azure/storage/tables/scalability-targets
SHARDS = "01234567"
BATCHES = "batch"

_INVERSE = str.maketrans("0123456789", "9876543210")


@dataclass(frozen=True)
class Image:
    """One content of one image.

    `container`/`path`/`etag` name the blob that arrived; `source_container`/`source_path`/`source_etag` the blob to be
    scored, which is another one when it had to be converted. `error` is the reason when it was rejected, else empty.
    `attempts` counts the batches that it has been in. `notes` say what of the file is not used, one a line.
    """

    container: str
    path: str
    etag: str
    source_container: str
    source_path: str
    source_etag: str
    error: str = ""
    attempts: int = 0
    notes: str = ""

    @property
    def key(self) -> str:
        """Names this content of this image: `<path hash>:<etag>`."""
        return f"{path_hash(self.container, self.path)}:{self.etag}"

    @property
    def partition(self) -> str:
        return shard_of(path_hash(self.container, self.path))


@dataclass(frozen=True)
class Waiting:
    """An image that waits, with its marker's row key and the time that the storage service wrote it at (UTC)."""

    image: Image
    row_key: str
    since: dt.datetime


@dataclass(frozen=True)
class WaitingImages:
    """The oldest waiting images, and the storage service's own clock, so that no two machines' clocks are compared."""

    images: tuple[Waiting, ...]
    now: dt.datetime

    @property
    def longest_wait_seconds(self) -> float:
        return max(map(self._age, self.images), default=0.0)

    @property
    def shortest_wait_seconds(self) -> float:
        return min(map(self._age, self.images), default=0.0)

    def _age(self, waiting: Waiting) -> float:
        # The clock may be late by a second.
        return max(0.0, (self.now - waiting.since).total_seconds())


@dataclass(frozen=True)
class Batch:
    """A batch's row. `state` is claiming → claimed → submitted (cluster only) → done, or released instead, which gives
    its images back; `route` is inline or cluster.

    `folder` holds its manifest, parts and result in the work container, with a slash at its end. `partitions` are the
    shards that its images are in. `request` is the re-scoring that it is part of, else empty: then its images are in
    the ledger. `tries` counts how often its present step was begun, and `error` says why the last try failed. Times
    (RFC 3339, UTC) are the storage service's; `changed` is when the row was written.
    """

    id: str
    state: str
    route: str
    reason: str
    model_name: str
    model_version: str
    model_path: str
    created: str
    images: int = 0
    shards: int = 0
    folder: str = ""
    job: str = ""
    files: tuple[str, ...] = ()
    predicted: int = 0
    errors: int = 0
    retried: int = 0
    partitions: str = ""
    request: str = ""
    tries: int = 1
    error: str = ""
    submitted: str = ""
    ended: str = ""
    etag: str = dataclasses.field(default="", compare=False)
    changed: dt.datetime | None = dataclasses.field(default=None, compare=False)

    @property
    def model(self) -> str:
        """`name:version`."""
        return f"{self.model_name}:{self.model_version}"


@dataclass(frozen=True)
class Settlement:
    """What came of an image in a batch: `state` is scored, failed, rejected or waiting (it goes into a later batch)."""

    image: Image
    state: str
    error: str = ""
    file: str = ""


@dataclass(frozen=True)
class DayCounts:
    """What the batches that ended on a day (UTC) came to; `rescored` counts the rows of re-scorings, which are in
    neither `predicted` nor `errors`.
    """

    day: str
    batches: int = 0
    predicted: int = 0
    errors: int = 0
    retried: int = 0
    rescored: int = 0

    def plus(self, batch: Batch) -> DayCounts:
        """The same with one more batch."""
        if batch.request:
            rows = batch.predicted + batch.errors
            return dataclasses.replace(self, batches=self.batches + 1, rescored=self.rescored + rows)
        return dataclasses.replace(
            self,
            batches=self.batches + 1,
            predicted=self.predicted + batch.predicted,
            errors=self.errors + batch.errors,
            retried=self.retried + batch.retried,
        )


def row_column(model: str) -> str:
    """The column of an image's record that names the file with its row by a model (`name:version`)."""
    return f"row_{hashlib.sha256(model.encode()).hexdigest()[:16]}"


def path_hash(container: str, path: str) -> str:
    """32 hex digits that name a blob path."""
    return hashlib.sha256(f"{container}/{path}".encode()).hexdigest()[:32]


def shard_of(digest: str) -> str:
    """The partition of a path hash."""
    return SHARDS[int(digest[:8], 16) % len(SHARDS)]


def normalised_etag(etag: str) -> str:
    """An ETag without quotes or weakness mark, as it stands in row keys."""
    return etag.removeprefix("W/").strip('"')


def newest_first(name: str) -> str:
    """A key that sorts the other way round: names that begin with their date come newest first. Its own inverse."""
    return name.translate(_INVERSE)


def rfc3339(moment: dt.datetime) -> str:
    """A time in UTC, to the second."""
    return moment.isoformat(timespec="seconds")


def image_fields(image: Image) -> dict[str, Any]:
    """An image's columns."""
    return dataclasses.asdict(image)


def image_of(row: Mapping[str, Any]) -> Image:
    """The image of a row that has its columns; older ones have fewer."""
    return Image(**{field.name: row[field.name] for field in dataclasses.fields(Image) if field.name in row})


def batch_fields(batch: Batch) -> dict[str, Any]:
    """A batch's columns."""
    fields = dataclasses.asdict(batch)
    del fields["etag"], fields["changed"]
    fields["files"] = json.dumps(batch.files)
    return fields


def batch_of(row: Any) -> Batch:
    """The batch of a row."""
    fields = {
        field.name: row[field.name]
        for field in dataclasses.fields(Batch)
        if field.name not in {"etag", "changed"} and field.name in row
    }
    fields["files"] = tuple(json.loads(fields["files"]))
    return Batch(**fields, etag=row.metadata["etag"], changed=row.metadata["timestamp"])
