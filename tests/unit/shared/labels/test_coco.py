"""COCO label exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shared.errors import ExportError
from shared.labels import ExportFile, Format, LabelledImage
from shared.labels import document as document_module
from tests.unit.shared.labels.support import (
    COCO_ANNOTATIONS,
    COCO_IMAGES,
    coco,
    file,
    images,
    only,
    opened,
    problems,
    read,
)

EXPECTED = {
    "AmlDatastore://d/1.jpg": ("apple", "pear"),
    "https://x/2.jpg": ("apple",),
    "AmlDatastore://d/3.jpg": (),
}


def test_several_annotations_of_an_image_are_its_labels() -> None:
    assert read(
        opened(file("e/coco.json", coco(categories=[{"id": 7, "name": "pear"}, {"id": 9, "name": "apple"}])))
    ) == (EXPECTED)


def test_an_image_has_its_size_and_its_place_in_the_file() -> None:
    first, second, _ = images(coco(), "e/coco.json")
    assert first == LabelledImage(
        "AmlDatastore://d/1.jpg", ("apple", "pear"), 640, 480, 1.0, negative=False, file="e/coco.json", record=1
    )
    assert (second.width, second.height, second.where) == (0, 0, "e/coco.json:2")


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("keys", [("categories", "annotations", "images"), ("annotations", "images", "categories")])
def test_the_order_of_keys_and_unknown_ones_do_not_matter(indent: int | None, keys: tuple[str, ...]) -> None:
    whole = {"info": {"images": [{"id": 1}], "text": ']}\\"'}, **{key: coco()[key] for key in keys}, "licenses": [[]]}
    export = opened(file("e/x", json.dumps(whole, indent=indent)))
    assert read(export) == EXPECTED


def test_nested_values_in_an_image_do_not_end_it() -> None:
    extra = {"boxes": [{"id": 1}, {"id": 2}], "note": '},{"id": 9'}
    assert read(opened(file("e/x", coco(images=[{**each, **extra} for each in COCO_IMAGES])))) == EXPECTED


def test_ids_may_be_texts_or_whole_floats_or_huge() -> None:
    ids: dict[Any, Any] = {1: "one", 2: 2.0, 3: 10**40}
    found = opened(
        file(
            "e/x",
            coco(
                images=[{**each, "id": ids[each["id"]]} for each in COCO_IMAGES],
                annotations=[{**each, "image_id": {1: "one", 2: 2}[each["image_id"]]} for each in COCO_ANNOTATIONS],
            ),
        )
    )
    assert read(found) == EXPECTED


def test_plain_coco_has_file_names_alone() -> None:
    document = coco(images=[{"id": 1, "file_name": "sub/a b.jpg"}], annotations=COCO_ANNOTATIONS[:2])
    assert [image.url for image in images(document, "set/coco.json")] == [
        "https://a.blob.core.windows.net/c/set/sub/a%20b.jpg"
    ]


def test_a_real_export_is_read(project: Path) -> None:
    path = project.parent / "shared" / "data" / "exports" / "coco_classification_fruit.json"
    if not path.exists():
        pytest.skip("the shared data is not laid beside this checkout")
    export = opened(ExportFile.on_disk(path))
    found = read(export)
    document = json.loads(path.read_bytes())
    assert export.format is Format.COCO
    assert export.images == len(document["images"]) == len(found)
    assert all(url.startswith("AmlDatastore://fruit/") for url in found)
    names = {each["id"]: each["name"] for each in document["categories"]}
    urls = {each["id"]: each["coco_url"] for each in document["images"]}
    assert {(urls[each["image_id"]], names[each["category_id"]]) for each in document["annotations"]} == {
        (url, label) for url, labels in found.items() for label in labels
    }
    assert export.problems.lines() == []


@pytest.mark.parametrize(
    ("changes", "problem", "left"),
    [
        ({"images": [*COCO_IMAGES, 1]}, "e/x:4: '1' is no JSON object", 3),
        ({"images": [*COCO_IMAGES, {"id": 4}]}, "e/x:4: image 4: names no image", 3),
        ({"images": [*COCO_IMAGES, {"coco_url": "x"}]}, "its id None is none, or not its own", 3),
        ({"images": [*COCO_IMAGES, COCO_IMAGES[0]]}, "e/x:4: its id 1 is none, or not its own", 2),
        ({"annotations": [{"image_id": 99, "category_id": 7}]}, "annotation number 1 is about an image which", 3),
        ({"annotations": [{"image_id": 1, "category_id": 99}]}, "annotation number 1 has a category which", 3),
        ({"annotations": [5]}, "annotation number 1 is not understood", 3),
        ({"categories": [{"id": 7, "name": " "}]}, "category 7 has no name", 3),
        ({"categories": [{"id": 7, "name": "a"}, {"id": 7, "name": "b"}]}, "several categories have the id 7", 3),
    ],
)
def test_what_is_not_understood_is_reported_and_the_rest_is_read(
    changes: dict[str, Any], problem: str, left: int
) -> None:
    export = opened(file("e/x", coco(**changes)))
    assert len(list(export)) == left
    assert problem in "\n".join(export.problems.lines())


def test_an_image_with_wrong_utf8_loses_itself_alone() -> None:
    content = json.dumps(coco()).encode().replace(b"https://x/2.jpg", b"https://x/\xff.jpg")
    export = opened(file("e/x", content))
    assert [image.url for image in export] == ["AmlDatastore://d/1.jpg", "AmlDatastore://d/3.jpg"]
    assert export.problems.lost == 1


def test_nan_is_read_as_an_unknown_size() -> None:
    content = json.dumps(coco(images=[{**COCO_IMAGES[0], "width": float("nan")}], annotations=[]))
    assert [(image.width, image.height) for image in images(content)] == [(0, 480)]


def test_an_image_with_a_category_that_can_be_no_label_is_left_out() -> None:
    (found,) = problems(coco(categories=[{"id": 7, "name": "x" * 300}, {"id": 9, "name": "apple"}]), "e/x")
    assert found.startswith("image: e/x:1: image 1: label 'xxx")
    assert found.endswith("has 300 characters; 256 are allowed")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (json.dumps(coco())[:-30], "it ends in the middle"),
        (json.dumps(coco()) + "x", "expected the end of the document"),
        (json.dumps(coco()).replace("[", "[,", 1), "expected a value"),
        (json.dumps(coco()).replace("}, {", "} {", 1), r"expected ',' or '\]'"),
        (json.dumps({"images": COCO_IMAGES, "info": {"annotations": []}}), "must be an object with lists"),
        ('{"images": [], "annotations": [' + "[" * 100_000, "ends in the middle"),
    ],
)
def test_a_file_that_breaks_off_is_refused_as_a_whole(content: str, reason: str) -> None:
    with pytest.raises(ExportError, match=reason):
        images(content)


def test_a_value_of_more_than_eight_megabytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_module, "MAX_RECORD_BYTES", 1_000_000)
    huge = coco(images=[{**COCO_IMAGES[0], "note": "x" * 3_000_000}])
    with pytest.raises(ExportError, match="has a value of more than"):
        images(huge)


def test_what_is_no_json_in_a_field_that_nobody_reads_costs_nothing() -> None:
    text = json.dumps(coco()).replace('"id"', '"score": Infinity, "id"')
    assert only(text) == EXPECTED


def test_the_same_image_in_two_files_keeps_each_file_s_ids_apart() -> None:
    second = coco(categories=[{"id": 7, "name": "plum"}, {"id": 9, "name": "fig"}])
    export = opened(file("e/1.json", coco()), file("e/2.json", second))
    assert {export.resolve(each.labels) for each in list(export) if each.url.endswith("1.jpg")} == {
        ("apple", "pear"),
        ("fig", "plum"),
    }
    assert only(coco(categories=[{"id": 7, "name": "pear"}, {"id": 9, "name": "apple"}])) == EXPECTED
