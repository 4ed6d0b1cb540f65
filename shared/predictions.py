"""The files of predictions: CSV and JSON Lines, written as streams."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO

LABEL_SEPARATOR = ";"
# Cells that start so are formulas to spreadsheets: https://owasp.org/www-community/attacks/CSV_Injection
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\0")


@dataclass(frozen=True)
class PredictionRow:
    """One image of a batch. `probabilities` are in the model's label order; with an `error` both lists are empty."""

    image: str
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    model: str
    scored_at: str
    error: str = ""


def csv_header(labels: Sequence[str]) -> list[str]:
    """Column names of the CSV for a model's labels."""
    return ["image", "labels", *(f"prob_{label}" for label in labels), "model", "scored_at", "error"]


def csv_cells(row: PredictionRow, labels: Sequence[str]) -> list[str]:
    """One row's cells; text that a spreadsheet would take for a formula gets an apostrophe before it."""
    probabilities = [f"{value:.6f}" for value in row.probabilities] or [""] * len(labels)
    return [
        _harmless(row.image),
        _harmless(LABEL_SEPARATOR.join(row.labels)),
        *probabilities,
        row.model,
        row.scored_at,
        _harmless(row.error),
    ]


def write_csv(rows: Iterable[PredictionRow], labels: Sequence[str], target: IO[bytes]) -> None:
    """Write RFC 4180 CSV in UTF-8 with a header."""
    text = io.TextIOWrapper(target, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(_harmless(cell) for cell in csv_header(labels))
    writer.writerows(csv_cells(row, labels) for row in rows)
    text.detach()


def write_jsonl(rows: Iterable[PredictionRow], labels: Sequence[str], target: IO[bytes]) -> None:
    """Write one JSON object a line: the CSV's columns, typed, with `probabilities` as an object."""
    for row in rows:
        values = {
            "image": row.image,
            "labels": list(row.labels),
            "probabilities": dict(zip(labels, row.probabilities, strict=False)),
            "model": row.model,
            "scored_at": row.scored_at or None,
            "error": row.error or None,
        }
        target.write(json.dumps(values, ensure_ascii=False).encode() + b"\n")


WRITERS = {"csv": write_csv, "jsonl": write_jsonl}


def read_csv(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """The rows of a predictions CSV, by column."""
    return csv.DictReader(lines)


def _harmless(cell: str) -> str:
    return "'" + cell if cell.startswith(FORMULA_STARTS) else cell
