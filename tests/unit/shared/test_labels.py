"""COCO label exports."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from shared.errors import ExportError
from shared.labels import LabelledImage, read_coco

IMAGES: list[dict[str, Any]] = [
    {"id": 1, "width": 640.0, "height": 480.0, "coco_url": "AmlDatastore://d/1.jpg", "absolute_url": "https://x/1.jpg"},
    {"id": 2, "width": 0.0, "height": 0.0, "absolute_url": "https://x/2.jpg"},
    {"id": 3, "coco_url": "AmlDatastore://d/3.jpg"},
]
CATEGORIES = [{"id": 7, "name": " pear "}, {"id": 9, "name": "apple"}]
ANNOTATIONS: list[dict[str, Any]] = [
    {"id": 1, "image_id": 1, "category_id": 7},
    {"id": 2, "image_id": 1, "category_id": 9, "bbox": [0, 0, 0.5, 0.5]},
    {"id": 3, "image_id": 2, "category_id": 9},
    {"id": 4, "image_id": 2, "category_id": 9},
]


def read(document: object) -> list[LabelledImage]:
    return list(read_coco(io.BytesIO(json.dumps(document).encode()), "c/export.json"))


def coco(**changes: Any) -> dict[str, Any]:
    return {"images": IMAGES, "annotations": ANNOTATIONS, "categories": CATEGORIES, **changes}


def test_several_annotations_of_an_image_are_its_labels() -> None:
    assert read(coco()) == [
        LabelledImage("AmlDatastore://d/1.jpg", ("apple", "pear"), 640, 480),
        LabelledImage("https://x/2.jpg", ("apple",)),
        LabelledImage("AmlDatastore://d/3.jpg", ()),
    ]


def test_a_real_export_is_read(project: Path) -> None:
    file = project.parent / "shared" / "data" / "exports" / "coco_classification_fruit.json"
    if not file.exists():
        pytest.skip("the shared data is not laid beside this checkout")
    with file.open("rb") as stream:
        images = list(read_coco(stream, file.name))
    assert images
    assert all(image.url.startswith("AmlDatastore://fruit/") for image in images)
    assert {label for image in images for label in image.labels} == {"apple", "banana", "orange"}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], "must be an object with a list of objects in 'images'"),
        ({"images": []}, "in 'annotations'"),
        (coco(images=[1]), "in 'images'"),
        (coco(images=[{"id": 1}], annotations=[]), "image 1 has neither coco_url nor absolute_url"),
        (coco(images=[IMAGES[0], IMAGES[0]], annotations=[]), "several images have the same id"),
        (coco(annotations=[{"id": 5, "image_id": 99, "category_id": 7}]), "annotation 5 is about image 99"),
        (coco(annotations=[{"id": 5, "image_id": 1, "category_id": 99}]), "annotation 5 has category 99"),
        (coco(categories=[{"id": 7, "name": " "}], annotations=[]), "category 7 has no name"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(document: object, reason: str) -> None:
    with pytest.raises(ExportError) as refusal:
        read(document)
    assert "label export c/export.json" in str(refusal.value)
    assert reason in str(refusal.value)


@pytest.mark.parametrize("content", [b"Url,Label", b"[" * 100_000, b"\xff\xfe"])
def test_what_is_no_json_is_refused(content: bytes) -> None:
    with pytest.raises(ExportError, match="is not JSON"):
        list(read_coco(io.BytesIO(content), "x.csv"))


def test_of_very_many_reasons_the_first_are_told() -> None:
    annotations = [{"id": number, "image_id": 99, "category_id": 7} for number in range(50)]
    with pytest.raises(ExportError) as refusal:
        read(coco(annotations=annotations))
    assert len(refusal.value.reasons) == 21
    assert refusal.value.reasons[-1] == "and 30 more"
