"""The images' part of the ledger: arrival, waiting, claiming, settling."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from shared.ledger import rows
from shared.ledger.rows import Image, Settlement, Waiting, WaitingImages, image_fields, image_of, path_hash, row_column
from shared.ledger.table import (
    MAX_OPERATIONS,
    ConcurrentUpdateError,
    LedgerTable,
    Operation,
    expecting,
    grouped,
    in_parallel,
    merged,
)

if TYPE_CHECKING:
    from azure.data.tables import TableServiceClient

OPERATIONS_PER_IMAGE = 3
# A claim's transaction has one operation more, on the batch's gate.
IMAGES_PER_TRANSACTION = (MAX_OPERATIONS - 1) // OPERATIONS_PER_IMAGE
RETRY_SECONDS, RETRY_FACTOR = 60.0, 5.0
# By how much one worker's idea of the service's time may be ahead of another's.
CLOCK_TOLERANCE = dt.timedelta(seconds=2)


class ImageRows:
    """Images are named by the container and path that they arrived at, and by their content's ETag."""

    def __init__(self, tables: TableServiceClient) -> None:
        self._table = LedgerTable(tables)

    def now(self) -> dt.datetime:
        """The storage service's time (UTC), which is the same for all workers."""
        return self._table.now()

    def record_arrival(self, image: Image, current_etag: Callable[[], str | None]) -> bool:
        """Note that an image has arrived and waits. False, and no effect, when this content was noted before.

        A path that comes for the first time costs one transaction. Of one that was seen before, an older content that
        still waits is superseded. Arrivals may come out of order, so `current_etag` tells then which content the blob
        has now (None: it is gone): an arrival that is not the current one is noted as superseded, and waits no more.
        """
        head = {"PartitionKey": image.partition, "RowKey": _head_key(image)}
        with contextlib.suppress(ConcurrentUpdateError):
            self._table.transact([("create", head), *self._arrived(image)])
            return True
        while True:
            etag, contents = self._seen(image)
            if any(row["etag"] == image.etag for row in contents):
                return False
            # All arrivals at a path write its head, so of two at the same time one looks again.
            operations: list[Operation] = [("update", head, expecting(etag)) if etag else ("create", head)]
            if contents and current_etag() not in {None, image.etag}:
                operations += self._arrived(image, state="superseded")
            else:
                operations += self._arrived(image)
                for row in contents:
                    if row["state"] == "waiting":
                        operations.append(("delete", {"PartitionKey": image.partition, "RowKey": row["marker"]}))
                        operations.append(merged(image.partition, row["RowKey"], state="superseded", marker=""))
            # A lost race means that the same content was noted, or an older one claimed, in between.
            with contextlib.suppress(ConcurrentUpdateError):
                self._table.transact(operations)
                return True

    def history(self, container: str, path: str) -> list[dict[str, Any]]:
        """All recorded contents of one image: the columns of Image, and `state`, `error`, `batch`, `file`, `arrived`;
        `rescored_batch` and `rescored_file` once it was scored again.
        """
        digest = path_hash(container, path)
        return [dict(row) for row in self._table.range(rows.shard_of(digest), f"i:{digest}:")]

    def record(self, image: Image) -> dict[str, Any] | None:
        """The record of one content of an image, as in `history`; only its container, path and ETag are looked at."""
        row = self._table.get(image.partition, f"i:{image.key}")
        return None if row is None else dict(row)

    def waiting(self, limit: int) -> WaitingImages:
        """The `limit` images that wait longest. Those that wait for a later try (see `settle`) are left out."""
        last = f"w:{_moment(self.now() + CLOCK_TOLERANCE)}~"
        # With fairly spread images one page a shard is enough.
        size = limit // len(rows.SHARDS) + 50

        def first_page(shard: str) -> Iterator[Waiting]:
            pages = self._table.pages(shard, "w:", last, page_size=size)
            first = list(next(pages, iter(())))
            found = itertools.chain(first, itertools.chain.from_iterable(pages))
            return (Waiting(image_of(row), row["RowKey"], row.metadata["timestamp"]) for row in found)

        merged_shards = heapq.merge(*in_parallel(first_page, rows.SHARDS), key=lambda each: each.row_key)
        images = tuple(itertools.islice(merged_shards, limit))
        return WaitingImages(images, self.now())

    def count_waiting(self, limit: int) -> int:
        """How many images wait, those for a later try included; at most `limit`, at some requests for each thousand."""

        # Images are spread evenly, so that no shard alone has much more than its part.
        most = limit // len(rows.SHARDS) + 500

        def count(shard: str) -> int:
            found = self._table.range(shard, "w:", select=["RowKey"])
            return sum(1 for _ in itertools.islice(found, most))

        return min(sum(in_parallel(count, rows.SHARDS)), limit)

    def claim(self, batch: str, waiting: Sequence[Waiting]) -> None:
        """Put waiting images into a batch; those that another batch has, or a newer content superseded, stay out.

        After `fence` no image of the shards that it closed gets in any more, however late a claim that began before
        comes to its end.
        """
        shards = grouped(waiting, lambda each: each.image.partition, len(waiting) or 1)
        in_parallel(lambda group: self._claim_in_shard(batch, group), shards)

    def fence(self, batch: str, partitions: str) -> None:
        """Let no further image into a batch: from now on its members are known. `partitions` are the shards that its
        images may be in; none given are all.
        """

        def close(shard: str) -> None:
            self._table.transact([("upsert", {**_gate(batch, shard), "closed": True}, {"mode": "replace"})])

        in_parallel(close, partitions or rows.SHARDS)

    def members(self, batch: str, partitions: str = "") -> Iterator[Image]:
        """The images in a batch that are not settled; of the shards `partitions`, or of all."""

        found = in_parallel(lambda shard: self._members_in_shard(batch, shard), partitions or rows.SHARDS)
        return itertools.chain.from_iterable(found)

    def release(self, batch: str) -> None:
        """Let every image that is in a batch wait again at once: the batch will not score them."""
        now = self.now()

        def operations(image: Image) -> list[Operation]:
            marker = _waiting_key(image, now)
            return [
                ("delete", {"PartitionKey": image.partition, "RowKey": _member_key(batch, image)}),
                ("create", _marker(image, marker)),
                merged(image.partition, f"i:{image.key}", state="waiting", marker=marker),
            ]

        self._transact_members(batch, self.members(batch), lambda image: image, operations)

    def settle(self, batch: str, settlements: Iterable[Settlement], model: str = "") -> None:
        """Record what came of a batch's images, by the `model` (`name:version`). Images that are settled already stay
        as they are.

        An image that waits again does so for a minute, then for five, then 25 …, so that whatever kept it from being
        scored has time to go away before another node is started.
        """
        now = self.now()

        def operations(settlement: Settlement) -> list[Operation]:
            image = settlement.image
            result: list[Operation] = [
                ("delete", {"PartitionKey": image.partition, "RowKey": _member_key(batch, image)})
            ]
            if settlement.state == "waiting":
                again = dataclasses.replace(image, attempts=image.attempts + 1)
                delay = dt.timedelta(seconds=RETRY_SECONDS * RETRY_FACTOR**image.attempts)
                marker = _waiting_key(again, now + delay)
                result.append(("create", _marker(again, marker)))
                change = merged(image.partition, f"i:{image.key}", state="waiting", marker=marker)
            else:
                change = merged(
                    image.partition,
                    f"i:{image.key}",
                    state=settlement.state,
                    error=settlement.error,
                    file=settlement.file,
                    **_row_of(settlement, model),
                )
            return [*result, change]

        self._transact_members(batch, settlements, lambda settlement: settlement.image, operations)

    def note_rescored(self, batch: str, settlements: Iterable[Settlement], model: str = "") -> None:
        """Note on the records of images that they were scored again, by the `model` (`name:version`); their states stay
        as they are.
        """

        def note(group: list[Settlement]) -> None:
            def operation(each: Settlement) -> Operation:
                changes = {"rescored_batch": batch, "rescored_file": each.file, **_row_of(each, model)}
                return merged(each.image.partition, f"i:{each.image.key}", **changes)

            try:
                self._table.transact(list(map(operation, group)))
            except ConcurrentUpdateError:
                for each in group:
                    with contextlib.suppress(ConcurrentUpdateError):
                        self._table.transact([operation(each)])

        in_parallel(note, grouped(settlements, lambda each: each.image.partition, MAX_OPERATIONS))

    def _seen(self, image: Image) -> tuple[str, list[Any]]:
        """The ETag of the head of an image's path, empty when it has none, and the records of its contents."""
        key = _head_key(image)
        found = list(self._table.range(image.partition, key))
        heads = [str(row.metadata["etag"]) for row in found if row["RowKey"] == key]
        return "".join(heads), [row for row in found if row["RowKey"] != key]

    def _arrived(self, image: Image, state: str = "waiting") -> list[Operation]:
        now = self.now()
        marker = _waiting_key(image, now) if state == "waiting" else ""
        record = {
            "PartitionKey": image.partition,
            "RowKey": f"i:{image.key}",
            **image_fields(image),
            "state": state,
            "marker": marker,
            "arrived": _moment(now),
        }
        return [("create", record), *([("create", _marker(image, marker))] if marker else [])]

    def _members_in_shard(self, batch: str, shard: str) -> list[Image]:
        return [image_of(row) for row in self._table.range(shard, f"b:{batch}:")]

    def _claim_in_shard(self, batch: str, waiting: list[Waiting]) -> None:
        gate = _gate(batch, waiting[0].image.partition)
        through: Operation = ("create", gate)
        for start in range(0, len(waiting), IMAGES_PER_TRANSACTION):
            group = waiting[start : start + IMAGES_PER_TRANSACTION]
            moves = [operation for each in group for operation in _claimed(batch, each)]
            try:
                etag = self._table.transact([through, *moves])[0]
            except ConcurrentUpdateError:
                etag = self._claim_singly(batch, group)
                if not etag:
                    return
            through = ("update", gate, {"mode": "replace", **expecting(etag)})

    def _claim_singly(self, batch: str, waiting: list[Waiting]) -> str:
        """Claim each image that still waits. Returns the gate's ETag, which is empty when it is closed."""
        for each in waiting:
            etag = self._open_gate(batch, each.image.partition)
            if not etag:
                return ""
            gate = _gate(batch, each.image.partition)
            with contextlib.suppress(ConcurrentUpdateError):
                self._table.transact([("update", gate, {"mode": "replace", **expecting(etag)}), *_claimed(batch, each)])
        return self._open_gate(batch, waiting[-1].image.partition)

    def _open_gate(self, batch: str, shard: str) -> str:
        """The ETag of a batch's open gate, which is made when there is none; empty when it is closed."""
        gate = _gate(batch, shard)
        with contextlib.suppress(ConcurrentUpdateError):
            return self._table.transact([("create", gate)])[0]
        row = self._table.get(shard, gate["RowKey"])
        return "" if row is None or row.get("closed") else str(row.metadata["etag"])

    def _transact_members(
        self,
        batch: str,
        items: Iterable[Any],
        image_in: Callable[[Any], Image],
        operations: Callable[[Any], list[Operation]],
    ) -> None:
        """Carry out each item's operations, which take its image out of the batch. Images that are not in it any more
        are left as they are.
        """

        def transact(group: list[Any]) -> None:
            try:
                self._table.transact([operation for item in group for operation in operations(item)])
            except ConcurrentUpdateError:
                # An earlier worker was at it.
                shard = image_in(group[0]).partition
                members = {image.key for image in self._members_in_shard(batch, shard)}
                for item in group:
                    if image_in(item).key in members:
                        with contextlib.suppress(ConcurrentUpdateError):
                            self._table.transact(operations(item))

        in_parallel(transact, grouped(items, lambda item: image_in(item).partition, IMAGES_PER_TRANSACTION))


def _row_of(settlement: Settlement, model: str) -> dict[str, str]:
    """Names the row of an image by a model. One that failed has none: it may be tried again."""
    return {row_column(model): settlement.file} if settlement.state in {"scored", "rejected"} else {}


def _claimed(batch: str, waiting: Waiting) -> list[Operation]:
    image = waiting.image
    return [
        ("delete", {"PartitionKey": image.partition, "RowKey": waiting.row_key}),
        ("create", _marker(image, _member_key(batch, image))),
        merged(image.partition, f"i:{image.key}", state="batched", batch=batch, marker=""),
    ]


def _moment(time: dt.datetime) -> str:
    return time.isoformat(timespec="microseconds")


def _head_key(image: Image) -> str:
    return f"i:{path_hash(image.container, image.path)}"


def _waiting_key(image: Image, time: dt.datetime) -> str:
    return f"w:{_moment(time)}:{image.key}"


def _member_key(batch: str, image: Image) -> str:
    return f"b:{batch}:{image.key}"


def _gate(batch: str, shard: str) -> dict[str, Any]:
    return {"PartitionKey": shard, "RowKey": f"g:{batch}"}


def _marker(image: Image, row_key: str) -> dict[str, Any]:
    return {"PartitionKey": image.partition, "RowKey": row_key, **image_fields(image)}
