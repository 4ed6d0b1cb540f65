"""Files of predictions over many batches, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.predictions import FORMATS, PredictionRow
from shared.results.collecting import prediction_rows
from shared.results.listing import EVER, Position, TimeRange, ended_shards

if TYPE_CHECKING:
    from shared.clients import Clients
    from shared.ledger import Ledger

# A page has at most so many rows, and fewer where the model has very many labels.
PAGE_ROWS, PAGE_VALUES = 10_000, 500_000


@dataclass(frozen=True)
class PredictionsPage:
    """A file of predictions of one format, complete in itself. `next` is None at the end; a page may have no rows
    although more follow.
    """

    content: bytes
    content_type: str
    rows: int
    next: Position | None


def predictions_page(
    clients: Clients,
    ledger: Ledger,
    suffix: str,
    *,
    made: TimeRange = EVER,
    label: str = "",
    begin: Position | None = None,
) -> PredictionsPage:
    """The rows of batches made in a time range, from `begin` on; with a `label`, those that it was predicted for.

    All rows of a page have the same columns: it ends where a model with other labels begins. `suffix` is one of
    FORMATS. Raises InvalidRequestError when `begin` is in no batch that has ended.
    """
    columns: tuple[str, ...] | None = None
    rows: list[PredictionRow] = []
    end: Position | None = None
    for shard in ended_shards(clients, ledger, begin, made):
        if shard.is_beyond or (columns is not None and columns != shard.labels):
            end = shard.position(0)
            break
        columns = shard.labels
        room = min(PAGE_ROWS, PAGE_VALUES // (len(columns) + 1)) - len(rows)
        for number, result in shard.results():
            row = next(prediction_rows(shard.batch, [result]), None)
            if row is None or (label and label not in row.labels):
                continue
            if not room:
                end = shard.position(number)
                break
            rows.append(row)
            room -= 1
        if end is not None:
            break
    file_format = FORMATS[suffix]
    content = b"".join(file_format.chunks(rows, columns or ()))
    return PredictionsPage(content, file_format.content_type, len(rows), end)
