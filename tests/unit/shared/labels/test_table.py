"""CSV label exports."""

from __future__ import annotations

import csv
import io
import json

import pytest

from shared.errors import ExportError
from shared.labels import Format
from tests.unit.shared.labels.support import file, images, only, opened, read

URL = "AmlDatastore://d/1.jpg"


def table(*rows: list[str], header: tuple[str, ...] = ("Url", "Label"), delimiter: str = ",") -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows([header, *rows])
    return text.getvalue()


def labels(*cells: str, known: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    export = opened(
        file("e/x.csv", table(*([f"AmlDatastore://d/{n}", cell] for n, cell in enumerate(cells)))), known=known
    )
    return list(read(export).values())


@pytest.mark.parametrize(
    "header",
    [
        ("Url", "Label"),
        ("url", "labels"),
        ("image_url", "label"),
        ("Image", "Tags"),
        (" image ", "labels"),
        ("path", "class"),
    ],
)
def test_headers_name_the_columns_in_many_ways(header: tuple[str, ...]) -> None:
    assert only(table([URL, "can"], header=header)) == {URL: ("can",)}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_may_stand_in_any_order_with_others_between(delimiter: str) -> None:
    header = ("id", "Label", "width", "Url", "height", "confidence")
    (image,) = images(table(["1", "can", "800", URL, "600", "0.5"], header=header, delimiter=delimiter))
    assert (image.url, image.labels, image.width, image.height, image.confidence) == (URL, ("can",), 800, 600, 0.5)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("a,b", ("a", "b")),
        ("a; b", ("a", "b")),
        ("b|a|", ("a", "b")),
        ('["a", "b"]', ("a", "b")),
        ("['a', 'b']", ("a", "b")),
        ("[]", ()),
        ("", ()),
        ("  ", ()),
        ("a\r\n", ("a",)),
        ("[a]", ("[a]",)),
    ],
)
def test_a_cell_holds_one_label_or_several(cell: str, expected: tuple[str, ...]) -> None:
    assert labels(cell, "a", "b")[0] == expected


def test_a_cell_is_split_where_the_parts_are_labels() -> None:
    assert labels("black, white; red", "black, white", "red", "black, white", known=("black, white",)) == [
        ("black, white", "red"),
        ("black, white",),
        ("red",),
        ("black, white",),
    ]
    assert labels("a;b|c", "a;b", '["a;b"]', "c") == [("a;b", "c"), ("a;b",), ("a;b",), ("c",)]


def test_what_comes_later_in_the_file_counts_as_much() -> None:
    assert labels("a;b,c", "a", "b,c", '["b,c"]')[0] == ("a", "b,c")


def test_a_split_into_parts_that_are_labels_nowhere_is_told() -> None:
    export = opened(file("e/x", table([URL, "salt, pepper"])))
    assert read(export) == {URL: ("pepper", "salt")}
    assert export.problems.lines() == [
        "guessed labels: c/e: 'salt, pepper' was taken for 2 labels, but not each stands alone elsewhere"
    ]


def test_a_row_a_label_is_an_image_several_times() -> None:
    assert [image.labels for image in images(table([URL, "a"], [URL, "b"]))] == [("a",), ("b",)]


def test_line_numbers_hold_with_line_ends_in_quotation_marks() -> None:
    content = 'Url,Label\r\nAmlDatastore://d/1,"a\r\nb"\r\n\r\nAmlDatastore://d/2,c\r\n'
    assert [(image.labels, image.record) for image in images(content)] == [(("a b",), 3), (("c",), 5)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_spreadsheets_write_byte_order_marks(encoding: str) -> None:
    text = table(["AmlDatastore://d/é.jpg", "größe"])
    content = ("\ufeff" + text if encoding == "utf-16-le" else text).encode(encoding)
    assert only(content) == {"AmlDatastore://d/é.jpg": ("größe",)}


def test_custom_vision_scripts_write_the_file_name_and_the_tags() -> None:
    content = table(
        ["5", "a.jpg", "b|a"], ["6", "b.jpg", "a"], ["7", "c.jpg", "b"], header=("image_id", "filename", "tags")
    )
    assert only(content, "e/images.csv")["https://a.blob.core.windows.net/c/e/a.jpg"] == ("a", "b")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (b"AmlDatastore://d/2.jpg", "row: e/x:3: has 1 cells, but the header has 2"),
        (b"AmlDatastore://d/2.jpg,a,b", "row: e/x:3: has 3 cells, but the header has 2"),
        (b",a", "row: e/x:3: names no image"),
        (b"AmlDatastore://d/\xff.jpg,a", "has characters that no URL has"),
        (b"AmlDatastore://d/\x01.jpg,a", "has characters that no URL has"),
        (b'"AmlDatastore://d/\n2",a', "has characters that no URL has"),
        (b"AmlDatastore://d/2.jpg,\xff", "has characters that are no text"),
        (b"AmlDatastore://d/2.jpg," + b"y" * 300, "has 300 characters; 256 are allowed"),
        (b"AmlDatastore://d/2.jpg," + b"y" * 20_000, "is a quotation mark left open?"),
        (b"AmlDatastore://d/2.jpg," + b"y" * 140_000, "no CSV: e/x:3: field larger than field limit"),
    ],
)
def test_a_bad_row_is_reported_and_the_others_are_read(row: bytes, problem: str) -> None:
    content = b"Url,Label\nAmlDatastore://d/1.jpg,a\n" + row + b"\nAmlDatastore://d/3.jpg,a\n"
    export = opened(file("e/x", content))
    assert [image.url for image in export] == ["AmlDatastore://d/1.jpg", "AmlDatastore://d/3.jpg"]
    (told,) = export.problems.lines()
    assert problem in told
    assert export.problems.lost == 1


def test_a_column_that_is_no_label_is_refused() -> None:
    content = table(*([f"AmlDatastore://d/{number}", str(number)] for number in range(10_001)))
    with pytest.raises(ExportError, match="has more than 10000 labels"):
        images(content)


def test_a_table_without_such_columns_is_refused() -> None:
    with pytest.raises(ExportError, match="must be COCO, JSON Lines, a JSON list, or CSV with a header"):
        opened(file("e/x.csv", "a,b\n1,2\n"))


def test_it_is_recognised_by_its_header() -> None:
    assert opened(file("e/anything", table([URL, json.dumps(["a"])]))).format is Format.CSV
