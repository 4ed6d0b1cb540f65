"""CSV: a header that names a column of image URLs and one of labels, then a row an image, or a row a label."""

from __future__ import annotations

import csv
import io
import posixpath
import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import IO

from shared.errors import ExportError
from shared.labels.blocks import LineTooLongError, has_controls, line_blocks
from shared.labels.columns import lowest, pixels, roles_of
from shared.labels.model import MAX_RECORD_BYTES, LabelledImage, Problems, shortened
from shared.labels.names import LabelError, Names
from shared.labels.urls import image_url

BATCH = 500
_LINE_END = re.compile(r"\r\n|\r|\n")
DELIMITERS = ",;\t|"


def header_of(line: str) -> tuple[str, dict[str, int], int] | None:
    """Delimiter, role → column, and the number of columns, by a file's first line; None if it is no such header."""
    for delimiter in DELIMITERS:
        try:
            cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
        except csv.Error:
            continue
        roles = roles_of([cell.strip() for cell in cells])
        if "url" in roles and "label" in roles:
            plain_cells = [cell.strip() for cell in cells]
            return delimiter, {role: plain_cells.index(name) for role, name in roles.items()}, len(cells)
    return None


def read(stream: IO[bytes], path: str, container_url: str, names: Names, problems: Problems) -> Iterator[LabelledImage]:
    """The images of a CSV file. Raises ExportError when it has no header, or a line too long for a row."""
    lines = _Lines(stream, path)
    found = header_of(next(lines.texts, ""))
    if found is None:
        raise ExportError(path, ["has no header that names a column for the image's URL and one for its labels"])
    delimiter, columns, width = found
    url_at, label_at, sized = columns["url"], columns["label"], columns.keys() & {"width", "height", "confidence"}
    entries, folder = names.entries, posixpath.dirname(path)
    rows = csv.reader(lines.texts, delimiter=delimiter, skipinitialspace=True)
    image_width, image_height, confidence, broken = 0, 0, 1.0, None
    batch: list[list[str]] = [[]]
    while batch or broken:
        before, batch, broken = rows.line_num, [], None
        try:
            batch.extend(islice(rows, BATCH))
        except csv.Error as error:
            # The rows before it are in the batch.
            broken = str(error)
        # Rows that are a line each are numbered without a look at them.
        check = broken is not None or rows.line_num - before != len(batch)
        records = _records(batch, before + 2) if check else range(before + 2, before + 2 + len(batch))
        check |= lines.has_controls
        for record, row in zip(records, batch, strict=True):
            try:
                if len(row) != width:
                    if row:
                        problems.add("row", f"{path}:{record}", _misshapen(len(row), width), lost=1)
                    continue
                url = row[url_at]
                if check or "://" not in url or not url.isascii():
                    url = image_url(url, folder, container_url)
                cell = row[label_at]
                entry = entries.get(cell) or names.cell_entry(cell)
                if sized:
                    image_width, image_height, confidence = _sizes({role: row[at] for role, at in columns.items()})
            except LabelError as error:
                problems.add("label", f"{path}:{record}", str(error), lost=1)
            except ValueError as error:
                problems.add("row", f"{path}:{record}", str(error), lost=1)
            else:
                entry.images += 1
                yield LabelledImage(url, entry.labels, image_width, image_height, confidence, False, path, record)
        if broken:
            problems.add("no CSV", f"{path}:{rows.line_num + 1}", broken, lost=1)


def _records(rows: Iterable[list[str]], record: int) -> Iterator[int]:
    """The lines where rows end, of which the first begins at line `record`."""
    for row in rows:
        record += sum(len(_LINE_END.findall(cell)) for cell in row)
        yield record
        record += 1


def _misshapen(cells: int, width: int) -> str:
    return (
        f"has {cells} cells, but the header has {width}; "
        "a cell with a delimiter or a quotation mark in it must be in quotation marks"
    )


def _sizes(cells: dict[str, str]) -> tuple[int, int, float]:
    confidence = cells.get("confidence", "").strip("[] ")
    try:
        lowest_one = lowest([number.strip() for number in re.split("[,;|]", confidence)])
    except ValueError:
        raise ValueError(
            f"has {shortened(confidence)} as confidence; it must be a number from 0 to 1 a label"
        ) from None
    return pixels(cells.get("width")), pixels(cells.get("height")), lowest_one


class _Lines:
    """A file's lines (`texts`) with their ends, also those within quotation marks.

    `has_controls`: whether one that was read so far has control characters.
    """

    def __init__(self, stream: IO[bytes], path: str) -> None:
        self.has_controls = False
        self._path = path
        self.texts = chain.from_iterable(self._blocks(stream))

    def _blocks(self, stream: IO[bytes]) -> Iterator[io.StringIO]:
        try:
            for block in line_blocks(stream):
                self.has_controls |= has_controls(block)
                yield io.StringIO(block.decode(errors="surrogateescape"), newline="")
        except LineTooLongError:
            raise ExportError(self._path, [f"has a line of more than {MAX_RECORD_BYTES // 1024**2} MiB"]) from None
