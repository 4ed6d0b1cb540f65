"""Reading MLTable folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.automl.errors import DataError
from local.automl.mltable import read_mltable
from tests.unit.local.automl.conftest import MLTABLE, WriteTable

READ = "transformations: [read_json_lines]"


def test_rows_come_in_the_files_order(write_table: WriteTable) -> None:
    folder = write_table('{"a": 1, "b": ["ä"]}\n\n{"a": 2}\n')
    assert read_mltable(folder) == [{"a": 1, "b": ["ä"]}, {"a": 2}]


def test_patterns_folders_and_files_are_read_in_turn(write_table: WriteTable) -> None:
    folder = write_table("", table=f"paths: [{{pattern: './x*.jsonl'}}, {{folder: sub}}]\n{READ}")
    (folder / "sub").mkdir()
    for name, number in (("x2.jsonl", 2), ("x1.jsonl", 1), ("sub/y.jsonl", 3)):
        (folder / name).write_text(f'{{"n": {number}}}\n')
    assert [row["n"] for row in read_mltable(folder)] == [1, 2, 3]


def test_columns_and_rows_can_be_left_out(write_table: WriteTable) -> None:
    steps = f"{READ[:-1]}, {{skip: 1}}, {{take: 2}}, {{drop_columns: [b]}}]"
    folder = write_table(
        "".join(f'{{"a": {i}, "b": 0}}\n' for i in range(5)), table=f"paths: [file: rows.jsonl]\n{steps}"
    )
    assert read_mltable(folder) == [{"a": 1}, {"a": 2}]


def test_invalid_lines_are_an_error_unless_they_are_to_be_dropped(write_table: WriteTable) -> None:
    with pytest.raises(DataError, match=r"line 2 of rows\.jsonl is not JSON"):
        read_mltable(write_table('{"a": 1}\n{oops\n'))
    dropping = MLTABLE.replace("invalid_lines: error", "invalid_lines: drop")
    assert read_mltable(write_table('{"a": 1}\n{oops\n', table=dropping)) == [{"a": 1}]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("- 1", "is not a mapping"),
        ("paths: [", "cannot be read"),
        (f"paths: []\n{READ}", "names no paths"),
        (f"paths: [{{file: missing.jsonl}}]\n{READ}", "does not exist"),
        (f"paths: [{{file: ../secret}}]\n{READ}", "leaves the table's folder"),
        (f"paths: [{{file: 'https://x/y'}}]\n{READ}", "is remote"),
        (f"paths: [{{blob: x}}]\n{READ}", "not one of file, folder or pattern"),
        (f"paths: [{{file: rows.jsonl}}]\nquery: x\n{READ}", "has query, which is not understood"),
        ("paths: [{file: rows.jsonl}]", "has no transformations"),
        (
            "paths: [{file: rows.jsonl}]\ntransformations: [read_delimited]",
            "must be read_json_lines.*it is read_delimited",
        ),
        (f"paths: [{{file: rows.jsonl}}]\n{READ[:-1]}, {{filter: 'col(1) > 2'}}]", "transformation filter"),
        (f"paths: [{{file: rows.jsonl}}]\n{READ[:-1]}, {{take: many}}]", "take 'many'"),
        ("paths: [{file: rows.jsonl}]\ntransformations: [{read_json_lines: {encoding: ebcdic}}]", "ebcdic"),
    ],
)
def test_what_is_not_understood_is_refused(write_table: WriteTable, table: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read_mltable(write_table('{"a": 1}\n', table=table))


def test_a_folder_without_mltable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no MLTable file"):
        read_mltable(tmp_path)
