"""The sealed results of batches that have ended, newest batch first, a bounded number of them at a time."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from shared.errors import InvalidRequestError
from shared.manifests import batch_labels
from shared.results.sealed import Result, ahead, sealed_results

if TYPE_CHECKING:
    from shared.clients import Clients
    from shared.ledger import Batch, Ledger

# For one answer at most so many shards are read.
MAX_SHARDS = 200
LISTED_BATCHES = 100
# What ids may look like to storage; the rest of a cursor is harmless.
_ID = re.compile(r"[0-9A-Za-z-]{1,100}")
# Someone has deleted what is older, as a lifecycle rule of the account may.
GONE = "batch %s: its results are gone, and left out"

logger = logging.getLogger(__name__)


class Position(NamedTuple):
    """Where an answer goes on: a row of a shard of a batch's results. It may come from outside, and is not trusted."""

    batch: str
    shard: int
    row: int


@dataclass(frozen=True)
class TimeRange:
    """Batches that were made at `since` or later, and before `until` (both with a time zone; None: no limit)."""

    since: dt.datetime | None = None
    until: dt.datetime | None = None

    # Ids begin with the second that the batch was made in (UTC).

    @property
    def first_id(self) -> str:
        return "" if self.since is None else _id_at(self.since)

    @property
    def end_id(self) -> str:
        """Comes after the ids within, and before all others."""
        return "" if self.until is None else _id_at(self.until)


EVER = TimeRange()


@dataclass(frozen=True)
class EndedShard:
    """A shard of a batch that has ended, from the row `first` on. One that `is_beyond` what one answer may take was not
    read: the next answer begins with it.
    """

    batch: Batch
    labels: tuple[str, ...]
    number: int
    first: int
    read: tuple[Result, ...] = ()
    is_beyond: bool = False

    def results(self) -> Iterator[tuple[int, Result]]:
        """With their numbers in the shard."""
        return itertools.islice(enumerate(self.read), self.first, None)

    def position(self, row: int) -> Position:
        return Position(self.batch.id, self.number, max(row, self.first))


def ended_shards(clients: Clients, ledger: Ledger, begin: Position | None, made: TimeRange) -> Iterator[EndedShard]:
    """The shards of batches made in a time range, from `begin` on; after MAX_SHARDS of them one that is beyond.

    Raises InvalidRequestError when `begin` is in no batch that has ended.
    """
    from azure.core.exceptions import ResourceNotFoundError

    def read(shard: EndedShard) -> EndedShard:
        if shard.is_beyond:
            return shard
        try:
            results = sealed_results(clients, shard.batch).shard(shard.number).results
        except ResourceNotFoundError:
            logger.warning(GONE, shard.batch.id)
            return shard
        return dataclasses.replace(shard, read=tuple(results))

    def planned() -> Iterator[EndedShard]:
        labels_of: dict[str, tuple[str, ...]] = {}
        for count, (batch, number, first) in enumerate(_positions(ledger, begin, made)):
            if count == MAX_SHARDS:
                yield EndedShard(batch, (), number, first, is_beyond=True)
                return
            if batch.model_path not in labels_of:
                try:
                    labels_of[batch.model_path] = batch_labels(clients, batch)
                except ResourceNotFoundError:
                    logger.warning(GONE, batch.id)
                    continue
            yield EndedShard(batch, labels_of[batch.model_path], number, first)

    return ahead(read, planned())


def _positions(ledger: Ledger, begin: Position | None, made: TimeRange) -> Iterator[tuple[Batch, int, int]]:
    """Each shard of the batches made in a time range, with the first row that counts."""
    before = made.end_id
    if begin is not None:
        batch = ledger.batch(begin.batch) if _ID.fullmatch(begin.batch) else None
        if batch is None or batch.state != "done":
            raise InvalidRequestError("cursor points at a batch that is gone; begin anew without it", "cursor")
        start = max(begin.shard, 0)
        for number in range(start, batch.shards):
            yield batch, number, max(begin.row, 0) if number == start else 0
        before = batch.id
    while batches := ledger.done_batches(LISTED_BATCHES, before):
        for batch in batches:
            if batch.id < made.first_id:
                return
            # Those of the very second of `until` come first.
            if made.end_id and batch.id >= made.end_id:
                continue
            for number in range(batch.shards):
                yield batch, number, 0
        before = batches[-1].id


def _id_at(moment: dt.datetime) -> str:
    """The beginning of the ids of batches made at a time or in the second after it; batches are made at whole seconds.

    Raises InvalidRequestError at the calendar's ends.
    """
    try:
        second = moment.astimezone(dt.UTC)
        if second.microsecond:
            second = second.replace(microsecond=0) + dt.timedelta(seconds=1)
    except OverflowError:
        raise InvalidRequestError(f"{moment.isoformat()} is too far away; give a year from 2 to 9998") from None
    return f"{second:%Y%m%d-%H%M%S}"
