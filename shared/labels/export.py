"""One label export: which of its files say what, and all their images as one stream."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from shared.errors import ExportError
from shared.labels import coco, mltable, records, table
from shared.labels.blocks import blocks
from shared.labels.columns import CUSTOM_VISION, plain, roles_of
from shared.labels.document import lenient
from shared.labels.model import (
    MAX_EXAMPLES,
    ExportFile,
    IncompleteExportError,
    LabelledImage,
    Problem,
    Problems,
    shortened,
)
from shared.labels.names import Names

HEAD_BYTES = 64 * 1024
# An export of which less than this share of the rows is understood is not what it seems to be.
MIN_UNDERSTOOD = 0.5
_SHARD = re.compile(r"(?P<stem>.*labeledDatapoints)_(?P<number>[0-9]{1,6})\.\w+", re.IGNORECASE)
_KEY = re.compile(rb'"((?:[^"\\]++|\\.)*+)"\s*:\s*(.)', re.DOTALL)


class Format(StrEnum):
    """What an export's files are."""

    COCO = "COCO"
    CSV = "CSV"
    JSON_LINES = "JSON Lines"
    JSON_RECORDS = "JSON records"


class LabelExport:
    """An export whose files have been recognised. Iterating reads it, in constant memory, once or as often as need be.

    The labels of an image are final only when all of the export was read: then `resolve` tells what they mean, since
    only then is it known which of the spellings of a label is the most frequent, and which texts of a CSV cell are
    labels. `problems` says what was not understood. Iterating raises ExportError when a file breaks off, is not what it
    seemed to be, or is not understood in most of its rows.
    """

    def __init__(
        self,
        name: str,
        files: Sequence[ExportFile],
        file_format: Format,
        container_url: str,
        known: Iterable[str],
        strange: Sequence[Problem],
    ) -> None:
        self.name = name
        self.files = tuple(files)
        self.format = file_format
        self.problems = Problems()
        self.images = 0
        self._container_url = container_url
        self._known = tuple(known)
        self._strange = tuple(strange)
        self._names: Names | None = None

    def __iter__(self) -> Iterator[LabelledImage]:
        self.problems, self.images, self._names = Problems(), 0, None
        for each in self._strange:
            self.problems.add("no label file", each.where, each.detail)
        names = Names(self.name, self._known, cells=self.format is Format.CSV)
        read = READERS[self.format]
        for file in self.files:
            with file.open() as stream:
                yield from read(stream, file.path, self._container_url, names, self.problems)
        names.settle(self.problems)
        self._check(names.images)
        self.images, self._names = names.images, names

    def resolve(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """The meaning of an image's labels: sorted, each once. Raises RuntimeError before all images were read."""
        if self._names is None:
            raise RuntimeError(f"label export {self.name} has not been read to its end")
        return self._names.resolve(labels)

    def _check(self, images: int) -> None:
        lost = self.problems.lost
        if lost and images < MIN_UNDERSTOOD * (images + lost):
            summary = f"is not understood: {lost} of {images + lost} rows gave no image"
            raise ExportError(self.name, [summary, *self.problems.lines()])


READERS = {
    Format.COCO: coco.read,
    Format.CSV: table.read,
    Format.JSON_LINES: records.read_lines,
    Format.JSON_RECORDS: records.read_document,
}


def open_export(
    name: str, files: Iterable[ExportFile], *, container_url: str = "", known_labels: Iterable[str] = ()
) -> LabelExport:
    """Recognise the files of one export, by what they contain.

    An MLTable file, if there is one, says which files count; else all do, and what is no label file is reported. Image
    paths that are no URLs are relative to their file's folder, in the container `container_url` (without it, they stay
    paths). `known_labels`: labels of the model in use; where an export spells one of them otherwise, this spelling
    stays. Raises IncompleteExportError when files are missing, else ExportError when there is nothing to be read, or
    files of several formats.
    """
    every = sorted(files, key=lambda file: file.path)
    tables = [file for file in every if mltable.is_mltable(file)]
    if len(tables) > 1:
        raise ExportError(name, [f"has several MLTable files: {', '.join(file.path for file in tables)}"])
    candidates = mltable.files_of(tables[0], every) if tables else every
    check_shards(name, candidates)
    recognised: dict[Format, list[ExportFile]] = defaultdict(list)
    strange = []
    for file in candidates:
        try:
            recognised[recognise(file)].append(file)
        except ExportError as error:
            if tables:
                raise
            strange.append(Problem(file.path, "; ".join(error.reasons)))
    if not recognised:
        raise ExportError(name, [f"{each.where}: {each.detail}" for each in strange[:MAX_EXAMPLES]] or ["has no files"])
    if len(recognised) > 1:
        kinds = "; ".join(f"{kind}: {', '.join(each.path for each in some)}" for kind, some in recognised.items())
        raise ExportError(name, [f"has files of several formats, of which one must go: {kinds}"])
    ((file_format, chosen),) = recognised.items()
    return LabelExport(name, sorted(chosen, key=_order), file_format, container_url, known_labels, strange)


def check_shards(name: str, files: Iterable[ExportFile]) -> None:
    """Raise IncompleteExportError when numbered files (`labeledDatapoints_1.jsonl`, `_2`, …) lack one between 1 and
    the highest. Whether higher ones are to come can't be told.
    """
    shards: dict[str, dict[int, str]] = defaultdict(dict)
    for file in files:
        if match := _SHARD.fullmatch(file.path):
            shards[match["stem"]][int(match["number"])] = file.path[match.end("number") :]
    missing = [
        f"{stem}_{number}{next(iter(numbers.values()))}"
        for stem, numbers in shards.items()
        for number in range(1, max(numbers))
        if number not in numbers
    ]
    if missing:
        raise IncompleteExportError(name, missing)


def recognise(file: ExportFile) -> Format:
    """What a file is, by its first bytes. Raises ExportError when it is no label export."""
    with file.open() as stream:
        head = next(blocks(stream, size=HEAD_BYTES), b"")
    text = head.lstrip(b" \t\r\n")
    if not text:
        raise ExportError(file.path, ["is empty"])
    if text.startswith(b"["):
        return Format.JSON_RECORDS
    if text.startswith(b"{"):
        return _recognise_object(text)
    if table.header_of(re.split(rb"[\r\n]", head, maxsplit=1)[0].decode(errors="replace")):
        return Format.CSV
    begins = shortened(text[:60].decode(errors="replace"))
    wanted = "COCO, JSON Lines, a JSON list, or CSV with a header such as Url,Label"
    raise ExportError(file.path, [f"is no label export: it begins with {begins}, but must be {wanted}"])


def _recognise_object(text: bytes) -> Format:
    """JSON Lines hold one image a line; a document has its images in a list."""
    try:
        first = lenient(text.split(b"\n", 1)[0])
    except ValueError:
        first = None
    if isinstance(first, dict) and isinstance(first.get(roles_of(first).get("url", "")), str):
        return Format.JSON_LINES
    lists = {plain(key.decode(errors="replace")) for key, value in _KEY.findall(text) if value == b"["}
    if "images" not in lists:
        # A first line that is longer than what was read, or not yet one with an image.
        return Format.JSON_LINES if b"\n" in text.strip() or not lists else Format.JSON_RECORDS
    keys = {plain(key.decode(errors="replace")) for key, _ in _KEY.findall(text)}
    described = keys & {"label", "labels", "tag", "tags", "tagname", "tagid", "projectid", *CUSTOM_VISION}
    return Format.JSON_RECORDS if described and not lists & {"annotations", "categories"} else Format.COCO


def _order(file: ExportFile) -> tuple[str, int, str]:
    match = _SHARD.fullmatch(file.path)
    return (match["stem"], int(match["number"]), "") if match else (posixpath.dirname(file.path), 0, file.path)
