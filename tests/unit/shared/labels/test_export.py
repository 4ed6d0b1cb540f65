"""Exports of several files, and which of them count."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import ExportError
from shared.labels import ExportFile, Format, IncompleteExportError, LabelExport
from shared.labels.mltable import path_matches
from tests.unit.shared.labels.support import coco, file, lines, opened, read


def shard(number: int, *, folder: str = "e", labels: tuple[str, ...] = ("a",)) -> ExportFile:
    row = {"image_url": f"AmlDatastore://d/{number}.jpg", "label": list(labels)}
    return file(f"{folder}/labeledDatapoints_{number}.jsonl", lines(row))


def table(text: str) -> ExportFile:
    return file("e/MLTable", text)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (coco(), Format.COCO),
        ({"info": {"tags": 1}, "images": [{"id": 1, "file_name": "x"}], "annotations": []}, Format.COCO),
        (lines({"image_url": "x", "label": []}), Format.JSON_LINES),
        ({"image": "x.jpg", "labels": ["a"]}, Format.JSON_LINES),
        ([{"image": "x.jpg", "labels": ["a"]}], Format.JSON_RECORDS),
        ({"images": [{"image": "x.jpg", "labels": ["a"]}]}, Format.JSON_RECORDS),
        ({"value": [{"image": "x.jpg", "labels": ["a"]}]}, Format.JSON_RECORDS),
        (b"\xef\xbb\xbf \n [ ]", Format.JSON_RECORDS),
        ("Url,Label\n", Format.CSV),
        ("\ufeffUrl;Label".encode("utf-16-le"), Format.CSV),
    ],
)
def test_files_are_recognised_by_what_they_contain(content: object, expected: Format) -> None:
    assert opened(file("e/some.txt", content)).format is expected


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "is empty"), (b" \n", "is empty"), (b"\x89PNG\r\n", "it begins with"), (b"hello", "it begins with 'hello'")],
)
def test_what_is_no_label_export_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ExportError, match=reason):
        opened(file("e/x", content))


def test_no_files_are_no_export() -> None:
    with pytest.raises(ExportError, match="has no files"):
        opened()


def test_shards_are_read_in_the_order_of_their_numbers() -> None:
    export = opened(*(shard(number) for number in (10, 2, 1, 3, 4, 5, 6, 7, 8, 9)))
    assert [image.url for image in export] == [f"AmlDatastore://d/{number}.jpg" for number in range(1, 11)]


@pytest.mark.parametrize(
    ("present", "missing"), [((2,), [1]), ((1, 3), [2]), ((1, 2, 5), [3, 4]), ((1,), []), ((1, 2), [])]
)
def test_a_gap_in_the_numbers_is_an_export_that_is_still_to_come(present: tuple[int, ...], missing: list[int]) -> None:
    files = [shard(number) for number in present]
    if not missing:
        opened(*files)
        return
    with pytest.raises(IncompleteExportError, match="is not complete yet") as refusal:
        opened(*files)
    assert refusal.value.missing == [f"e/labeledDatapoints_{number}.jsonl" for number in missing]


def test_numbers_are_counted_by_folder() -> None:
    with pytest.raises(IncompleteExportError) as refusal:
        opened(shard(1, folder="a"), shard(2, folder="b"))
    assert refusal.value.missing == ["b/labeledDatapoints_1.jsonl"]


def test_files_of_several_formats_are_refused_by_name() -> None:
    with pytest.raises(
        ExportError, match=r"several formats.*COCO: e/b\.json.*CSV: e/a\.csv|CSV: e/a\.csv; COCO: e/b\.json"
    ):
        opened(file("e/a.csv", "Url,Label\n"), file("e/b.json", coco()))


def test_a_file_that_is_no_label_file_is_reported() -> None:
    export = opened(shard(1), file("e/readme.txt", "hello"))
    assert len(list(export)) == 1
    (told,) = export.problems.lines()
    assert told.startswith("no label file: e/readme.txt: is no label export: it begins with 'hello'")


@pytest.mark.parametrize(
    "paths", ["file: ./train.jsonl", "file: train.jsonl", "folder: ./", "pattern: ./*.jsonl", "pattern: '**'"]
)
def test_an_mltable_says_which_files_count(paths: str) -> None:
    export = opened(
        table(f"paths:\n  - {paths}\ntransformations:\n  - read_json_lines:\n      encoding: utf8\n"),
        file("e/train.jsonl", lines({"image_url": "AmlDatastore://d/1.jpg", "label": "a"})),
    )
    assert read(export) == {"AmlDatastore://d/1.jpg": ("a",)}


def test_files_that_an_mltable_does_not_name_are_not_read() -> None:
    other = file("e/readme.txt", "hello")
    export = opened(table("paths:\n  - file: ./labeledDatapoints_1.jsonl"), shard(1), other)
    assert [each.path for each in export.files] == ["e/labeledDatapoints_1.jsonl"]
    assert len(list(export)) == 1
    assert export.problems.lines() == []


@pytest.mark.parametrize(
    "path",
    [
        "../other/x.jsonl",
        "/etc/passwd",
        "azureml://datastores/d/paths/x",
        "https://evil/x",
        "C:\\x",
        "a/../../x",
        "..\\x",
    ],
)
def test_an_mltable_may_not_lead_out_of_its_folder(path: str) -> None:
    with pytest.raises(ExportError, match="only files of its own folder are read"):
        opened(table(f"paths:\n  - file: '{path}'"), shard(1))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("paths: [", "is not YAML"),
        ("[" * 5000, "is not YAML"),
        ("paths: []", "is no MLTable"),
        ("- 1", "is no MLTable"),
        ("paths:\n  - 1", "is no MLTable"),
        ("paths:\n  - file: 1", "is no MLTable"),
        ("x" * 2_000_000, "has 2000000 bytes"),
        ("!!python/object/apply:os.system [x]", "is not YAML"),
        ("paths: !!timestamp x", "is not YAML"),
        ('paths: !!int ""', "is not YAML"),
        ("paths: !!bool x", "is not YAML"),
        ("paths: [{pattern: '" + "**/" * 50 + "x'}]", "has a pattern of more than 20 wildcards"),
    ],
)
def test_what_is_no_mltable_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ExportError, match=reason):
        opened(table(text), shard(1))


PATTERNS = st.lists(st.sampled_from(["**", "**/", "*", "?", "a", "/", "ab"]), max_size=6).map("".join)


@settings(deadline=None)
@given(PATTERNS, st.text("ab/", max_size=8))
def test_a_pattern_means_what_the_regular_expression_means(pattern: str, path: str) -> None:
    wildcards = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    expression = "".join(wildcards.get(each) or re.escape(each) for each in re.split(r"(\*\*/?|\*|\?)", pattern))
    assert path_matches("pattern", pattern, path) == (re.fullmatch(expression, path) is not None)


def test_a_pattern_of_many_wildcards_takes_no_longer_than_others() -> None:
    assert not path_matches("pattern", "**/*a*/" * 12 + "x", "a/" * 400 + "y")


def test_files_that_an_mltable_names_and_that_are_not_there_are_waited_for() -> None:
    with pytest.raises(IncompleteExportError) as refusal:
        opened(table("paths:\n  - file: ./a.jsonl\n  - pattern: ./b/*.jsonl"), shard(1))
    assert refusal.value.missing == ["e/a.jsonl", "e/b/*.jsonl"]


def test_two_mltables_are_refused() -> None:
    with pytest.raises(ExportError, match="has several MLTable files"):
        opened(table("paths: [{file: a}]"), file("e/b/MLTable", "paths: [{file: a}]"))


def spelt(*labels: str, known: tuple[str, ...] = ()) -> LabelExport:
    rows = ({"image_url": f"AmlDatastore://d/{number}", "label": label} for number, label in enumerate(labels))
    return opened(file("e/x", lines(*rows)), known=known)


def test_the_most_frequent_spelling_of_a_label_wins_and_is_told() -> None:
    export = spelt("cat", "Cat", "CAT", "Cat", "dog")
    assert set(read(export).values()) == {("Cat",), ("dog",)}
    assert export.problems.lines() == ["spellings of one label: c/e: 'CAT', 'Cat', 'cat' are one label, 'Cat'"]
    assert export.problems.lost == 0


def test_the_model_s_spelling_wins_over_all() -> None:
    assert set(read(spelt("cat", "Cat", "Cat", known=("CAT",))).values()) == {("CAT",)}


def test_of_equally_frequent_spellings_the_first_in_order_wins() -> None:
    assert set(read(spelt("b", "B")).values()) == set(read(spelt("B", "b")).values()) == {("B",)}


def test_white_space_twins_are_told() -> None:
    export = spelt("ice cream", " ice  cream")
    assert set(read(export).values()) == {("ice cream",)}
    assert export.problems.lines() == [
        "spellings of one label: c/e: ' ice  cream', 'ice cream' are one label, 'ice cream'"
    ]


def test_labels_have_no_meaning_before_all_is_read() -> None:
    export = spelt("a")
    with pytest.raises(RuntimeError, match="has not been read to its end"):
        export.resolve(("a",))


def test_an_export_can_be_read_again() -> None:
    export = spelt("a", "A", "")
    assert [list(export), export.problems] == [list(export), export.problems]
    assert export.images == 3


def test_a_file_on_disk_is_an_export(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("image,labels\n1.jpg,a\n")
    (image,) = opened(ExportFile.on_disk(path, "sets/labels.csv"))
    assert (image.url, image.where) == ("https://a.blob.core.windows.net/c/sets/1.jpg", "sets/labels.csv:2")
