"""JSON Lines: one object a row, with the CSV's columns, typed. What a row has not, is null."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from shared.ahead import chunks
from shared.predictions.rows import PredictionRow, probability_columns

CHUNK_ROWS = 1000
DECIMALS = 6


def jsonl_chunks(rows: Iterable[PredictionRow], labels: Sequence[str]) -> Iterator[bytes]:
    """The file, piece by piece. Every row has as many probabilities as there are `labels`, or none."""
    names = probability_columns(labels)
    nothing = dict.fromkeys(names)
    encoder = msgspec.json.Encoder()
    for chunk in chunks(rows, CHUNK_ROWS):
        yield encoder.encode_lines(
            [
                {
                    "image": row.image,
                    "labels": row.labels,
                    **(_rounded(names, row.probabilities) if row.probabilities else nothing),
                    "model": row.model,
                    "scored_at": row.scored_at or None,
                    "error": row.error or None,
                }
                for row in chunk
            ]
        )


def _rounded(names: Sequence[str], probabilities: Sequence[float]) -> dict[str, float]:
    return {name: round(value, DECIMALS) for name, value in zip(names, probabilities, strict=True)}
