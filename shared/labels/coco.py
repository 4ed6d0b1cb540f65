"""COCO, as the data labelling of Azure Machine Learning exports it for images.

Annotations follow the images, and categories follow both. So the file is read twice: once for annotations, categories
and the images' ids, which are kept as arrays of numbers (8 bytes each), and once for the images.
"""

from __future__ import annotations

import posixpath
from array import array
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import msgspec

from shared.errors import ExportError
from shared.labels.columns import name_key, pixels
from shared.labels.document import Document, lenient
from shared.labels.model import LabelledImage, Problems, shortened
from shared.labels.names import MAX_LABELS, Entry, LabelError, Names
from shared.labels.urls import image_url

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WANTED = "is no COCO file: it must be an object with lists 'images', 'annotations' and 'categories'"
_NO_ID = -(2**63)


class _Id(msgspec.Struct, gc=False):
    id: Any = None


class _Annotation(msgspec.Struct, gc=False):
    image_id: Any = None
    category_id: Any = None


class _Image(msgspec.Struct, gc=False):
    id: Any = None
    coco_url: Any = None
    absolute_url: Any = None
    file_name: Any = None
    width: Any = None
    height: Any = None


class _Reader:
    def __init__(self, stream: IO[bytes], path: str, container_url: str, names: Names, problems: Problems) -> None:
        self._stream = stream
        self._path = path
        self._folder = posixpath.dirname(path)
        self._container_url = container_url
        self._names = names
        self._problems = problems
        self._places: list[int] = []
        self._images = array("q")
        self._annotated = array("q")
        self._labelled = array("q")
        self._categories: dict[int, str] = {}

    def index(self) -> None:
        """The first reading."""
        document = Document(self._stream, self._path)
        if document.peek() == b"[":
            raise ExportError(self._path, [WANTED])
        lists = set()
        for key in document.walk():
            if document.peek() == b"[":
                lists.add(key)
            if key not in ("images", "annotations", "categories") or document.peek() != b"[":
                document.skip()
            elif key == "images":
                self._places.append(document.offset)
                decoder: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list[_Id])
                for _, rows in document.elements(decoder, _lenient_id):
                    _extend(self._images, [row.id for row in rows])
            elif key == "annotations":
                decoder = msgspec.json.Decoder(list[_Annotation])
                for _, rows in document.elements(decoder, self._bad_annotation):
                    _extend(self._annotated, [row.image_id for row in rows])
                    _extend(self._labelled, [row.category_id for row in rows])
            else:
                decoder = msgspec.json.Decoder(list[dict[str, Any]])
                for first, rows in document.elements(decoder, self._bad_category):
                    self._add_categories(first, rows)
        if not lists >= {"images", "annotations"}:
            raise ExportError(self._path, [WANTED])

    def _add_categories(self, first: int, rows: list[dict[str, Any]]) -> None:
        for number, row in enumerate(rows, first):
            key, name = _number(row.get("id")), row.get(name_key(row) or "")
            if key == _NO_ID or not isinstance(name, str) or not name.strip():
                what = "no id" if key == _NO_ID else "no name"
                self._problems.add("category", self._path, f"category {shortened(row.get('id', number))} has {what}")
            elif key in self._categories:
                self._problems.add("category", self._path, f"several categories have the id {shortened(row['id'])}")
            else:
                self._categories[key] = name
            if len(self._categories) > MAX_LABELS:
                raise ExportError(self._path, [f"has more than {MAX_LABELS} categories"])

    def read(self) -> Iterator[LabelledImage]:
        """The second reading."""
        import numpy as np

        owners, codes, names = self._sorted_annotations()
        ids = np.sort(np.asarray(self._images, dtype=np.int64))
        repeated = np.unique(ids[1:][ids[1:] == ids[:-1]])
        del ids
        self._images = array("q")
        packed = codes.tobytes()
        size = codes.itemsize
        entries: dict[bytes, Entry | LabelError] = {}
        for place in self._places:
            self._stream.seek(0)
            document = Document(self._stream, self._path, place)
            for first, rows in document.elements(msgspec.json.Decoder(list[_Image]), self._bad_image):
                batch = array("q")
                _extend(batch, [row.id for row in rows])
                keys = np.asarray(batch, dtype=np.int64)
                starts = (np.searchsorted(owners, keys, "left") * size).tolist()
                ends = (np.searchsorted(owners, keys, "right") * size).tolist()
                unusable = set(np.flatnonzero(np.isin(keys, repeated) | (keys == _NO_ID)).tolist())
                if len(entries) > len(self._names.entries):
                    # They were counted and forgotten there.
                    entries.clear()
                check = document.has_controls
                for position, row in enumerate(rows):
                    if position in unusable:
                        self._lost("image id", first + position, f"its id {shortened(row.id)} is none, or not its own")
                        continue
                    span = packed[starts[position] : ends[position]]
                    entry = entries.get(span)
                    if entry is None:
                        entry = entries[span] = self._entry(span, codes.dtype, names)
                    image = self._image(row, first + position, entry, check)
                    if image is not None:
                        yield image

    def _image(self, row: _Image, record: int, entry: Entry | LabelError, check: bool) -> LabelledImage | None:
        url = row.coco_url or row.absolute_url
        try:
            if entry.__class__ is LabelError:
                raise entry
            if check or url.__class__ is not str or "://" not in url or not url.isascii() or len(url) > 1024:
                url = image_url(url or row.file_name, self._folder, self._container_url)
        except ValueError as error:
            self._lost("image", record, f"image {shortened(row.id)}: {error}")
            return None
        entry.images += 1  # type: ignore[union-attr]
        return LabelledImage(
            url,
            entry.labels,  # type: ignore[union-attr]
            pixels(row.width),
            pixels(row.height),
            1.0,
            False,
            self._path,
            record,
        )

    def _sorted_annotations(self) -> tuple[NDArray[np.int64], NDArray[np.int32], list[str]]:
        """Image ids in order, for each the position of its category among the names, and these. What is about an image
        or a category that is not there is reported and left out.
        """
        import numpy as np

        owners = np.asarray(self._annotated, dtype=np.int64)
        wanted = np.asarray(self._labelled, dtype=np.int64)
        known = np.array(sorted(self._categories), dtype=np.int64)
        names = [self._categories[key] for key in known.tolist()]
        has_image = np.isin(owners, np.asarray(self._images, dtype=np.int64)) & (owners != _NO_ID)
        has_label = np.isin(wanted, known)
        for kind, right, what in (
            ("annotation without image", has_image, "is about an image which the file does not have"),
            (
                "annotation without category",
                has_label,
                "has a category which the file does not have, or without a name",
            ),
        ):
            wrong = np.flatnonzero(~right)
            for position in wrong[:10].tolist():
                self._problems.add(kind, self._path, f"annotation number {position + 1} {what}", count=0)
            if len(wrong):
                self._problems.counts[kind] += len(wrong)
        kept = has_image & has_label
        owners, wanted = owners[kept], wanted[kept]
        order = np.argsort(owners, kind="stable")
        codes = np.searchsorted(known, wanted).astype(np.int32)[order]
        owners = owners[order]
        self._annotated, self._labelled = array("q"), array("q")
        return owners, codes, names

    def _entry(self, span: bytes, dtype: np.dtype[np.int32], names: list[str]) -> Entry | LabelError:
        import numpy as np

        written = tuple(sorted({names[code] for code in np.frombuffer(span, dtype=dtype).tolist()}))
        try:
            return self._names.entries.get(written) or self._names.entry(written, written)
        except LabelError as error:
            return error

    def _bad_annotation(self, number: int, raw: bytes) -> list[Any]:
        value = _object(raw)
        if value is None:
            self._problems.add("annotation", self._path, f"annotation number {number} is not understood")
            return []
        return [_Annotation(value.get("image_id"), value.get("category_id"))]

    def _bad_category(self, number: int, raw: bytes) -> list[Any]:
        value = _object(raw)
        if value is None:
            self._problems.add("category", self._path, f"category number {number} is not understood")
        return [] if value is None else [value]

    def _bad_image(self, number: int, raw: bytes) -> list[Any]:
        value = _object(raw)
        if value is None:
            self._lost("image", number, f"{shortened(raw.decode(errors='replace'))} is no JSON object")
            return []
        return [_Image(**{field: value.get(field) for field in _Image.__struct_fields__})]

    def _lost(self, kind: str, record: int, detail: str) -> None:
        self._problems.add(kind, f"{self._path}:{record}", detail, lost=1)


def read(stream: IO[bytes], path: str, container_url: str, names: Names, problems: Problems) -> Iterator[LabelledImage]:
    """The images of a COCO file. Boxes are ignored: an image's labels are the categories of its annotations.

    Raises ExportError where the file is no JSON, since then annotations may be lost.
    """
    reader = _Reader(stream, path, container_url, names, problems)
    reader.index()
    yield from reader.read()


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        value = lenient(raw)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _lenient_id(_number: int, raw: bytes) -> list[Any]:
    """The id of an image with something in it that is no JSON, such as NaN; the second reading reports what is none."""
    value = _object(raw)
    return [] if value is None else [_Id(value.get("id"))]


def _number(value: Any) -> int:
    """An id as a 64-bit number: numbers as they are, texts by their hash, whose keys differ in every process."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < 2**62 else hash(str(value))
    return hash(value) if isinstance(value, str) else _NO_ID


def _extend(numbers: array[int], values: list[Any]) -> None:
    length = len(numbers)
    try:
        numbers.extend(values)
    except (TypeError, OverflowError):
        del numbers[length:]
        numbers.extend(map(_number, values))
