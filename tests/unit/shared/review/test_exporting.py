"""Corrections as a label export, read back by what reads every label export."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest

from shared.labels import ExportFile
from shared.labels.export import Format, open_export
from shared.locations import Datastores, locate
from shared.review.corrections import Correction
from shared.review.exporting import merged
from shared.review.writing import Row, write_rows

ACCOUNT = "https://account.blob.core.windows.net"
STORES = Datastores({"images": "images", "work": "labelloop"}, "s", "g", "w")
AWKWARD = ("with, comma", 'with "quotes"', "ünï cødé", "[list]")


def correction(path: str, *labels: str, source: str = "") -> Correction:
    where = ("labelloop", source) if source else ("images", path)
    return Correction("images", path, "0x1", labels, (), "", "me", "2026-11-24T06:00:00.000000+00:00", *where)


def base(path: str, *labels: str, container: str = "images") -> dict[str, Any]:
    store = {"images": "images", "labelloop": "work"}[container]
    return {"image_url": f"azureml://datastores/{store}/paths/{path}", "label": list(labels)}


def read_back(rows: Sequence[Row], file_format: str) -> list[tuple[str, tuple[str, ...], int]]:
    """Path, labels and width of each image, as a training reads them."""
    file = io.BytesIO()
    written = write_rows(iter(rows), file_format, file)
    content = file.getvalue()
    opened = open_export("c/x", [ExportFile("x", len(content), lambda: io.BytesIO(content))])
    assert opened.format is (Format.COCO if file_format == "coco" else Format.JSON_LINES)
    found = list(opened)
    assert (len(found), opened.problems.lines()) == (written.images, [])
    return [
        (locate(each.url, STORES, account_url=ACCOUNT).path, opened.resolve(each.labels), each.width) for each in found
    ]


@pytest.mark.parametrize("file_format", ["jsonl", "coco"])
def test_what_is_written_is_read_as_it_was_meant(file_format: str) -> None:
    rows = merged(
        [{**base("2026/a.jpg", "cat"), "image_details": {"format": "jpg", "width": "640px", "height": "480px"}}],
        [correction("b ü 100%.jpg", *AWKWARD), correction("none.jpg")],
        STORES,
        ACCOUNT,
    )
    assert read_back(list(rows), file_format) == [
        ("2026/a.jpg", ("cat",), 640),
        ("b ü 100%.jpg", tuple(sorted(AWKWARD)), 0),
        ("none.jpg", (), 0),
    ]


def found(rows: Sequence[Row]) -> list[tuple[str, tuple[str, ...]]]:
    return [(locate(row.url, STORES, account_url=ACCOUNT).path, row.labels) for row in rows]


def test_a_correction_replaces_what_the_last_training_had_and_others_are_added() -> None:
    rows = merged(
        [base("a.jpg", "cat"), base("b.jpg", "dog")],
        [correction("b.jpg", "cow"), correction("c.jpg", "cat")],
        STORES,
        ACCOUNT,
    )
    assert found(list(rows)) == [("a.jpg", ("cat",)), ("b.jpg", ("cow",)), ("c.jpg", ("cat",))]


def test_an_image_that_was_converted_is_trained_on_once_as_it_was_converted() -> None:
    both = [base("a.heic", "cat"), base("prepared/a.jpg", "cat", container="labelloop")]
    rows = merged(both, [correction("a.heic", "dog", source="prepared/a.jpg")], STORES, ACCOUNT)
    assert found(list(rows)) == [("prepared/a.jpg", ("dog",))]


def test_images_of_a_datastore_that_is_gone_are_left_out() -> None:
    gone = {"image_url": "azureml://datastores/gone/paths/a.jpg", "label": ["cat"]}
    assert found(list(merged([gone], [correction("b.jpg", "cow")], STORES, ACCOUNT))) == [("b.jpg", ("cow",))]


@pytest.mark.parametrize("file_format", ["jsonl", "coco"])
def test_the_same_content_has_the_same_name(file_format: str) -> None:
    one, same, other = (
        write_rows([Row("azureml://datastores/images/paths/a.jpg", (label,), {})], file_format, io.BytesIO())
        for label in ("cat", "cat", "dog")
    )
    assert one == same != other
