"""Which of many contents the ledger has never noted, in few requests."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from shared.ledger.rows import Image
from shared.ledger.table import MAX_PAGE_SIZE, LedgerTable, after, grouped, in_parallel

if TYPE_CHECKING:
    from azure.data.tables import TableServiceClient

FIRST_PAGE_SIZE = 16
# By how much a page grows when it answered for several images, and shrinks when it answered for one.
PAGE_FACTOR = 4


def unnoted(tables: TableServiceClient, images: Sequence[Image]) -> list[Image]:
    """Those of the images whose content has no record; only their container, path and ETag are looked at.

    The images are gone through in the order of their keys, and so are the ledger's rows: a page of rows answers for all
    images that it spans. So this takes at most one request for each image, and at most one for each thousand rows of
    the ledger and some for each shard, whichever is less.
    """
    table = LedgerTable(tables)
    shards = grouped(images, lambda image: image.partition, len(images) or 1)
    missing = in_parallel(lambda shard: _unnoted_in_shard(table, shard), shards)
    return list(itertools.chain.from_iterable(missing))


def _unnoted_in_shard(table: LedgerTable, images: list[Image]) -> list[Image]:
    wanted = sorted(images, key=_record_key)
    end = after(_record_key(wanted[-1]))
    missing: list[Image] = []
    position, size = 0, FIRST_PAGE_SIZE
    while position < len(wanted):
        pages = table.pages(wanted[0].partition, _record_key(wanted[position]), end, select=["RowKey"], page_size=size)
        # A page may be empty, or shorter than asked for, though more rows follow.
        keys = next(filter(None, ([str(row["RowKey"]) for row in page] for page in pages)), None)
        if keys is None:
            return missing + wanted[position:]
        spanned = bisect.bisect_right(wanted, keys[-1], lo=position, key=_record_key) - position
        noted = set(keys)
        missing += (image for image in wanted[position : position + spanned] if _record_key(image) not in noted)
        position += spanned
        size = min(size * PAGE_FACTOR, MAX_PAGE_SIZE) if spanned > 1 else max(size // PAGE_FACTOR, 1)
    return missing


def _record_key(image: Image) -> str:
    return f"i:{image.key}"
