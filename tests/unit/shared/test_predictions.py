"""The prediction files."""

import io
import json

from shared.predictions import PredictionRow, read_csv, write_csv, write_jsonl

LABELS = ("apple", "=cup")
GOOD = PredictionRow('2026/ä, "b".jpg', ("apple", "=cup"), (0.9876543, 0.5), "multilabel:3", "2026-11-24T06:00:00Z")
BAD = PredictionRow("=cmd.jpg", (), (), "multilabel:3", "2026-11-24T06:00:01Z", "not an image")


def csv_text() -> str:
    buffer = io.BytesIO()
    write_csv([GOOD, BAD], LABELS, buffer)
    return buffer.getvalue().decode("utf-8")


def test_the_csv_is_rfc_4180_with_the_contracts_columns() -> None:
    assert csv_text() == (
        "image,labels,prob_apple,prob_=cup,model,scored_at,error\r\n"
        '"2026/ä, ""b"".jpg",apple;=cup,0.987654,0.500000,multilabel:3,2026-11-24T06:00:00Z,\r\n'
        "'=cmd.jpg,,,,multilabel:3,2026-11-24T06:00:01Z,not an image\r\n"
    )


def test_what_was_written_can_be_read() -> None:
    good, bad = read_csv(io.StringIO(csv_text(), newline=""))
    assert good["image"] == GOOD.image
    assert float(good["prob_apple"]) == 0.987654
    assert (bad["labels"], bad["prob_apple"], bad["error"]) == ("", "", "not an image")


def test_no_cell_of_text_is_a_formula_to_a_spreadsheet() -> None:
    buffer = io.BytesIO()
    row = PredictionRow("@x.jpg", ("-1+1",), (0.5,), "m:1", "t", "")
    write_csv([row], ["-1+1"], buffer)
    cells = next(iter(read_csv(io.StringIO(buffer.getvalue().decode(), newline=""))))
    assert cells["image"] == "'@x.jpg"
    assert cells["labels"] == "'-1+1"


def test_json_lines_carry_the_same_typed_and_unescaped() -> None:
    buffer = io.BytesIO()
    write_jsonl([GOOD, BAD], LABELS, buffer)
    good, bad = (json.loads(line) for line in buffer.getvalue().splitlines())
    assert good == {
        "image": GOOD.image,
        "labels": ["apple", "=cup"],
        "probabilities": {"apple": 0.9876543, "=cup": 0.5},
        "model": "multilabel:3",
        "scored_at": "2026-11-24T06:00:00Z",
        "error": None,
    }
    assert (bad["image"], bad["labels"], bad["probabilities"]) == ("=cmd.jpg", [], {})
    assert bad["error"] == "not an image"
