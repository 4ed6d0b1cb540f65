"""RFC 4180 CSV in UTF-8, without byte order mark, that no spreadsheet takes for formulas.

Three rules go beyond RFC 4180; `read_csv` and `split_labels` know them, and cells that need none are as they are:

- Text that begins with a character that starts a formula, spaces before it or not, gets an apostrophe before it, which
  spreadsheets take for "this is text". So does text that begins so after a semicolon, tab, line break or NUL within a
  cell, since programs that separate by these or leave them out see a cell begin there
  (https://owasp.org/www-community/attacks/CSV_Injection). Where text has such an apostrophe already, it gets another.
- In `labels` the labels are joined by `;`; a semicolon or backslash within a label has a backslash before it.
- Cells with a semicolon or tab are quoted, too, not only those with a comma.

Probabilities have six decimals and a point, whatever the locale.
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Iterable, Iterator, Sequence

from shared.ahead import chunks
from shared.predictions.rows import PredictionRow, columns

LABEL_SEPARATOR = ";"
# So many rows are encoded at once.
CHUNK_ROWS = 1000

# With the full-width forms that Japanese and Chinese spreadsheets take as well.
_FORMULA = "'* *[=+\\-@\uff1d\uff0b\uff0d\uff20]"
_CELL_BEGINS = "(?:^|(?<=[;\t\r\n\0]))"
_DANGEROUS = re.compile(f"{_CELL_BEGINS}(?={_FORMULA})")
_DEFUSED = re.compile(f"{_CELL_BEGINS}'(?={_FORMULA})")
_QUOTED = re.compile(r'[",;\t\r\n]|^ | $')
_LABEL = re.compile(r"(?:[^\\;]|\\.)+", re.DOTALL)


def csv_chunks(rows: Iterable[PredictionRow], labels: Sequence[str]) -> Iterator[bytes]:
    """The file, with its header, piece by piece. Every row has as many probabilities as there are `labels`, or none."""
    probabilities = ",".join(["%.6f"] * len(labels))
    nothing = "," * (len(labels) - 1)
    joined = functools.lru_cache(maxsize=10_000)(_labels_cell)
    yield (",".join(map(_cell, columns(labels))) + "\r\n").encode()
    for chunk in chunks(rows, CHUNK_ROWS):
        lines = [
            f"{_cell(row.image)},{joined(row.labels)},"
            f"{probabilities % row.probabilities if row.probabilities else nothing},"
            f"{row.model},{row.scored_at},{_cell(row.error)}\r\n"
            for row in chunk
        ]
        yield "".join(lines).encode()


def read_csv(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """The rows of a predictions CSV, by column, as they were before they were made harmless. `lines` are of text that
    was opened with `newline=""`; `labels` is for `split_labels`.
    """
    cells = csv.reader(lines)
    header = [_DEFUSED.sub("", cell) for cell in next(cells)]
    for row in cells:
        yield dict(zip(header, (_DEFUSED.sub("", cell) for cell in row), strict=True))


def split_labels(cell: str) -> tuple[str, ...]:
    r"""The labels of a cell of `labels`, as `read_csv` gives it: `a;b\;c` are the labels `a` and `b;c`."""
    return tuple(re.sub(r"\\(.)", r"\1", label, flags=re.DOTALL) for label in _LABEL.findall(cell))


def _labels_cell(labels: Sequence[str]) -> str:
    return _cell(LABEL_SEPARATOR.join(re.sub(r"([\\;])", r"\\\1", label) for label in labels))


def _cell(text: str) -> str:
    harmless = _DANGEROUS.sub("'", text)
    if _QUOTED.search(harmless):
        return '"' + harmless.replace('"', '""') + '"'
    return harmless
