"""The formats that predictions can have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from shared.predictions.csv_format import csv_chunks
from shared.predictions.jsonl_format import jsonl_chunks
from shared.predictions.parquet_format import parquet_chunks
from shared.predictions.rows import PredictionRow


@dataclass(frozen=True)
class Format:
    """`chunks` gives the file of some rows and a model's labels, piece by piece."""

    content_type: str
    chunks: Callable[[Iterable[PredictionRow], Sequence[str]], Iterator[bytes]]


# By the suffix of the files, as PREDICTION_FORMATS has them. Media types: RFC 4180 and RFC 7111 (CSV),
# https://jsonlines.org, https://www.iana.org/assignments/media-types/application/vnd.apache.parquet
FORMATS = {
    "csv": Format("text/csv; charset=utf-8; header=present", csv_chunks),
    "jsonl": Format("application/jsonl", jsonl_chunks),
    "parquet": Format("application/vnd.apache.parquet", parquet_chunks),
}
