"""What holds for every export."""

from __future__ import annotations

import csv
import io
import json
import random
import unicodedata
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import ExportError
from shared.labels import ExportFile, blocks
from tests.unit.shared.labels.support import coco, file, lines, opened, read


def folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


# Letters of all kinds, without the separators of CSV cells, in one spelling: folded, since twins are brought together.
LABELS = (
    st.text(st.characters(categories=["L", "M", "N", "So"], max_codepoint=0x1FFFF), min_size=1, max_size=12)
    .map(lambda text: folded(folded(text)))
    .filter(lambda text: text and folded(text) == text)
)
NAMES = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], codec="utf-8"), max_size=20)
IMAGES = st.lists(st.tuples(NAMES, st.lists(LABELS, max_size=4)), min_size=1, max_size=30)
JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
SIZES = st.sampled_from([1, 3, 17, 300, 65536])
Rows = list[tuple[str, list[str]]]


def url(number: int, name: str) -> str:
    return f"AmlDatastore://store/{number}/{name}.jpg"


def expected(rows: Rows) -> dict[str, tuple[str, ...]]:
    return {url(number, name): tuple(sorted(set(labels))) for number, (name, labels) in enumerate(rows)}


def shuffled(items: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    keys = list(items)
    chance.shuffle(keys)
    return {key: items[key] for key in keys}


def found(size: int, *files: ExportFile) -> dict[str, tuple[str, ...]]:
    """What is read when files come in blocks of a few bytes."""
    whole, blocks.BLOCK_BYTES = blocks.BLOCK_BYTES, size
    try:
        export = opened(*files)
        result = read(export)
    finally:
        blocks.BLOCK_BYTES = whole
    assert export.problems.lost == 0, export.problems.lines()
    return result


@settings(deadline=None)
@given(IMAGES, st.randoms(use_true_random=False), JUNK, SIZES, st.booleans(), st.sampled_from([None, 0, 2]))
def test_coco_comes_back_as_it_went(
    rows: Rows, chance: random.Random, junk: Any, size: int, ascii_only: bool, indent: int | None
) -> None:
    names = sorted({label for _, labels in rows for label in labels})
    images = [
        shuffled({"id": number, "coco_url": url(number, name), "extra": junk, "annotations": [{"id": 1}]}, chance)
        for number, (name, _) in enumerate(rows)
    ]
    annotations = [
        shuffled({"id": 1, "image_id": number, "category_id": names.index(label), "junk": junk}, chance)
        for number, (_, labels) in enumerate(rows)
        for label in labels
    ]
    chance.shuffle(annotations)
    categories = [shuffled({"id": number, "name": name}, chance) for number, name in enumerate(names)]
    parts = {"images": images, "annotations": annotations, "categories": categories, "licenses": junk, "info": [junk]}
    text = json.dumps(shuffled(parts, chance), ensure_ascii=ascii_only, indent=indent)
    assert found(size, file("e/x", text)) == expected(rows)


@settings(deadline=None)
@given(IMAGES, st.randoms(use_true_random=False), JUNK, SIZES, st.booleans(), st.integers(1, 4))
def test_json_lines_come_back_as_they_went_whatever_the_shards(
    rows: Rows, chance: random.Random, junk: Any, size: int, ascii_only: bool, shards: int
) -> None:
    texts = [
        json.dumps(
            shuffled({"image_url": url(number, name), "label": labels, "junk": junk}, chance), ensure_ascii=ascii_only
        )
        for number, (name, labels) in enumerate(rows)
    ]
    parts = [texts[start::shards] for start in range(min(shards, len(texts)))]
    files = [file(f"e/labeledDatapoints_{n}.jsonl", "\n".join(part)) for n, part in enumerate(parts, 1)]
    chance.shuffle(files)
    assert found(size, *files) == expected(rows)


@settings(deadline=None)
@given(IMAGES, JUNK, SIZES, st.sampled_from([None, 0, 2]), st.sampled_from(["tags", "regions"]))
def test_custom_vision_comes_back_as_it_went(rows: Rows, junk: Any, size: int, indent: int | None, key: str) -> None:
    images = [
        {
            "id": str(number),
            "originalImageUri": url(number, name),
            key: [{"tagName": label, "tagId": "1"} for label in labels],
        }
        | {"metadata": junk}
        for number, (name, labels) in enumerate(rows)
    ]
    wanted = {
        place: tuple(label for label in labels if label != "negative") for place, labels in expected(rows).items()
    }
    assert found(size, file("e/x", json.dumps(images, indent=indent))) == wanted


@settings(deadline=None)
@given(IMAGES, SIZES, st.sampled_from([";", "|", ",", "list"]), st.sampled_from([",", ";", "\t"]), st.booleans())
def test_csv_comes_back_as_it_went(rows: Rows, size: int, separator: str, delimiter: str, marked: bool) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(["Url", "Label"])
    for number, (name, labels) in enumerate(rows):
        cell = json.dumps(labels) if separator == "list" else separator.join(labels)
        writer.writerow([url(number, name), cell])
    content = text.getvalue().encode("utf-16" if marked else "utf-8")
    assert found(size, file("e/x", content)) == expected(rows)


def seeds() -> list[bytes]:
    row = {"image_url": "AmlDatastore://d/1.jpg", "label": ["a", "b"], "label_confidence": [1.0, 0.5]}
    tagged = [{"id": "1", "originalImageUri": "https://x/1", "tags": [{"tagId": "1", "tagName": "a"}]}]
    return [
        json.dumps(coco()).encode(),
        json.dumps(coco(), indent=1).encode("utf-16"),
        lines(row, {"image": "x", "labels": "y"}).encode(),
        json.dumps(tagged).encode(),
        b'Url,Label,Confidence\r\nAmlDatastore://d/1.jpg,"a;b",1\r\nAmlDatastore://d/2.jpg,"a",0.2\r\n',
    ]


PIECES = [
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\n",
    b"\0",
    b"\xff",
    b"NaN",
    b"1e999",
    b"\\ud800",
    b"-",
    b"null",
]


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(seeds()),
    st.lists(
        st.tuples(st.integers(0, 1000), st.integers(0, 6), st.sampled_from(PIECES) | st.binary(max_size=4)), max_size=6
    ),
    SIZES,
)
def test_a_damaged_export_is_read_or_refused_and_nothing_else(
    seed: bytes, damages: list[tuple[int, int, bytes]], size: int
) -> None:
    content = seed
    for place, length, piece in damages:
        start = place % (len(content) + 1)
        content = content[:start] + piece + content[start + length :]
    whole, blocks.BLOCK_BYTES = blocks.BLOCK_BYTES, size
    try:
        refusal = refused(file("e/x", content))
    finally:
        blocks.BLOCK_BYTES = whole
    if refusal:
        assert refusal.reasons
        assert str(refusal).encode()


def refused(export_file: ExportFile) -> ExportError | None:
    """The refusal of an export; None if it was read, and then all that was read is sound."""
    try:
        export = opened(export_file)
        images = list(export)
    except ExportError as error:
        return error
    for image in images:
        assert image.url.encode()
        assert all(label.encode() for label in export.resolve(image.labels))
        assert 0 <= image.confidence <= 1
    assert "\n".join(export.problems.lines()).encode() is not None
    return None


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused_and_nothing_else(content: bytes) -> None:
    for prefix in (b"", b"[", b'{"images":[', b"Url,Label\n", b'{"image_url":"x"', b"\xff\xfe", b"\xfe\xff"):
        for path in ("e/x", "e/MLTable"):
            refusal = refused(file(path, prefix + content))
            assert refusal is None or refusal.reasons
