"""Labelled images as JSON Lines or COCO, in the forms that data labelling of Azure Machine Learning exports.

Sources: https://learn.microsoft.com/azure/machine-learning/reference-automl-images-schema for JSON Lines, and
https://learn.microsoft.com/azure/machine-learning/how-to-use-labeled-dataset for COCO.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from typing import IO, Any, NamedTuple

from shared.labels.columns import pixels

FORMATS = {"jsonl": ".jsonl", "coco": ".json"}
_IN_MEMORY = 16_000_000


class Row(NamedTuple):
    """An image with its labels, none of which it may have; `details` as in JSON Lines: format, width, height."""

    url: str
    labels: tuple[str, ...]
    details: Mapping[str, Any]


class Written(NamedTuple):
    """How many images were written, and 16 hexadecimal digits that name the content."""

    images: int
    digest: str


class _Hashed:
    """A file that is hashed as it is written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def write(self, content: bytes) -> None:
        self._file.write(content)
        self._hash.update(content)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()[:16]


def write_rows(rows: Iterable[Row], file_format: str, file: IO[bytes]) -> Written:
    """Write all rows, in constant memory. `file_format` is one of FORMATS."""
    out = _Hashed(file)
    images = _write_coco(rows, out) if file_format == "coco" else _write_lines(rows, out)
    return Written(images, out.digest)


def _write_lines(rows: Iterable[Row], out: _Hashed) -> int:
    count = 0
    for row in rows:
        count += 1
        details = {"image_details": dict(row.details)} if row.details else {}
        out.write(_json({"image_url": row.url, **details, "label": list(row.labels)}) + b"\n")
    return count


def _write_coco(rows: Iterable[Row], out: _Hashed) -> int:
    """Annotations follow the images, so they are kept in a file until then."""
    count = annotation = 0
    categories: dict[str, int] = {}
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as annotations:
        out.write(b'{"images": [')
        for count, row in enumerate(rows, 1):
            size = {name: pixels(row.details.get(name)) for name in ("width", "height") if row.details.get(name)}
            out.write((b",\n" if count > 1 else b"\n") + _json({"id": count, **size, "coco_url": row.url}))
            for label in row.labels:
                category = categories.setdefault(label, len(categories) + 1)
                annotation += 1
                told = {"id": annotation, "category_id": category, "image_id": count}
                annotations.write((b",\n" if annotation > 1 else b"\n") + _json(told))
        out.write(b'\n], "annotations": [')
        annotations.seek(0)
        shutil.copyfileobj(annotations, out)
        out.write(b'\n], "categories": [')
        names = (_json({"id": number, "name": label}) for label, number in categories.items())
        out.write(b",".join(b"\n" + each for each in names) + b"\n]}\n")
    return count


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
