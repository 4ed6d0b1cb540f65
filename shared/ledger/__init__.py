"""What has been seen, what waits, which batch it went into and what came of it: one Azure Table.

Images are spread over SHARDS partitions by a hash of their path. Several kinds of row share a partition, so that one
entity-group transaction moves an image from one state to the next, entirely or not at all:

    i:<path hash>                   the path was seen; all arrivals at it write this row, one after the other
    i:<path hash>:<etag>            the record of one content of one image; never deleted
    w:<time>:<path hash>:<etag>     it waits: a range query finds all that waits, oldest first
    b:<batch>:<path hash>:<etag>    it is in a batch: a range query finds the batch's members
    g:<batch>                       the batch's gate: claims pass while it is open, and none after it was closed

    waiting → batched → scored | failed | rejected     waiting → superseded, by a newer content of the same path
              batched → waiting, when the batch came to nothing for it

What people say of images lies in the same partitions (`shared/review/corrections.py`); webhooks have one of their own
(`shared/webhooks/subscriptions.py`).

A waiting marker exists at most once, and only a transaction that deletes it can put its image into a batch: that is
what makes claiming safe with any number of dispatchers. A batch's gate is closed before its manifest is written, so
that a dispatcher that wakes up late can put nothing into a batch that nobody looks at any more.

In steady state an image costs one transaction at its arrival, 1/33 when it is claimed and 1/33 when it is settled. A
batch costs some requests for each shard that it has images in.

Batches are rows of the partition `batch`: `open:<id>`, or `done:<id>` with its digits inverted, so that the newest come
first. `day:<day>`, inverted too, counts what the batches that ended on a day came to. Re-scorings are rows there, too.

All times are the storage service's (`shared/ledger/clock.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.ledger.batches import BatchRows
from shared.ledger.images import ImageRows
from shared.ledger.rescorings import Rescoring, RescoringRows
from shared.ledger.rows import (
    Batch,
    DayCounts,
    Image,
    Settlement,
    Waiting,
    WaitingImages,
    image_of,
    normalised_etag,
    path_hash,
    rfc3339,
    row_column,
)
from shared.ledger.table import TABLE, ConcurrentUpdateError

if TYPE_CHECKING:
    from azure.data.tables import TableServiceClient

__all__ = [
    "TABLE",
    "Batch",
    "ConcurrentUpdateError",
    "DayCounts",
    "Image",
    "Ledger",
    "Rescoring",
    "Settlement",
    "Waiting",
    "WaitingImages",
    "image_of",
    "normalised_etag",
    "path_hash",
    "rfc3339",
    "row_column",
]


class Ledger(ImageRows, BatchRows, RescoringRows):
    """The table, with the transitions that the rest of LabelLoop uses."""

    def __init__(self, tables: TableServiceClient) -> None:
        super().__init__(tables)
        self._tables = tables

    def create(self) -> None:
        """Make the table. No effect when it exists."""
        self._tables.create_table_if_not_exists(TABLE)
