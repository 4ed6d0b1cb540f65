"""Corrections: what a person says that an image shows. They lie in the ledger's table, in their image's partition:

    c:<path hash>                   what was said of the image last
    t:<inverse time>:<path hash>    the same: a range query finds the latest
    h:<path hash>:<time>            the same, of each time that something was said; never changed, never deleted
    n:                              how many images were corrected, and how often; changed with each correction

so that one entity-group transaction keeps them the same, and the counts cost a request for each partition.
"""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from shared.errors import InvalidRequestError
from shared.ledger.rows import SHARDS, newest_first, path_hash, shard_of
from shared.ledger.table import ConcurrentUpdateError, LedgerTable, Operation, after, expecting, in_parallel

if TYPE_CHECKING:
    from azure.data.tables import TableServiceClient

# Of a cursor, which comes from outside.
_POSITION = re.compile(r"[0-9T:.+-]{20,40}:[0-9a-f]{32}")
# All corrections are in one place for exports, and what was exported is noted there.
EXPORTED_PARTITION, EXPORTED_KEY = "corrections", "exported"
# A column holds 64 KiB of UTF-16: https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model
MAX_PREDICTED = 100


@dataclass(frozen=True)
class Correction:
    """The labels that a person gave a content (`etag`) of an image; none at all says that it shows none of them.

    `predicted` and `model` are what the model in use had said, empty where there was none; `who` is as the caller is
    known, `when` the storage service's time (RFC 3339, UTC). `source_container`/`source_path` are the blob that a
    training reads, which is another one than the image when that had to be converted.
    """

    container: str
    path: str
    etag: str
    labels: tuple[str, ...]
    predicted: tuple[str, ...]
    model: str
    who: str
    when: str
    source_container: str
    source_path: str

    @property
    def digest(self) -> str:
        return path_hash(self.container, self.path)

    @property
    def partition(self) -> str:
        return shard_of(self.digest)

    @property
    def position(self) -> str:
        """Where it stands in the list of the latest."""
        return f"{newest_first(self.when)}:{self.digest}"


class Counts(NamedTuple):
    """`images` that were corrected, `changes` that were made in all, and those of them that no export has yet."""

    images: int
    changes: int
    unexported: int


class Corrections:
    """Those of one storage account."""

    def __init__(self, tables: TableServiceClient) -> None:
        self._table = LedgerTable(tables)

    def now(self) -> str:
        return self._table.now().isoformat(timespec="microseconds")

    def get(self, container: str, path: str) -> Correction | None:
        """What was said of an image last."""
        digest = path_hash(container, path)
        row = self._table.get(shard_of(digest), f"c:{digest}")
        return None if row is None else _correction(row)

    def keep(self, correction: Correction) -> Correction:
        """Keep a correction, and return it as it is kept. What was said last already is kept no second time."""
        while True:
            row = self._table.get(correction.partition, f"c:{correction.digest}")
            last = None if row is None else _correction(row)
            if last and (last.etag, last.labels) == (correction.etag, correction.labels):
                return last
            new = dataclasses.replace(correction, when=self.now())
            # Somebody else said something at the same time, of this image or of another one of its partition.
            with contextlib.suppress(ConcurrentUpdateError):
                self._table.transact(self._operations(new, last, "" if row is None else row.metadata["etag"]))
                return new

    def page(self, limit: int, begin: str | None = None) -> tuple[list[Correction], str | None]:
        """What was said last of images, the latest first, after the position `begin`; and where the next page begins.

        Raises InvalidRequestError for what is no position.
        """
        if begin is not None and not _POSITION.fullmatch(begin):
            raise InvalidRequestError("cursor is none of this list's; take it from `next` of the page before", "cursor")
        first = "t:" if begin is None else f"t:{begin}!"

        def read(shard: str) -> list[Correction]:
            found = self._table.between(shard, first, after("t:"), page_size=limit + 1)
            return [_correction(row) for row in itertools.islice(found, limit + 1)]

        shards = in_parallel(read, SHARDS)
        newest = list(itertools.islice(heapq.merge(*shards, key=lambda each: each.position), limit + 1))
        page = newest[:limit]
        return page, page[-1].position if len(newest) > limit else None

    def all(self) -> Iterator[Correction]:
        """What was said last of each image, in no order of meaning; a page of each request is in memory."""
        for shard in SHARDS:
            yield from map(_correction, self._table.range(shard, "c:"))

    def history(self, container: str, path: str) -> list[Correction]:
        """All that was ever said of an image, oldest first."""
        digest = path_hash(container, path)
        return [_correction(row) for row in self._table.range(shard_of(digest), f"h:{digest}:")]

    def corrected(self, container: str, contents: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of some contents (path, ETag) of images that were corrected."""

        def is_corrected(content: tuple[str, str]) -> bool:
            last = self.get(container, content[0])
            return last is not None and last.etag == content[1]

        some = list(contents)
        return {each for each, is_so in zip(some, in_parallel(is_corrected, some), strict=True) if is_so}

    def counts(self) -> Counts:
        """How many there are."""
        keys = [*((shard, "n:") for shard in SHARDS), (EXPORTED_PARTITION, EXPORTED_KEY)]
        *found, exported = in_parallel(lambda key: self._table.get(*key), keys)
        changes = sum(int(row["changes"]) for row in found if row)
        images = sum(int(row["images"]) for row in found if row)
        return Counts(images, changes, max(changes - int(exported["changes"] if exported else 0), 0))

    def note_export(self, changes: int) -> None:
        """Note that the first so many changes are in an export. A smaller number than was noted changes nothing."""
        key = {"PartitionKey": EXPORTED_PARTITION, "RowKey": EXPORTED_KEY}
        while True:
            row = self._table.get(EXPORTED_PARTITION, EXPORTED_KEY)
            if row is not None and int(row["changes"]) >= changes:
                return
            entity = {**key, "changes": changes}
            with contextlib.suppress(ConcurrentUpdateError):
                operation: Operation = ("create", entity)
                if row is not None:
                    operation = ("update", entity, expecting(row.metadata["etag"]))
                self._table.transact([operation])
                return

    def _operations(self, new: Correction, last: Correction | None, etag: str) -> Sequence[Operation]:
        columns = _columns(new)
        keys = {"PartitionKey": new.partition}
        current = {**keys, "RowKey": f"c:{new.digest}", **columns}
        counted = self._table.get(new.partition, "n:")
        counts = {
            **keys,
            "RowKey": "n:",
            "images": (counted["images"] if counted else 0) + (last is None),
            "changes": (counted["changes"] if counted else 0) + 1,
        }
        operations: list[Operation] = [
            ("update", current, {"mode": "replace", **expecting(etag)}) if last else ("create", current),
            ("create", {**keys, "RowKey": f"t:{new.position}", **columns}),
            ("create", {**keys, "RowKey": f"h:{new.digest}:{new.when}", **columns}),
            ("update", counts, expecting(counted.metadata["etag"])) if counted else ("create", counts),
        ]
        if last is not None:
            operations.append(("delete", {**keys, "RowKey": f"t:{last.position}"}))
        return operations


def _columns(correction: Correction) -> dict[str, Any]:
    columns = dataclasses.asdict(correction)
    columns["labels"] = json.dumps(correction.labels, ensure_ascii=False)
    columns["predicted"] = json.dumps(correction.predicted[:MAX_PREDICTED], ensure_ascii=False)
    return columns


def _correction(row: Any) -> Correction:
    columns = {each.name: row[each.name] for each in dataclasses.fields(Correction)}
    columns["labels"] = tuple(json.loads(columns["labels"]))
    columns["predicted"] = tuple(json.loads(columns["predicted"]))
    return Correction(**columns)
