"""The demo's data and its measuring."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from local.demo.data import DataError, coco_export, read_data
from local.demo.report import images_more_than_once, measure, read_rows
from shared.labels import ExportFile, open_export


def write_data(folder: Path, *rows: object) -> Path:
    (folder / "images").mkdir()
    for number in range(4):
        Image.new("RGB", (40, 30)).save(folder / "images" / f"{number}.jpg")
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / "labels.jsonl").write_text("\n".join(lines))
    return folder


def row(number: int, split: str | None, *labels: str) -> dict[str, object]:
    return {"image": f"images/{number}.jpg", "labels": list(labels), **({"split": split} if split else {})}


def test_images_come_with_their_labels_split_and_size(tmp_path: Path) -> None:
    folder = write_data(tmp_path, row(0, "labelled", "b", "a", "a"), "", row(1, "new"))
    first, second = read_data(folder)
    assert (first.name, first.labels, first.split, first.width, first.height) == (
        "images/0.jpg",
        ("a", "b"),
        "labelled",
        40,
        30,
    )
    assert (second.split, second.labels) == ("new", ())


def test_images_without_split_get_a_stable_one(tmp_path: Path) -> None:
    folder = write_data(tmp_path, row(0, "labelled"), row(1, "new"), row(2, None), row(3, None))
    assert [image.split for image in read_data(folder)] == [image.split for image in read_data(folder)]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (["no json"], "labels.jsonl:1: is not JSON"),
        ([{"image": "images/0.jpg"}], "labels.jsonl:1: must be"),
        ([row(0, "test")], "must be"),
        ([{"image": "images/0.jpg", "labels": ["a", None]}], "must be"),
        ([{"image": "labels.jsonl", "labels": []}], "labels.jsonl is no image"),
        ([row(9, "new")], "9.jpg does not exist"),
        ([row(0, "labelled")], "has no new images"),
    ],
)
def test_unusable_data_is_refused_with_the_line(tmp_path: Path, rows: list[object], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read_data(write_data(tmp_path, *rows))


def test_a_folder_without_listing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels\.jsonl does not exist"):
        read_data(tmp_path)


def test_the_export_says_what_the_product_reads(tmp_path: Path) -> None:
    images = read_data(write_data(tmp_path, row(0, "labelled", "b", "a"), row(1, "new", "b")))
    export = tmp_path / "export.json"
    export.write_bytes(coco_export(images, "store", "https://acct/c", "labelled"))
    found = open_export("demo", [ExportFile.on_disk(export, "export.json")], container_url="https://acct/c")
    first, second = found
    assert first.url == "AmlDatastore://store/labelled/images/0.jpg"
    assert [found.resolve(each.labels) for each in (first, second)] == [("a", "b"), ("b",)]
    assert found.problems.lines() == []


CSV = (
    b"image,labels,prob_a,prob_b,model,scored_at,error\r\n"
    b"1,a,0.9,0.1,m:1,t,\r\n2,b,0.2,0.7,m:1,t,\r\n3,,,,m:1,t,bad\r\n"
)


def test_accuracy_is_measured_over_all_known_images_errors_included() -> None:
    rows = read_rows([CSV])
    perfect = measure(rows[:2], {"1": ["a"], "2": ["b"]})
    assert (perfect.mean_average_precision, perfect.micro_f1) == (1.0, 1.0)
    with_error = measure(rows, {"1": ["a"], "2": ["b"], "3": ["a"]})
    assert with_error.micro_f1 == pytest.approx(0.8)
    assert with_error.mean_average_precision < 1


def test_images_with_several_rows_are_named() -> None:
    assert images_more_than_once(read_rows([CSV])) == []
    assert images_more_than_once(read_rows([CSV, CSV])) == ["1", "2", "3"]
