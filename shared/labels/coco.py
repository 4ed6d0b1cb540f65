"""COCO, as the data labelling of Azure Machine Learning exports it for image classification."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import IO, Any

from shared.errors import ExportError
from shared.labels.model import LabelledImage

MAX_REASONS = 20
MAX_PIXELS = 1_000_000


def read_coco(stream: IO[bytes], name: str) -> Iterator[LabelledImage]:
    """The images of a COCO file, in its order. Several annotations of one image are its several labels; boxes are
    ignored; an image without annotations has no labels. `name` stands in errors. Raises ExportError.
    """
    try:
        document = json.load(stream)
    except (ValueError, RecursionError) as error:
        raise ExportError(name, [f"is not JSON: {error}"]) from None
    images, annotations, categories = (_list(document, key, name) for key in ("images", "annotations", "categories"))
    reasons: list[str] = []
    label_names = {each.get("id"): str(each.get("name", "")).strip() for each in categories}
    reasons += [f"category {key} has no name" for key, label in label_names.items() if not label]
    labels: dict[Any, set[str]] = defaultdict(set)
    known_images = {image.get("id") for image in images}
    for annotation in annotations:
        image_id, category_id = annotation.get("image_id"), annotation.get("category_id")
        if image_id not in known_images:
            reasons.append(f"annotation {annotation.get('id')} is about image {image_id}, which the file does not have")
        elif category_id not in label_names:
            reasons.append(
                f"annotation {annotation.get('id')} has category {category_id}, which the file does not have"
            )
        else:
            labels[image_id].add(label_names[category_id])
    if len(known_images) != len(images):
        reasons.append("several images have the same id")
    if reasons:
        raise ExportError(name, _shortened(reasons))
    for image in images:
        yield LabelledImage(
            url=_url(image, name),
            labels=tuple(sorted(labels[image.get("id")])),
            width=_pixels(image.get("width")),
            height=_pixels(image.get("height")),
        )


def _list(document: Any, key: str, name: str) -> list[dict[str, Any]]:
    value = document.get(key) if isinstance(document, dict) else None
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ExportError(name, [f"is no COCO file: it must be an object with a list of objects in {key!r}"])
    for each in value:
        for field in ("id", "image_id", "category_id"):
            if not isinstance(each.get(field, 0), (int, str)):
                raise ExportError(name, [f"has {each[field]!r} as {field} in {key!r}; it must be a number or a text"])
    return value


def _pixels(value: Any) -> int:
    """A size in px; 0, which stands for unknown, when it is none. Sizes only inform the trainer."""
    return int(value) if isinstance(value, (int, float)) and 0 < value < MAX_PIXELS else 0


def _url(image: dict[str, Any], name: str) -> str:
    for key in ("coco_url", "absolute_url"):
        if image.get(key):
            return str(image[key])
    raise ExportError(name, [f"image {image.get('id')} has neither coco_url nor absolute_url"])


def _shortened(reasons: list[str]) -> list[str]:
    if len(reasons) <= MAX_REASONS:
        return reasons
    return [*reasons[:MAX_REASONS], f"and {len(reasons) - MAX_REASONS} more"]
