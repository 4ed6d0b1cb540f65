"""The demo's images and their known labels."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LABELLED_SHARE = 0.7
SPLITS = ("labelled", "new")


class DataError(Exception):
    """The data folder can't be used; the message says why."""


@dataclass(frozen=True)
class KnownImage:
    """An image file with its labels (sorted). `name` is its path below the data folder; sizes in px."""

    file: Path
    name: str
    labels: tuple[str, ...]
    split: str
    width: int
    height: int


def read_data(folder: Path) -> list[KnownImage]:
    """Read `labels.jsonl`; an image without `split` gets a stable one by a hash of its name. Raises DataError."""
    from PIL import Image

    listing = folder / "labels.jsonl"
    if not listing.is_file():
        raise DataError(f"{listing} does not exist; a data folder has images/ and labels.jsonl")
    images = []
    for number, line in enumerate(listing.read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip():
            continue
        row = _row(line, f"{listing}:{number}")
        file = folder / row["image"]
        if not file.is_file():
            raise DataError(f"{listing}:{number}: {file} does not exist")
        try:
            with Image.open(file) as image:
                width, height = image.size
        except OSError as error:
            raise DataError(f"{listing}:{number}: {file} is no image: {error}") from None
        split = row.get("split") or _stable_split(row["image"])
        images.append(KnownImage(file, row["image"], tuple(sorted(set(row["labels"]))), split, width, height))
    for split in SPLITS:
        if not any(image.split == split for image in images):
            raise DataError(f"{listing}: has no {split} images")
    return images


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: is not JSON: {error}") from None
    usable = isinstance(row, dict) and isinstance(row.get("image"), str) and isinstance(row.get("labels"), list)
    usable = usable and all(isinstance(label, str) and label for label in row["labels"])
    if not usable or row.get("split") not in {None, *SPLITS}:
        raise DataError(f'{where}: must be {{"image": path, "labels": [names], "split": "labelled" or "new"}}')
    return dict(row)


def _stable_split(name: str) -> str:
    position = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return "labelled" if position < LABELLED_SHARE else "new"


def coco_export(images: list[KnownImage], datastore: str, container_url: str, prefix: str) -> bytes:
    """A label export as the labelling tool of Azure ML writes it, for images uploaded as `<prefix>/<name>`."""
    names = sorted({label for image in images for label in image.labels})
    categories = {name: number for number, name in enumerate(names, 1)}
    annotations: list[dict[str, float]] = []
    for image_id, image in enumerate(images, 1):
        for label in image.labels:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "category_id": categories[label],
                    "image_id": image_id,
                    "area": 0.0,
                }
            )
    document = {
        "images": [
            {
                "id": image_id,
                "width": float(image.width),
                "height": float(image.height),
                "file_name": f"{prefix}/{image.name}",
                "coco_url": f"AmlDatastore://{datastore}/{prefix}/{image.name}",
                "absolute_url": f"{container_url}/{prefix}/{image.name}",
                "date_captured": "2026-11-24T00:00:00.0000000Z",
            }
            for image_id, image in enumerate(images, 1)
        ],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
    }
    return json.dumps(document).encode()
