"""The batches' part of the ledger: all of it is one partition, so that a batch's end and what it counts for are one
transaction.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from shared.ledger.rows import (
    BATCHES,
    Batch,
    DayCounts,
    batch_fields,
    batch_of,
    newest_first,
    rfc3339,
)
from shared.ledger.table import ConcurrentUpdateError, LedgerTable, Operation, after, expecting

if TYPE_CHECKING:
    from azure.data.tables import TableServiceClient


class BatchRows:
    """Batches are named by an id that begins with the time of their making."""

    def __init__(self, tables: TableServiceClient) -> None:
        self._table = LedgerTable(tables)

    def open_batch(self, batch: Batch) -> Batch:
        """Insert a new batch. Raises ConcurrentUpdateError when its id is taken."""
        (etag,) = self._table.transact([opened(batch)])
        return dataclasses.replace(batch, etag=etag)

    def advance(self, batch: Batch, **changes: Any) -> Batch:
        """Change an open batch. Raises ConcurrentUpdateError when another worker has changed it since it was read."""
        changed = dataclasses.replace(batch, **changes)
        entity = {"PartitionKey": BATCHES, "RowKey": _open_key(batch.id), **batch_fields(changed)}
        try:
            (etag,) = self._table.transact([("update", entity, {"mode": "replace", **expecting(batch.etag)})])
        except ConcurrentUpdateError:
            raise ConcurrentUpdateError(f"batch {batch.id} was changed by another worker") from None
        return dataclasses.replace(changed, etag=etag)

    def close_batch(self, batch: Batch, successor: Batch | None = None) -> None:
        """Move a batch from the open to the done ones, and open its successor, if any, in the same transaction.

        Raises ConcurrentUpdateError when it is not open, or was changed since it was read.
        """
        now = self._table.now()
        done = dataclasses.replace(batch, state="done", ended=rfc3339(now))
        key = newest_first(f"day:{now:%Y%m%d}")
        while True:
            row = self._table.get(BATCHES, key)
            day = (DayCounts(f"{now:%Y-%m-%d}") if row is None else _day(row)).plus(done)
            counted = {"PartitionKey": BATCHES, "RowKey": key, **dataclasses.asdict(day)}
            operations: list[Operation] = [
                ("delete", {"PartitionKey": BATCHES, "RowKey": _open_key(batch.id)}, expecting(batch.etag)),
                ("upsert", {"PartitionKey": BATCHES, "RowKey": _done_key(batch.id), **batch_fields(done)}),
                ("create", counted) if row is None else ("update", counted, expecting(row.metadata["etag"])),
            ]
            if successor is not None:
                operations.append(opened(successor))
            try:
                self._table.transact(operations)
            except ConcurrentUpdateError:
                current = self._table.get(BATCHES, _open_key(batch.id))
                if current is None or current.metadata["etag"] != batch.etag:
                    raise ConcurrentUpdateError(f"batch {batch.id} was changed by another worker") from None
                # Another batch ended at the same time, and was counted first.
            else:
                return

    def open_batches(self) -> list[Batch]:
        """The batches under way, oldest first."""
        return [batch_of(row) for row in self._table.range(BATCHES, "open:")]

    def batch(self, batch_id: str) -> Batch | None:
        """One batch, open or done."""
        for key in (_open_key(batch_id), _done_key(batch_id)):
            row = self._table.get(BATCHES, key)
            if row is not None:
                return batch_of(row)
        return None

    def done_batches(self, limit: int, before: str = "") -> list[Batch]:
        """At most `limit` batches that have ended, newest first by their ids; those older than the id `before`."""
        # No character that ids have comes before this one.
        first = f"{_done_key(before)}!" if before else "done:"
        found = self._table.between(BATCHES, first, after("done:"), page_size=limit)
        return [batch_of(row) for row in itertools.islice(found, limit)]

    def batches_named(self, prefix: str, *, only_open: bool = False) -> Iterator[Batch]:
        """The batches whose id begins with `prefix`; first the open ones, oldest first, then the others, newest first.

        One that ends meanwhile may come twice.
        """
        for start in [_open_key(prefix)] if only_open else [_open_key(prefix), _done_key(prefix)]:
            yield from map(batch_of, self._table.range(BATCHES, start))

    def days(self, count: int) -> list[DayCounts]:
        """The counts of the days on which batches ended, the latest `count` of them, newest first."""
        found = self._table.range(BATCHES, "day:", page_size=count)
        return [_day(row) for row in itertools.islice(found, count)]


def opened(batch: Batch) -> Operation:
    """The operation that inserts an open batch."""
    return ("create", {"PartitionKey": BATCHES, "RowKey": _open_key(batch.id), **batch_fields(batch)})


def _open_key(batch_id: str) -> str:
    return f"open:{batch_id}"


def _done_key(batch_id: str) -> str:
    return f"done:{newest_first(batch_id)}"


def _day(row: Any) -> DayCounts:
    return DayCounts(**{field.name: row[field.name] for field in dataclasses.fields(DayCounts)})
