"""Rows that are JSON objects: JSON Lines, and documents that are a list of them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Hashable, Iterable, Iterator
from typing import IO, Any

import msgspec

from shared.errors import ExportError
from shared.labels.blocks import LineTooLongError, has_escaped_controls, line_blocks
from shared.labels.columns import CUSTOM_VISION, ROLES, lowest, name_key, pixels, plain, roles_of
from shared.labels.document import Document, lenient
from shared.labels.model import MAX_RECORD_BYTES, LabelledImage, Problems, shortened
from shared.labels.names import Entry, LabelError, Names
from shared.labels.urls import image_url

NEGATIVE = "negative"
SAMPLE = 100
MAX_SHAPES = 100
# What msgspec does not allow in a field's name.
_UNFIT = re.compile('["\\\\\x00-\x1f\ud800-\udfff]')


class RowReader:
    """Turns the rows of one file into images. `keys` names its keys by role, as its first records have them."""

    def __init__(self, first: Iterable[Any], path: str, container_url: str, names: Names, problems: Problems) -> None:
        sample = [each for each in first if isinstance(each, dict)]
        keys = {key: None for each in sample for key in each if not _UNFIT.search(key)}
        plain_keys = {plain(key) for key in keys}
        # Custom Vision's tag for images that show none of the others is called "Negative":
        # https://learn.microsoft.com/azure/ai-services/custom-vision-service/getting-started-improving-your-classifier
        self._negative = NEGATIVE if plain_keys & CUSTOM_VISION or any(map(_has_tag_ids, sample)) else None
        self._name_keys: dict[tuple[str, ...], str] = {}
        self.roles = roles_of(keys)
        self._has_extras = bool(self.roles.keys() & {"regions", "details"})
        self.row: Any = msgspec.defstruct(
            "Row",
            [(role, Any, None) for role in ROLES],
            rename={role: self.roles.get(role, f"no {role}?") for role in ROLES},
            gc=False,
        )
        self._path = path
        self._folder = posixpath.dirname(path)
        self._container_url = container_url
        self._names = names
        self._problems = problems

    def unreadable(self, record: int, raw: bytes) -> list[Any]:
        """A row of other shape or names than the first ones, as they are; none if it is no JSON object."""
        try:
            value = lenient(raw)
        except ValueError as error:
            self._lost("no JSON", record, f"{shortened(raw.decode(errors='replace').strip())}: {error}")
            return []
        if not isinstance(value, dict):
            self._lost("no JSON object", record, shortened(value))
            return []
        self._has_extras = True
        return [self.row(**{role: value.get(key) for role, key in roles_of(value).items()})]

    def images(self, first: int, rows: list[Any], check: bool) -> Iterator[LabelledImage]:
        """The images in decoded rows; `first` is the number of the first. `check`: URLs may have control characters."""
        entries, path, folder, base = self._names.entries, self._path, self._folder, self._container_url
        extras = self._has_extras
        for record, row in enumerate(rows, first):
            url, label = row.url, row.label
            confidence, width, height = row.confidence, row.width, row.height
            try:
                if check or url.__class__ is not str or "://" not in url or not url.isascii() or len(url) > 1024:
                    url = image_url(url, folder, base)
                if extras and row.regions is not None:
                    entry = self._entry(_items(label) + _items(row.regions))
                else:
                    try:
                        entry = entries[tuple(label) if label.__class__ is list else label]
                    except (KeyError, TypeError):
                        entry = self._entry(label)
                if confidence is None or (confidence.__class__ is list and confidence.count(1.0) == len(confidence)):
                    confidence = 1.0
                else:
                    confidence = self._confidence(confidence)
            except LabelError as error:
                self._lost("label", record, f"{shortened(url)}: {error}")
                continue
            except ValueError as error:
                self._lost("row", record, str(error))
                continue
            if extras and row.details.__class__ is dict:
                width, height = width or row.details.get("width"), height or row.details.get("height")
            if width.__class__ is not int or not 0 < width < 1_000_000:
                width = pixels(width)
            if height.__class__ is not int or not 0 < height < 1_000_000:
                height = pixels(height)
            entry.images += 1
            yield LabelledImage(url, entry.labels, width, height, confidence, entry.negative, path, record)

    def _entry(self, label: Any) -> Entry:
        if label is None or (isinstance(label, str) and not label.strip()):
            return self._names.entry(label, ())
        written = []
        for item in _items(label):
            name = self._name_in(item) if item.__class__ is dict else item
            if isinstance(name, int) and not isinstance(name, bool):
                name = str(name) if abs(name) < 10**18 else None
            if not isinstance(name, str):
                raise LabelError(f"{shortened(item)} is no label")
            written.append(name)
        key: Hashable = label if isinstance(label, str) else tuple(written)
        return self._names.entries.get(key) or self._names.entry(key, written, negative=self._negative)

    def _name_in(self, item: dict[str, Any]) -> Any:
        """The label in an object. Most objects of a file have the same keys."""
        keys = tuple(item)
        if keys not in self._name_keys:
            if len(self._name_keys) >= MAX_SHAPES:
                self._name_keys.clear()
            self._name_keys[keys] = name_key(keys) or ""
        return item.get(self._name_keys[keys])

    def _confidence(self, value: Any) -> float:
        try:
            return lowest(value)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"has {shortened(value)} as confidence; it must be a number from 0 to 1 a label") from None

    def _lost(self, kind: str, record: int, detail: str) -> None:
        self._problems.add(kind, f"{self._path}:{record}", detail, lost=1)


def read_lines(
    stream: IO[bytes], path: str, container_url: str, names: Names, problems: Problems
) -> Iterator[LabelledImage]:
    """The images of a JSON Lines file. Raises ExportError when a line is too long for one."""
    reader: RowReader | None = None
    line = 1
    try:
        for block in line_blocks(stream):
            if reader is None:
                reader = RowReader(_sample(block), path, container_url, names, problems)
                decoder = msgspec.json.Decoder(reader.row)
            lines = block.count(b"\n") + (not block.endswith(b"\n"))
            check = has_escaped_controls(block)
            try:
                rows = decoder.decode_lines(block)
            except (ValueError, RecursionError):
                rows = []
            if len(rows) == lines:
                yield from reader.images(line, rows, check)
            else:
                for number, raw in enumerate(block.split(b"\n"), line):
                    if raw.strip():
                        yield from reader.images(
                            number, _decoded(decoder, raw) or reader.unreadable(number, raw), check
                        )
            line += lines
    except LineTooLongError:
        raise ExportError(
            path, [f"has a line of more than {MAX_RECORD_BYTES // 1024**2} MiB after line {line}"]
        ) from None


def read_document(
    stream: IO[bytes], path: str, container_url: str, names: Names, problems: Problems
) -> Iterator[LabelledImage]:
    """The images of a JSON document that is a list of objects, or an object with such a list under some key."""
    document = Document(stream, path)
    if document.peek() == b"[":
        yield from _read_list(stream, path, container_url, names, problems)
        return
    places = {}
    for key in document.walk():
        if document.peek() == b"[" and plain(key) in {"images", "value", "data", "items", "records", "rows"}:
            places[key] = document.offset
        document.skip()
    if not places:
        raise ExportError(path, ["has no list of images"])
    for offset in places.values():
        yield from _read_list(stream, path, container_url, names, problems, offset)


def _read_list(
    stream: IO[bytes], path: str, container_url: str, names: Names, problems: Problems, offset: int = 0
) -> Iterator[LabelledImage]:
    batches = _rewound(stream, path, offset).elements(msgspec.json.Decoder(list[Any]), lambda *_: [])
    _, sample = next(batches, (1, []))
    reader = RowReader(sample[:SAMPLE], path, container_url, names, problems)
    document = _rewound(stream, path, offset)
    decoder: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list.__class_getitem__(reader.row))
    for first, rows in document.elements(decoder, reader.unreadable):
        yield from reader.images(first, rows, document.has_controls)
    if not offset:
        document.end()


def _rewound(stream: IO[bytes], path: str, offset: int) -> Document:
    stream.seek(0)
    return Document(stream, path, offset)


def _sample(block: bytes) -> Iterator[Any]:
    for line in block.split(b"\n", SAMPLE)[:SAMPLE]:
        try:
            yield lenient(line)
        except ValueError:
            continue


def _decoded(decoder: msgspec.json.Decoder[Any], raw: bytes) -> list[Any] | None:
    try:
        return [decoder.decode(raw)]
    except (ValueError, RecursionError):
        return None


def _items(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _has_tag_ids(record: dict[str, Any]) -> bool:
    return any(
        isinstance(item, dict) and any(plain(key) in {"tagid", "regionid"} for key in item)
        for value in record.values()
        for item in _items(value)
    )
