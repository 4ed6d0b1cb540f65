"""Exports made of bytes."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from typing import Any

from shared.labels import ExportFile, LabelExport, LabelledImage, open_export

COCO_IMAGES: list[dict[str, Any]] = [
    {"id": 1, "width": 640.0, "height": 480.0, "coco_url": "AmlDatastore://d/1.jpg", "absolute_url": "https://x/1.jpg"},
    {"id": 2, "width": 0.0, "height": 0.0, "absolute_url": "https://x/2.jpg"},
    {"id": 3, "coco_url": "AmlDatastore://d/3.jpg"},
]
COCO_ANNOTATIONS: list[dict[str, Any]] = [
    {"id": 1, "image_id": 1, "category_id": 7},
    {"id": 2, "image_id": 1, "category_id": 9, "bbox": [0, 0, 0.5, 0.5]},
    {"id": 3, "image_id": 2, "category_id": 9},
    {"id": 4, "image_id": 2, "category_id": 9},
]
COCO_CATEGORIES = [{"id": 7, "name": " pear "}, {"id": 9, "name": "apple"}]


def coco(**changes: Any) -> dict[str, Any]:
    return {"images": COCO_IMAGES, "annotations": COCO_ANNOTATIONS, "categories": COCO_CATEGORIES, **changes}


def file(path: str, content: bytes | str | object) -> ExportFile:
    """A file of these bytes, this text, or this value as JSON."""
    if not isinstance(content, (bytes, str)):
        content = json.dumps(content)
    data = content.encode() if isinstance(content, str) else content
    return ExportFile(path, len(data), lambda: io.BytesIO(data))


def lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def opened(*files: ExportFile, known: Iterable[str] = ()) -> LabelExport:
    return open_export("c/e", files, container_url="https://a.blob.core.windows.net/c", known_labels=known)


def read(export: LabelExport) -> dict[str, tuple[str, ...]]:
    """URL → labels as they are meant."""
    return {image.url: export.resolve(image.labels) for image in list(export)}


def only(content: bytes | str | object, path: str = "e/file") -> dict[str, tuple[str, ...]]:
    """What an export of one file is read as, provided that nothing in it is a problem."""
    export = opened(file(path, content))
    found = read(export)
    assert export.problems.lines() == []
    return found


def images(content: bytes | str | object, path: str = "e/file") -> list[LabelledImage]:
    return list(opened(file(path, content)))


def problems(content: bytes | str | object, path: str = "e/file") -> list[str]:
    export = opened(file(path, content))
    list(export)
    return export.problems.lines()
