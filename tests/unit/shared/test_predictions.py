"""The files of predictions, read back by programs that are not ours."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.predictions import FORMATS, PredictionRow, columns, csv_chunks, read_csv, split_labels

LABELS = ("apple", "=cup")
GOOD = PredictionRow('2026/ä, "b".jpg', ("apple", "=cup"), (0.9876543, 0.5), "multilabel:3", "2026-11-24T06:00:00Z")
BAD = PredictionRow("=cmd.jpg", (), (), "multilabel:3", "2026-11-24T06:00:01Z", "not an image")
NEVER_SCORED = PredictionRow("late.jpg", (), (), "multilabel:3", "", "the scoring job gave no result for this image")
ROWS = (GOOD, BAD, NEVER_SCORED)


def content(suffix: str, rows: Sequence[PredictionRow] = ROWS, labels: Sequence[str] = LABELS) -> bytes:
    return b"".join(FORMATS[suffix].chunks(rows, labels))


def read_back(text: str) -> list[dict[str, str]]:
    return list(read_csv(io.StringIO(text, newline="")))


# CSV


def test_the_csv_is_rfc_4180_with_the_contracts_columns() -> None:
    assert content("csv").decode() == (
        "image,labels,prob_apple,prob_=cup,model,scored_at,error\r\n"
        '"2026/ä, ""b"".jpg","apple;\'=cup",0.987654,0.500000,multilabel:3,2026-11-24T06:00:00Z,\r\n'
        "'=cmd.jpg,,,,multilabel:3,2026-11-24T06:00:01Z,not an image\r\n"
        "late.jpg,,,,multilabel:3,,the scoring job gave no result for this image\r\n"
    )


def test_what_was_written_can_be_read() -> None:
    good, bad, _ = read_back(content("csv").decode())
    assert good["image"] == GOOD.image
    assert split_labels(good["labels"]) == GOOD.labels
    assert float(good["prob_apple"]) == 0.987654
    assert (bad["image"], bad["labels"], bad["prob_apple"], bad["error"]) == ("=cmd.jpg", "", "", "not an image")


def test_probabilities_have_six_decimals_and_no_exponent() -> None:
    row = PredictionRow("a.jpg", (), (1e-9, 1.0), "m:1", "2026-11-24T06:00:00Z")
    assert ",0.000000,1.000000," in content("csv", [row]).decode()


FULL_WIDTH = "\uff1d\uff0b\uff0d\uff20"
NASTY_TEXT = st.text(
    st.sampled_from("=+-@'\"\\;, \t\r\n\0aä猫" + FULL_WIDTH) | st.characters(exclude_categories=["Cs"])
)


@given(image=NASTY_TEXT, error=NASTY_TEXT, labels=st.lists(NASTY_TEXT.filter(bool), min_size=1, unique=True))
def test_any_text_comes_back_as_it_was(image: str, error: str, labels: list[str]) -> None:
    rows = [
        PredictionRow(image, tuple(labels), (0.5,) * len(labels), "m:1", ""),
        PredictionRow("", (), (), "m:1", "", error),
    ]
    first, second = read_back(b"".join(csv_chunks(rows, labels)).decode())
    assert list(first) == columns(labels)
    assert (first["image"], second["error"]) == (image, error)
    assert split_labels(first["labels"]) == tuple(labels)


def cells_in_any_dialect(text: str) -> Iterator[str]:
    """What programs take for cells that separate by commas, or by semicolons or tabs, then knowing quotes or not."""
    for delimiter in ",;\t":
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            yield from row
    for delimiter in ";\t":
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=csv.QUOTE_NONE):
            yield from row


@given(image=NASTY_TEXT, error=NASTY_TEXT, labels=st.lists(NASTY_TEXT.filter(bool), min_size=1, unique=True))
def test_no_cell_is_a_formula_to_a_spreadsheet_whatever_it_separates_by(
    image: str, error: str, labels: list[str]
) -> None:
    rows = [PredictionRow(image, tuple(labels), (0.5,) * len(labels), "m:1", "", error)]
    for cell in cells_in_any_dialect(b"".join(csv_chunks(rows, labels)).decode()):
        assert not cell.replace("\0", "").lstrip(" \t\r\n").startswith(("=", "+", "-", "@", *FULL_WIDTH))


AWKWARD = ("a;b", "c\\d", "-x", 'say "hi"', "two\r\nlines", "猫")


@pytest.fixture
def awkward_csv(tmp_path: Path) -> Path:
    """A file with whatever may be in names."""
    rows = [
        PredictionRow(name, AWKWARD[: number % 3], (0.25, 0.5, 0.75, 1.0, 0.0, 1e-7), "m:1", "2026-11-24T06:00:00Z")
        for number, name in enumerate(("a b.jpg", "=1+1.jpg", "x,y;z.jpg", "line\nbreak.jpg", "nul\0.jpg", "猫/ö.jpg"))
    ]
    rows.append(PredictionRow("007", (), (), "m:1", "", "bad"))
    path = tmp_path / "b.csv"
    path.write_bytes(content("csv", rows, AWKWARD))
    return path


def test_pandas_reads_the_csv_with_the_columns_as_numbers_and_times(awkward_csv: Path) -> None:
    read = pd.read_csv(awkward_csv, dtype={"image": str}, parse_dates=["scored_at"])
    assert list(read.columns) == ["image", "labels", "prob_a;b", "prob_c\\d", "prob_-x", 'prob_say "hi"',
                                  "prob_two\r\nlines", "prob_猫", "model", "scored_at", "error"]  # fmt: skip
    assert [str(read[f"prob_{label}"].dtype) for label in AWKWARD] == ["float64"] * 6
    assert str(read["scored_at"].dtype).endswith("UTC]")
    assert list(read["image"])[:4] == ["a b.jpg", "'=1+1.jpg", "x,y;z.jpg", "line\nbreak.jpg"]
    assert list(read["image"])[6] == "007"
    assert read["labels"][2] == "a\\;b;c\\\\d"
    assert list(read["error"].fillna("")) == [""] * 6 + ["bad"]
    assert math.isnan(read["prob_猫"][6])


def test_a_program_that_guesses_the_dialect_and_the_types_guesses_right(awkward_csv: Path) -> None:
    with duckdb.connect() as connection:
        found = connection.execute("select * from read_csv(?)", [str(awkward_csv)])
        names = [each[0] for each in found.description or ()]
        types = [str(each[1]) for each in found.description or ()]
        rows = found.fetchall()
    assert names[:3] == ["image", "labels", "prob_a;b"]
    assert len(rows) == 7
    assert types[2:8] == ["DOUBLE"] * 6
    assert types[9] == "TIMESTAMP WITH TIME ZONE"
    assert [row[0] for row in rows][2:4] == ["x,y;z.jpg", "line\nbreak.jpg"]
    assert rows[6][10] == "bad"


# The same in the other formats


def test_json_lines_carry_the_same_columns_typed_and_as_they_are() -> None:
    good, bad, never = (json.loads(line) for line in content("jsonl").splitlines())
    assert good == {
        "image": GOOD.image,
        "labels": ["apple", "=cup"],
        "prob_apple": 0.987654,
        "prob_=cup": 0.5,
        "model": "multilabel:3",
        "scored_at": "2026-11-24T06:00:00Z",
        "error": None,
    }
    assert list(good) == list(bad) == columns(LABELS)
    assert (bad["image"], bad["labels"], bad["prob_apple"], bad["error"]) == ("=cmd.jpg", [], None, "not an image")
    assert never["scored_at"] is None


def test_parquet_carries_the_same_columns_typed_and_as_they_are() -> None:
    read = pd.read_parquet(io.BytesIO(content("parquet")))
    assert list(read.columns) == columns(LABELS)
    assert [str(kind) for kind in read.dtypes[2:4]] == ["float32", "float32"]
    assert str(read["scored_at"].dtype) == "datetime64[us, UTC]"
    assert list(read["image"]) == [row.image for row in ROWS]
    assert [tuple(labels) for labels in read["labels"]] == [row.labels for row in ROWS]
    assert read["prob_apple"].round(6).tolist()[0] == pytest.approx(0.987654)
    assert read["prob_apple"].isna().tolist() == [False, True, True]
    assert read["scored_at"].isna().tolist() == [False, False, True]
    assert read["error"].isna().tolist() == [True, False, False]


def test_parquet_has_lists_and_times_for_programs_other_than_ours(tmp_path: Path) -> None:
    path = tmp_path / "b.parquet"
    path.write_bytes(content("parquet"))
    with duckdb.connect() as connection:
        described = connection.execute("describe select * from read_parquet(?)", [str(path)]).fetchall()
        cups = connection.execute("select image from read_parquet(?) where '=cup' in labels", [str(path)]).fetchall()
    assert {name: kind for name, kind, *_ in described} == {
        "image": "VARCHAR",
        "labels": "VARCHAR[]",
        "prob_apple": "FLOAT",
        "prob_=cup": "FLOAT",
        "model": "VARCHAR",
        "scored_at": "TIMESTAMP WITH TIME ZONE",
        "error": "VARCHAR",
    }
    assert cups == [(GOOD.image,)]


def test_all_formats_tell_the_same_of_many_rows() -> None:
    rows = [
        PredictionRow(f"{n:05}.jpg", ("apple",), (n / 7000, 0.3), "m:1", "2026-11-24T06:00:00Z") for n in range(6001)
    ]
    as_csv = pd.read_csv(io.BytesIO(content("csv", rows)))
    as_jsonl = pd.read_json(io.BytesIO(content("jsonl", rows)), lines=True)
    as_parquet = pd.read_parquet(io.BytesIO(content("parquet", rows)))
    for other in (as_jsonl, as_parquet):
        assert list(other.columns) == list(as_csv.columns)
        assert list(other["image"]) == list(as_csv["image"])
        assert (other["prob_apple"] - as_csv["prob_apple"]).abs().max() < 1e-6


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_same_rows_give_the_same_bytes_and_come_in_pieces(suffix: str) -> None:
    rows = [PredictionRow(f"{n}.jpg", ("apple",), (0.5, 0.3), "m:1", "2026-11-24T06:00:00Z") for n in range(60_001)]
    pieces = list(FORMATS[suffix].chunks(iter(rows), LABELS))
    assert len(pieces) > 2
    assert b"".join(pieces) == content(suffix, rows)


@pytest.mark.parametrize("suffix", FORMATS)
def test_rows_are_taken_only_as_far_as_they_are_written(suffix: str) -> None:
    taken = itertools.count()
    rows = (GOOD for _ in iter(lambda: next(taken) < 10**9, False))
    pieces = FORMATS[suffix].chunks(rows, LABELS)
    next(pieces)
    next(pieces)
    assert next(taken) <= 200_000


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_batch_may_have_error_rows_alone(suffix: str) -> None:
    assert content(suffix, [BAD])


# What the documentation tells


def test_the_documented_lines_read_names_and_labels_as_they_are(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = (project / "docs" / "predictions.md").read_text(encoding="utf-8")
    code = document.partition("```python\n")[2].partition("```")[0]
    names = ["=1+1.jpg", "'=x.jpg", "a;-b.jpg", "plain.jpg", "007", "line\n@break.jpg"]
    rows = [PredictionRow(name, AWKWARD, (0.5,) * len(AWKWARD), "m:1", "2026-11-24T06:00:00Z") for name in names]
    rows.append(PredictionRow("bad.jpg", (), (), "m:1", "", "-1 bytes"))
    (tmp_path / "predictions.csv").write_bytes(content("csv", rows, AWKWARD))
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(code, found)  # noqa: S102
    table = found["table"]
    assert list(table["image"]) == [*names, "bad.jpg"]
    assert [tuple(labels) for labels in table["labels"]] == [AWKWARD] * len(names) + [()]
    assert list(table["error"])[-1] == "-1 bytes"
