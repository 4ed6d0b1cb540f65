"""What has been seen, what waits, which batch it went into and what came of it: one Azure Table.

Images are spread over SHARDS partitions by a hash of their path. Three kinds of row share a partition, so that one
entity-group transaction moves an image from one state to the next, entirely or not at all:

    i:<path hash>:<etag>            the record of one content of one image; never deleted
    w:<time>:<path hash>:<etag>     it waits: a range query finds all that waits, oldest first
    b:<batch>:<path hash>:<etag>    it is in a batch: a range query finds the batch's members

A waiting marker exists at most once, and only a transaction that deletes it can put its image into a batch: that is
what makes claiming safe with any number of dispatchers. Arrival costs two storage operations (one query, one
transaction), claiming 1/33 and settling at most 1/33 of one.

Batches are rows `open:<id>` or `done:<id>` of the partition `batch`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import email.utils
import hashlib
import heapq
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from shared.errors import LabelLoopError

if TYPE_CHECKING:
    from azure.data.tables import TableClient, TableServiceClient

TABLE = "ledger"
SHARDS = "0123456789abcdef"
BATCHES = "batch"
# A transaction holds at most 100 operations:
# https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions
OPERATIONS_PER_IMAGE = 3
IMAGES_PER_TRANSACTION = 100 // OPERATIONS_PER_IMAGE

RETRY_SECONDS, RETRY_FACTOR = 60.0, 5.0

Item = TypeVar("Item")
Operation = tuple[str, dict[str, Any]] | tuple[str, dict[str, Any], dict[str, Any]]


class ConcurrentUpdateError(LabelLoopError):
    """Another worker changed the row first. Whoever sees it leaves the row to that worker."""


@dataclass(frozen=True)
class Image:
    """One content of one image.

    `container`/`path`/`etag` name the blob that arrived; `source_container`/`source_path`/`source_etag` the blob to be
    scored, which is another one when it had to be converted. `error` is the reason when it was rejected, else empty.
    `attempts` counts the batches that it has been in.
    """

    container: str
    path: str
    etag: str
    source_container: str
    source_path: str
    source_etag: str
    error: str = ""
    attempts: int = 0

    @property
    def key(self) -> str:
        """Names this content of this image: `<path hash>:<etag>`."""
        return f"{path_hash(self.container, self.path)}:{self.etag}"

    @property
    def partition(self) -> str:
        return self.key[0]


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
        # The clock is told in whole seconds, the rows' times more finely.
        return max(0.0, (self.now - waiting.since).total_seconds())


@dataclass(frozen=True)
class Batch:
    """A batch's row. `state` is claiming → claimed → submitted (cluster only) → done; `route` is inline or cluster.

    `folder` holds its manifest, parts and result in the work container, with a slash at its end.
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
    etag: str = dataclasses.field(default="", compare=False)


@dataclass(frozen=True)
class Settlement:
    """What came of an image in a batch: `state` is scored, failed, rejected or waiting (it goes into a later batch)."""

    image: Image
    state: str
    error: str = ""
    file: str = ""


def path_hash(container: str, path: str) -> str:
    """32 hex digits that name a blob path; the first is its shard."""
    return hashlib.sha256(f"{container}/{path}".encode()).hexdigest()[:32]


def normalised_etag(etag: str) -> str:
    """An ETag without quotes or weakness mark, as it stands in row keys."""
    return etag.removeprefix("W/").strip('"')


class Ledger:
    """The table, with the transitions that the rest of LabelLoop uses."""

    def __init__(self, tables: TableServiceClient) -> None:
        self._tables = tables
        self._table: TableClient = tables.get_table_client(TABLE)

    def create(self) -> None:
        """Make the table. No effect when it exists."""
        self._tables.create_table_if_not_exists(TABLE)

    # Images

    def record_arrival(self, image: Image, current_etag: Callable[[], str | None]) -> bool:
        """Note that an image has arrived and waits. False, and no effect, when this content was noted before.

        An older content of the same path that still waits is superseded. Arrivals may come out of order, so when
        another content waits, `current_etag` tells which the blob has now (None: it is gone): an arrival that is not
        the current one is noted as superseded, and waits no more.
        """
        while True:
            earlier = list(self._range(image.partition, f"i:{path_hash(image.container, image.path)}:"))
            if any(row["etag"] == image.etag for row in earlier):
                return False
            others = [row for row in earlier if row["state"] == "waiting"]
            stale = bool(others) and current_etag() not in {None, image.etag}
            marker = "" if stale else _waiting_key(image)
            record = {
                "PartitionKey": image.partition,
                "RowKey": f"i:{image.key}",
                **_fields(image),
                "state": "superseded" if stale else "waiting",
                "marker": marker,
                "arrived": _utc_now(),
            }
            operations: list[Operation] = [("create", record)]
            if not stale:
                operations.append(("create", _marker(image, marker)))
                for row in others:
                    operations.append(("delete", {"PartitionKey": image.partition, "RowKey": row["marker"]}))
                    operations.append(_merge(image.partition, row["RowKey"], state="superseded"))
            # A lost race means that the same arrival was noted, or the older one claimed, in between: look again.
            with contextlib.suppress(ConcurrentUpdateError):
                self._transact(operations)
                return True

    def waiting(self, limit: int) -> WaitingImages:
        """The `limit` images that wait longest. Those that wait for a later try (see `settle`) are left out."""
        clock = _ServerClock()
        last = f"w:{_utc_now()}~"
        shards = (
            (
                Waiting(_image(row), row["RowKey"], row.metadata["timestamp"])
                for row in self._between(shard, "w:", last, raw_response_hook=clock)
            )
            for shard in SHARDS
        )
        merged = heapq.merge(*shards, key=lambda each: each.row_key)
        images = tuple(waiting for waiting, _ in zip(merged, range(limit), strict=False))
        return WaitingImages(images, clock.now)

    def claim(self, batch: str, waiting: Sequence[Waiting]) -> None:
        """Put waiting images into a batch; those that another batch has, or a newer content superseded, stay out."""

        def operations(each: Waiting) -> list[Operation]:
            image = each.image
            return [
                ("delete", {"PartitionKey": image.partition, "RowKey": each.row_key}),
                ("create", _marker(image, f"b:{batch}:{image.key}")),
                _merge(image.partition, f"i:{image.key}", state="batched", batch=batch, marker=""),
            ]

        self._transact_each(waiting, lambda each: each.image.partition, operations)

    def release(self, batch: str) -> None:
        """Let every image that is in a batch wait again at once: the batch will not score them."""

        def operations(image: Image) -> list[Operation]:
            marker = _waiting_key(image)
            return [
                ("delete", {"PartitionKey": image.partition, "RowKey": f"b:{batch}:{image.key}"}),
                ("create", _marker(image, marker)),
                _merge(image.partition, f"i:{image.key}", state="waiting", marker=marker),
            ]

        self._transact_each(self.members(batch), lambda image: image.partition, operations)

    def members(self, batch: str) -> Iterator[Image]:
        """The images in a batch that are not settled."""
        for shard in SHARDS:
            for row in self._range(shard, f"b:{batch}:"):
                yield _image(row)

    def settle(self, batch: str, settlements: Iterable[Settlement]) -> None:
        """Record what came of a batch's images. Images that are settled already stay as they are.

        An image that waits again does so for a minute, then for five, then 25 …, so that whatever kept it from being
        scored has time to go away before another node is started.
        """

        def operations(settlement: Settlement) -> list[Operation]:
            image = settlement.image
            result: list[Operation] = [
                ("delete", {"PartitionKey": image.partition, "RowKey": f"b:{batch}:{image.key}"})
            ]
            if settlement.state == "waiting":
                again = dataclasses.replace(image, attempts=image.attempts + 1)
                marker = _waiting_key(again, delay=RETRY_SECONDS * RETRY_FACTOR**image.attempts)
                result.append(("create", _marker(again, marker)))
                change = _merge(image.partition, f"i:{image.key}", state="waiting", marker=marker)
            else:
                change = _merge(
                    image.partition,
                    f"i:{image.key}",
                    state=settlement.state,
                    error=settlement.error,
                    file=settlement.file,
                )
            return [*result, change]

        self._transact_each(settlements, lambda each: each.image.partition, operations)

    def history(self, container: str, path: str) -> list[dict[str, Any]]:
        """All recorded contents of one image, with `etag`, `state`, `error`, `batch`, `file` and `arrived`."""
        digest = path_hash(container, path)
        return [dict(row) for row in self._range(digest[0], f"i:{digest}:")]

    # Batches

    def open_batch(self, batch: Batch) -> Batch:
        """Insert a new batch. Raises ConcurrentUpdateError when its id is taken."""
        from azure.core.exceptions import ResourceExistsError

        entity = {"PartitionKey": BATCHES, "RowKey": f"open:{batch.id}", **_batch_fields(batch)}
        try:
            answer = self._table.create_entity(entity)
        except ResourceExistsError:
            raise ConcurrentUpdateError(f"batch {batch.id} exists") from None
        return dataclasses.replace(batch, etag=answer["etag"])

    def advance(self, batch: Batch, **changes: Any) -> Batch:
        """Change an open batch. Raises ConcurrentUpdateError when another worker has changed it since it was read."""
        from azure.core import MatchConditions
        from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
        from azure.data.tables import UpdateMode

        changed = dataclasses.replace(batch, **changes)
        entity = {"PartitionKey": BATCHES, "RowKey": f"open:{batch.id}", **_batch_fields(changed)}
        try:
            answer = self._table.update_entity(
                entity, mode=UpdateMode.REPLACE, etag=batch.etag, match_condition=MatchConditions.IfNotModified
            )
        except (ResourceModifiedError, ResourceNotFoundError):
            raise ConcurrentUpdateError(f"batch {batch.id} was changed by another worker") from None
        return dataclasses.replace(changed, etag=answer["etag"])

    def close_batch(self, batch: Batch) -> None:
        """Move a batch from the open to the done ones. Raises ConcurrentUpdateError when it is not open."""
        fields = _batch_fields(dataclasses.replace(batch, state="done"))
        self._transact(
            [
                ("delete", {"PartitionKey": BATCHES, "RowKey": f"open:{batch.id}"}),
                ("upsert", {"PartitionKey": BATCHES, "RowKey": f"done:{batch.id}", **fields}),
            ]
        )

    def open_batches(self) -> list[Batch]:
        """The batches under way, oldest first."""
        return [_batch(row) for row in self._range(BATCHES, "open:")]

    def batch(self, batch_id: str) -> Batch | None:
        """One batch, open or done."""
        from azure.core.exceptions import ResourceNotFoundError

        for prefix in ("open:", "done:"):
            with contextlib.suppress(ResourceNotFoundError):
                return _batch(self._table.get_entity(BATCHES, f"{prefix}{batch_id}"))
        return None

    # Storage

    def _range(self, partition: str, prefix: str) -> Iterator[Any]:
        return self._between(partition, prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1))

    def _between(self, partition: str, first: str, last: str, **options: Any) -> Iterator[Any]:
        return iter(
            self._table.query_entities(
                "PartitionKey eq @partition and RowKey ge @first and RowKey lt @last",
                parameters={"partition": partition, "first": first, "last": last},
                **options,
            )
        )

    def _transact(self, operations: Sequence[Operation]) -> None:
        """Raises ConcurrentUpdateError when a row is not as expected; then nothing was changed."""
        from azure.data.tables import TableTransactionError

        try:
            self._table.submit_transaction(operations)
        except TableTransactionError as error:
            if error.status_code in {404, 409, 412}:
                raise ConcurrentUpdateError(str(error.message)) from error
            raise

    def _transact_each(
        self, items: Iterable[Item], partition: Callable[[Item], str], operations: Callable[[Item], list[Operation]]
    ) -> None:
        """Carry out each item's operations, many items a transaction; items whose rows are not as expected are left."""
        pending: dict[str, list[Item]] = {}
        for item in items:
            group = pending.setdefault(partition(item), [])
            group.append(item)
            if len(group) == IMAGES_PER_TRANSACTION:
                self._transact_group(group, operations)
                group.clear()
        for group in pending.values():
            self._transact_group(group, operations)

    def _transact_group(self, group: list[Item], operations: Callable[[Item], list[Operation]]) -> None:
        if not group:
            return
        try:
            self._transact([operation for item in group for operation in operations(item)])
        except ConcurrentUpdateError:
            if len(group) > 1:
                for item in group:
                    self._transact_group([item], operations)


class _ServerClock:
    """Remembers the Date header of the storage service's last answer."""

    def __init__(self) -> None:
        self.now = dt.datetime.now(dt.UTC)

    def __call__(self, response: Any) -> None:
        date = response.http_response.headers.get("date")
        if date:
            self.now = email.utils.parsedate_to_datetime(date)


def _utc_now(delay: float = 0.0) -> str:
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=delay)
    return moment.isoformat(timespec="microseconds")


def _waiting_key(image: Image, delay: float = 0.0) -> str:
    # The worker's clock gives a fair order, and puts off a later try; nothing else depends on it.
    return f"w:{_utc_now(delay)}:{image.key}"


def _fields(image: Image) -> dict[str, Any]:
    return dataclasses.asdict(image)


def _marker(image: Image, row_key: str) -> dict[str, Any]:
    return {"PartitionKey": image.partition, "RowKey": row_key, **_fields(image)}


def _image(row: Mapping[str, Any]) -> Image:
    return Image(**{field.name: row[field.name] for field in dataclasses.fields(Image)})


def _merge(partition: str, row_key: str, **fields: Any) -> Operation:
    return ("update", {"PartitionKey": partition, "RowKey": row_key, **fields}, {"mode": "merge"})


def _batch_fields(batch: Batch) -> dict[str, Any]:
    fields = dataclasses.asdict(batch)
    del fields["etag"]
    fields["files"] = json.dumps(batch.files)
    return fields


def _batch(row: Any) -> Batch:
    fields = {field.name: row[field.name] for field in dataclasses.fields(Batch) if field.name != "etag"}
    fields["files"] = tuple(json.loads(fields["files"]))
    return Batch(**fields, etag=row.metadata["etag"])
