"""JSON Lines and JSON lists."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.errors import ExportError
from shared.labels import Format, blocks
from tests.unit.shared.labels.support import file, images, lines, only, opened, problems, read

AZUREML = "azureml://subscriptions/S/resourcegroups/R/workspaces/W/datastores/D/paths/1.jpg"
TAGGED = {
    "id": "9b5b1f3a",
    "created": "2026-01-01T00:00:00.000Z",
    "width": 800,
    "height": 600,
    "originalImageUri": "https://store.blob.core.windows.net/i-9b/o-9b",
    "thumbnailUri": "https://store.blob.core.windows.net/i-9b/t-9b",
    "tags": [{"tagId": "b5", "tagName": "Hemlock", "created": "2026-01-01"}],
}


@pytest.mark.parametrize(
    ("row", "labels"),
    [
        (
            {"image_url": AZUREML, "label": ["can", "milk_bottle"], "label_confidence": [1.0, 1.0]},
            ("can", "milk_bottle"),
        ),
        ({"image_url": AZUREML, "label": "can"}, ("can",)),
        ({"imageUrl": AZUREML, "label": ["can"]}, ("can",)),
        ({"ImageURL": AZUREML, "Labels": ["b", "a", "a"]}, ("a", "b")),
        ({"image_url": AZUREML, "label": [{"label": "can", "topX": 0.1, "isCrowd": 0}, {"label": "can"}]}, ("can",)),
        ({"image_url": AZUREML, "label": {"label": "can", "topX": 0.1}}, ("can",)),
        ({"image_url": AZUREML, "label": 3}, ("3",)),
        ({"image_url": AZUREML, "label": []}, ()),
        ({"image_url": AZUREML, "label": None}, ()),
        ({"image_url": AZUREML, "label": ""}, ()),
        ({"image_url": AZUREML}, ()),
        ({"label": "a, b", "image_url": AZUREML}, ("a, b",)),
        ({"label": "  ice \t cream ", "image_url": AZUREML}, ("ice cream",)),
        ({"label": "cafe\u0301", "image_url": AZUREML}, ("caf\u00e9",)),
    ],
)
def test_labels_may_be_a_text_a_list_or_objects_with_boxes(row: object, labels: tuple[str, ...]) -> None:
    assert only(lines(row)) == {AZUREML: labels}


@pytest.mark.parametrize(
    ("extra", "size"),
    [
        ({"image_width": 800, "image_height": 600}, (800, 600)),
        ({"width": 800.0, "height": "600px"}, (800, 600)),
        ({"image_details": {"format": "jpg", "width": "397px", "height": "296px"}}, (397, 296)),
        ({"image_details": "?", "width": -1, "height": 10**30}, (0, 0)),
        ({"width": True, "height": float("nan")}, (1, 0)),
    ],
)
def test_sizes_are_numbers_or_texts_or_in_the_details(extra: dict[str, Any], size: tuple[int, int]) -> None:
    (image,) = images(lines({"image_url": AZUREML, "label": "a", **extra}))
    assert (image.width, image.height) == size


@pytest.mark.parametrize(
    ("stated", "confidence"),
    [([1.0, 1.0], 1.0), ([0.9, 0.4], 0.4), (0.5, 0.5), ("0.5", 0.5), (1, 1.0), ([], 1.0), (None, 1.0)],
)
def test_the_lowest_confidence_counts(stated: object, confidence: float) -> None:
    (image,) = images(lines({"image_url": AZUREML, "label": ["a", "b"], "label_confidence": stated}))
    assert image.confidence == confidence


def test_a_relative_path_is_within_the_export_s_folder() -> None:
    rows = [{"image": path, "labels": ["a"]} for path in ("1 é.jpg", "sub\\2.jpg", "../3.jpg", "/4.jpg")]
    base = "https://a.blob.core.windows.net/c"
    assert set(only(lines(*rows), "sets/one/labels.jsonl")) == {
        f"{base}/sets/one/1%20%C3%A9.jpg",
        f"{base}/sets/one/sub/2.jpg",
        f"{base}/sets/3.jpg",
        f"{base}/4.jpg",
    }


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{", "no JSON: e/x:2:"),
        (b'{"image_url": "AmlDatastore://d/2.jpg"', "no JSON: e/x:2:"),
        (b"[1]", "no JSON object: e/x:2: [1]"),
        (b'{"label": "a"}', "row: e/x:2: names no image"),
        (b'{"image_url": 5}', "row: e/x:2: names no image, but has 5 for it"),
        (b'{"image_url": "C:\\\\a.jpg"}', "is neither a URL nor a relative path"),
        (b'{"image_url": "../../a.jpg"}', "names no file of the container"),
        (b'{"image_url": "AmlDatastore://d/\\u0000"}', "has characters that no URL has"),
        (b'{"image_url": "AmlDatastore://d/\\ud800"}', "has characters that no URL has"),
        (b'{"image_url": "AmlDatastore://d/\xff"}', "has characters that no URL has"),
        (b'{"image_url": "AmlDatastore://d/a\\nb"}', "has characters that no URL has"),
        (b'{"image_url": "https://x/' + b"y" * 5000 + b'"}', "characters; 4096 are allowed"),
        (b'{"image_url": "https://x/1", "label": ["a", ""]}', "label: e/x:2: 'https://x/1': a label has an empty name"),
        (b'{"image_url": "https://x/1", "label": [["a"]]}', "['a'] is no label"),
        (b'{"image_url": "https://x/1", "label": true}', "True is no label"),
        (b'{"image_url": "https://x/1", "label": [{"score": 1}]}', "is no label"),
        (b'{"image_url": "https://x/1", "label": "\\ud800"}', "has characters that are no text"),
        (b'{"image_url": "https://x/1", "label": "' + b"y" * 300 + b'"}', "has 300 characters; 256 are allowed"),
        (b'{"image_url": "https://x/1", "label": ' + b"1" * 5000 + b"}", "no JSON"),
        (b'{"image_url": "https://x/1", "label": ' + b"[" * 100_000 + b"}", "is nested too deeply"),
        (b'{"image_url": "https://x/1", "label_confidence": [2]}', "as confidence; it must be a number from 0 to 1"),
        (b'{"image_url": "https://x/1", "label_confidence": NaN}', "as confidence; it must be a number from 0 to 1"),
    ],
)
def test_a_bad_line_is_reported_and_the_others_are_read(line: bytes, problem: str) -> None:
    good = [lines({"image_url": f"AmlDatastore://d/{number}.jpg", "label": "a"}).encode() for number in (1, 3)]
    export = opened(file("e/x", good[0] + line + b"\n" + good[1]))
    assert [(image.url, image.record) for image in export] == [
        ("AmlDatastore://d/1.jpg", 1),
        ("AmlDatastore://d/3.jpg", 3),
    ]
    assert export.problems.lost == 1
    (told,) = export.problems.lines()
    assert problem in told


def test_blank_lines_count_as_lines() -> None:
    row = lines({"image_url": AZUREML, "label": "a"})
    assert [image.record for image in images(f"{row}\r\n\n{row}")] == [1, 4]


def test_an_export_of_which_most_rows_are_not_understood_is_refused() -> None:
    content = lines({"image_url": AZUREML, "label": "a"}) + "x\n" * 50
    with pytest.raises(ExportError, match="is not understood: 50 of 51 rows gave no image") as refusal:
        images(content)
    assert refusal.value.reasons[-1] == "no JSON: and 40 more"


def test_lines_are_cut_rightly_at_every_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"image_url": f"AmlDatastore://d/{number}é.jpg", "label": ["a"]} for number in range(30)]
    expected = {str(row["image_url"]): ("a",) for row in rows}
    for size in (1, 7, 64, 1000):
        monkeypatch.setattr(blocks, "BLOCK_BYTES", size)
        assert only(lines(*rows)) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_tells_the_encoding(encoding: str) -> None:
    row = json.dumps({"image_url": "AmlDatastore://d/é.jpg", "label": ["ö"]}, ensure_ascii=False)
    assert only((row + "\n").encode(encoding)) == {"AmlDatastore://d/é.jpg": ("ö",)}
    assert only(f"[{row}]".encode(encoding)) == {"AmlDatastore://d/é.jpg": ("ö",)}


class TestCustomVision:
    """What `images/tagged` of the training API answers, and what scripts make of it."""

    def test_tags_are_labels(self) -> None:
        export = opened(file("e/images.json", [TAGGED]))
        assert read(export) == {TAGGED["originalImageUri"]: ("Hemlock",)}
        assert export.format is Format.JSON_RECORDS

    def test_tags_of_regions_are_labels_each_once(self) -> None:
        regions = [{"regionId": "1", "tagName": name, "tagId": "b", "left": 0.1} for name in ("fork", "knife", "fork")]
        assert only([{**TAGGED, "tags": [], "regions": regions}]) == {TAGGED["originalImageUri"]: ("fork", "knife")}

    @pytest.mark.parametrize("tags", [["Negative"], ["Negative", "Hemlock"]])
    def test_the_negative_tag_says_that_there_is_no_other(self, tags: list[str]) -> None:
        (image,) = images([{**TAGGED, "tags": [{"tagId": name, "tagName": name} for name in tags]}])
        assert image.negative == (tags == ["Negative"])
        assert image.labels == tuple(tags[1:])

    def test_elsewhere_negative_is_a_label(self) -> None:
        (image,) = images(lines({"image_url": AZUREML, "label": "negative"}))
        assert (image.labels, image.negative) == (("negative",), False)

    def test_pages_one_a_file_are_one_export(self) -> None:
        other = {**TAGGED, "originalImageUri": "https://store.blob.core.windows.net/2"}
        assert len(read(opened(file("e/0.json", [TAGGED]), file("e/1.json", [other])))) == 2

    def test_the_python_client_s_names_are_taken(self) -> None:
        row = {"id": "1", "original_image_uri": "https://x/1", "tags": [{"tag_id": "5", "tag_name": "Negative"}]}
        (image,) = images([row])
        assert image.negative

    def test_the_metadata_that_export_scripts_write_is_taken(self) -> None:
        image = {
            "id": "1",
            "saved_path": "images/a/1.jpg",
            "tags": ["a"],
            "tag_details": [],
            "image_uri": "https://x/1",
        }
        document = {"project_id": "p", "tags": ["a"], "images": [image]}
        for indent in (None, 2):
            assert only(json.dumps(document, indent=indent), "e/images_metadata.json") == {
                "https://a.blob.core.windows.net/c/e/images/a/1.jpg": ("a",)
            }

    def test_a_tag_without_a_name_is_reported(self) -> None:
        found = problems([TAGGED, {**TAGGED, "tags": [{"tagId": "5"}]}])
        assert "is no label" in found[0]


@pytest.mark.parametrize("key", [b"\xff", b'\\"', b"\\\\", b"\\u0000", b"\\ud800", b""])
def test_a_key_of_any_characters_does_no_harm(key: bytes) -> None:
    content = b'{"image_url": "https://x/1", "label": "a", "' + key + b'": 1, "url' + key + b'": 2}\n'
    assert only(content) == {"https://x/1": ("a",)}
