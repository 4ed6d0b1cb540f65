"""How often each label was predicted, by the day on which a batch ended."""

from __future__ import annotations

import datetime as dt
import json
import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from shared.ledger import Batch, Ledger
from shared.ledger.table import in_parallel
from shared.results.collecting import file_path

if TYPE_CHECKING:
    from shared.clients import Clients

# A batch's counts never change, so they are kept: one answer reads this many batches anew, the newest first, and the
# next answer goes on from there.
MAX_READ = 400
MAX_BATCHES = 20_000
MAX_KEPT = 20_000
LISTED_BATCHES = 1000

logger = logging.getLogger(__name__)


class _Kept:
    """The label counts of batches by id, those read last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: OrderedDict[str, Mapping[str, int]] = OrderedDict()

    def get(self, batch: str) -> Mapping[str, int] | None:
        return self._counts.get(batch)

    def add(self, batch: str, counts: Mapping[str, int]) -> None:
        with self._lock:
            self._counts[batch] = counts
            while len(self._counts) > MAX_KEPT:
                self._counts.popitem(last=False)


_kept: WeakKeyDictionary[Clients, _Kept] = WeakKeyDictionary()


def count_labels(clients: Clients, days: int) -> dict[str, Any]:
    """Today (UTC) and the days before it, oldest first: images, errors, and images of each label, re-scorings left out.

    `complete` is False when not all batches of these days were read yet.
    """
    ledger = Ledger(clients.tables)
    today = ledger.now().date()
    dates = [today - dt.timedelta(days=back) for back in reversed(range(days))]
    counted = {day.day: day for day in ledger.days(days)}
    labels: dict[str, Counter[str]] = {f"{date}": Counter() for date in dates}
    kept = _kept.setdefault(clients, _Kept())
    found, is_all = _batches(ledger, dates[0])
    unread = [batch for batch in found if kept.get(batch.id) is None]
    chosen = unread[:MAX_READ]
    for batch, read in zip(chosen, in_parallel(lambda each: _read(clients, each), chosen), strict=True):
        kept.add(batch.id, read)
    for batch in found:
        known = kept.get(batch.id)
        if known is not None and batch.ended[:10] in labels:
            labels[batch.ended[:10]].update(known)
    told = []
    for date, counts in labels.items():
        day = counted.get(date)
        images, errors = (day.predicted + day.errors, day.errors) if day else (0, 0)
        told.append({"date": date, "images": images, "errors": errors, "labels": dict(counts.most_common())})
    return {"days": told, "complete": is_all and len(chosen) == len(unread)}


def _batches(ledger: Ledger, since: dt.date) -> tuple[list[Batch], bool]:
    """The batches made since a date that have files, newest first, and whether these are all."""
    found: list[Batch] = []
    for count, batch in enumerate(_done(ledger)):
        if batch.id[:8] < f"{since:%Y%m%d}":
            break
        if count >= MAX_BATCHES:
            return found, False
        if batch.files and not batch.request:
            found.append(batch)
    return found, True


def _done(ledger: Ledger) -> Iterator[Batch]:
    before = ""
    while batches := ledger.done_batches(LISTED_BATCHES, before):
        yield from batches
        before = batches[-1].id


def _read(clients: Clients, batch: Batch) -> Mapping[str, int]:
    """A batch's own counts; none where someone has deleted them."""
    from azure.core.exceptions import ResourceNotFoundError

    blob = clients.blobs.get_blob_client(clients.settings.predictions_container, file_path(batch, "_batch.json"))
    try:
        told = json.loads(blob.download_blob().readall())
    except ResourceNotFoundError:
        logger.warning("batch %s: its counts are gone, and left out", batch.id)
        return {}
    return {label: count for label, count in told["labels"].items() if count}
