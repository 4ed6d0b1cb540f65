"""Re-scorings in the ledger. They share the batches' partition, so that a batch and what is planned next change in one
transaction.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.ledger.batches import opened
from shared.ledger.rows import BATCHES, Batch
from shared.ledger.table import ConcurrentUpdateError, LedgerTable, expecting

if TYPE_CHECKING:
    from azure.data.tables import TableServiceClient


@dataclass(frozen=True)
class Rescoring:
    """A request to score again what lies below a prefix. `state` is planning (its images are being listed) → running →
    done. `marker` is where the listing goes on, `batches` and `images` count what is planned; `skipped` are images that
    changed while they were listed, `already_scored` have a row of this model or get one anyhow, and `error` says
    why not all were planned. `key` is the same for all requests of the same prefix and model.
    """

    id: str
    key: str
    prefix: str
    model_name: str
    model_version: str
    model_path: str
    created: str
    state: str = "planning"
    marker: str = ""
    batches: int = 0
    images: int = 0
    skipped: int = 0
    already_scored: int = 0
    error: str = ""
    etag: str = dataclasses.field(default="", compare=False)
    changed: dt.datetime | None = dataclasses.field(default=None, compare=False)

    @property
    def model(self) -> str:
        """`name:version`."""
        return f"{self.model_name}:{self.model_version}"

    def batch_id(self, number: int) -> str:
        """The id of its batch of a number from 0."""
        return f"{self.id}-{number:05d}"


class RescoringRows:
    """Of re-scorings under way each key has at most one."""

    def __init__(self, tables: TableServiceClient) -> None:
        self._table = LedgerTable(tables)

    def start_rescoring(self, rescoring: Rescoring) -> Rescoring:
        """Insert a new one; returns the one under way when there is one of the same key."""
        while True:
            try:
                (etag,) = self._table.transact([("create", _row(rescoring, _open_key(rescoring.key)))])
            except ConcurrentUpdateError:
                row = self._table.get(BATCHES, _open_key(rescoring.key))
                if row is not None:
                    return _rescoring(row)
                # It has ended in between.
            else:
                return dataclasses.replace(rescoring, etag=etag)

    def open_rescorings(self) -> list[Rescoring]:
        """Those under way, oldest first."""
        found = map(_rescoring, self._table.range(BATCHES, _open_key("")))
        return sorted(found, key=lambda each: each.id)

    def rescoring(self, rescoring_id: str) -> Rescoring | None:
        """One of them, under way or done."""
        row = self._table.get(BATCHES, _done_key(rescoring_id))
        if row is None:
            return next((each for each in self.open_rescorings() if each.id == rescoring_id), None)
        return _rescoring(row)

    def advance_rescoring(self, rescoring: Rescoring, batch: Batch | None = None, **changes: Any) -> Rescoring:
        """Change it, and open its next batch, if any, in the same transaction. Raises ConcurrentUpdateError when
        another worker has changed it since it was read.
        """
        changed = dataclasses.replace(rescoring, **changes)
        update = ("update", _row(changed, _open_key(changed.key)), {"mode": "replace", **expecting(rescoring.etag)})
        etags = self._table.transact([update, *([opened(batch)] if batch is not None else [])])
        return dataclasses.replace(changed, etag=etags[0])

    def close_rescoring(self, rescoring: Rescoring) -> None:
        """It is done. Raises ConcurrentUpdateError when another worker has changed it since it was read."""
        done = dataclasses.replace(rescoring, state="done")
        gone = {"PartitionKey": BATCHES, "RowKey": _open_key(rescoring.key)}
        self._table.transact([("delete", gone, expecting(rescoring.etag)), ("create", _row(done, _done_key(done.id)))])


def _open_key(key: str) -> str:
    return f"rescoring:{key}"


def _done_key(rescoring_id: str) -> str:
    return f"rescored:{rescoring_id}"


def _row(rescoring: Rescoring, row_key: str) -> dict[str, Any]:
    fields = dataclasses.asdict(rescoring)
    del fields["etag"], fields["changed"]
    return {"PartitionKey": BATCHES, "RowKey": row_key, **fields}


def _rescoring(row: Any) -> Rescoring:
    fields: Mapping[str, Any] = {
        field.name: row[field.name]
        for field in dataclasses.fields(Rescoring)
        if field.name not in {"etag", "changed"} and field.name in row
    }
    return Rescoring(**fields, etag=row.metadata["etag"], changed=row.metadata["timestamp"])
