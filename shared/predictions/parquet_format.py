"""Parquet: the CSV's columns, typed. `labels` is a list of strings, probabilities are float32, `scored_at` is a
timestamp in UTC; what a row has not, is null.
"""

from __future__ import annotations

import array
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from shared.ahead import chunks
from shared.predictions.rows import PredictionRow, probability_columns

if TYPE_CHECKING:
    import pyarrow as pa

# A row group is made in memory; with few rows it suits readers less.
GROUP_VALUES = 500_000
CHUNK_ROWS, MAX_GROUP_ROWS = 1_000, 50_000
# Columns whose values come again and again; a dictionary of probabilities would be longer than they are.
REPEATED = ["labels.list.element", "model", "error"]


def parquet_chunks(rows: Iterable[PredictionRow], labels: Sequence[str]) -> Iterator[bytes]:
    """The file, one row group at a time. Every row has as many probabilities as there are `labels`, or none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = parquet_schema(labels)
    group_rows = min(GROUP_VALUES // (len(labels) + 1), MAX_GROUP_ROWS)
    # Arrow takes a tenth of the memory that the same rows take as Python objects.
    batches = (_record_batch(chunk, len(labels), schema) for chunk in chunks(rows, CHUNK_ROWS))
    sink = _Sink()
    with pq.ParquetWriter(sink, schema, use_dictionary=REPEATED) as writer:
        for group in chunks(batches, max(group_rows // CHUNK_ROWS, 1)):
            writer.write_table(pa.Table.from_batches(group), MAX_GROUP_ROWS)
            yield sink.taken()
    yield sink.taken()


def parquet_schema(labels: Sequence[str]) -> pa.Schema:
    """The columns' types."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("image", pa.string(), nullable=False),
            pa.field("labels", pa.list_(pa.string()), nullable=False),
            *(pa.field(name, pa.float32()) for name in probability_columns(labels)),
            pa.field("model", pa.string(), nullable=False),
            pa.field("scored_at", pa.timestamp("us", tz="UTC")),
            pa.field("error", pa.string()),
        ]
    )


def _record_batch(rows: Sequence[PredictionRow], labels: int, schema: pa.Schema) -> pa.RecordBatch:
    import numpy as np
    import pyarrow as pa

    unknown = np.fromiter((not row.probabilities for row in rows), bool, len(rows))
    blank = (0.0,) * labels
    values = array.array("f")
    for row in rows:
        values.extend(row.probabilities or blank)
    by_label = np.ascontiguousarray(np.frombuffer(values, np.float32).reshape(len(rows), labels).T)
    times = pa.array([row.scored_at or None for row in rows], pa.string())
    arrays: list[Any] = [
        pa.array([row.image for row in rows], pa.string()),
        pa.array([row.labels for row in rows], pa.list_(pa.string())),
        *(pa.array(column, mask=unknown) for column in by_label),
        pa.array([row.model for row in rows], pa.string()),
        times.cast(schema.field("scored_at").type),
        pa.array([row.error or None for row in rows], pa.string()),
    ]
    return pa.record_batch(arrays, schema=schema)


class _Sink(io.RawIOBase):
    """What was written and not taken yet."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        content = bytes(piece)
        self._pieces.append(content)
        return len(content)

    def taken(self) -> bytes:
        content = b"".join(self._pieces)
        self._pieces.clear()
        return content
