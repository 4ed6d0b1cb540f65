"""`python -m bench.labels [--rows N]`: reading label exports against the fastest plain parse of the same file.

Each reading runs in a process of its own, so that its peak memory (maximum resident set) is its own; plain parses and
ours take turns, and the medians of the CPU time count: all use one thread, and the machine may be busy. Plain parses:
`json` and `msgspec` for JSON (the whole document, or line by line and block by block), the `csv` module for CSV.
Budget: 2.5 times the fastest one, 250 MB.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from bench.verdict import verdict
from shared.labels import ExportFile, open_export

ROOT = Path(__file__).resolve().parent.parent
RUNS = 3
MAX_RATIO, MAX_MEGABYTES = 2.5, 250
LABELS = [f"label {number}" for number in range(40)]
STORE = "azureml://subscriptions/s/resourcegroups/r/workspaces/w/datastores/photos/paths/2026"


def labels_of(number: int) -> list[str]:
    """One to three labels, of 40."""
    return sorted({LABELS[number * step % 40] for step in range(7, 7 + 1 + number % 3)})


def write_coco(file: IO[str], rows: int) -> None:
    def listed(key: str, items: Iterator[dict[str, Any]]) -> None:
        file.write(f'"{key}":[')
        for position, item in enumerate(items):
            file.write(("," if position else "") + json.dumps(item, separators=(",", ":")))
        file.write("]")

    file.write("{")
    listed("images", map(coco_image, range(1, rows + 1)))
    file.write(",")
    pairs = ((number, LABELS.index(label) + 1) for number in range(1, rows + 1) for label in labels_of(number))
    annotations = enumerate(pairs, 1)
    listed("annotations", ({"id": n, "category_id": c, "image_id": i, "area": 0.0} for n, (i, c) in annotations))
    file.write(",")
    listed("categories", ({"id": number, "name": label} for number, label in enumerate(LABELS, 1)))
    file.write("}")


def coco_image(number: int) -> dict[str, Any]:
    path = f"2026/IMG_{number:07}.jpg"
    return {
        "id": number,
        "width": 1024.0,
        "height": 768.0,
        "file_name": path,
        "coco_url": f"AmlDatastore://photos/{path}",
        "absolute_url": f"https://account.blob.core.windows.net/photos/{path}",
        "date_captured": "2026-12-07T22:52:56.1086527Z",
    }


def write_csv(file: IO[str], rows: int) -> None:
    writer = csv.writer(file)
    writer.writerow(["Url", "Label"])
    for number in range(rows):
        writer.writerow([f"AmlDatastore://photos/2026/IMG_{number:07}.jpg", ",".join(labels_of(number))])


def write_jsonl(file: IO[str], rows: int) -> None:
    for number in range(rows):
        labels = labels_of(number)
        row = {"image_url": f"{STORE}/IMG_{number:07}.jpg", "label": labels, "label_confidence": [1.0] * len(labels)}
        file.write(json.dumps({**row, "image_width": 800, "image_height": 600}) + "\n")


def write_custom_vision(file: IO[str], rows: int) -> None:
    file.write("[")
    for number in range(rows):
        tags = [
            {"tagId": f"{LABELS.index(name):032}", "tagName": name, "created": "2026"} for name in labels_of(number)
        ]
        uri = f"https://store.blob.core.windows.net/i-1/i-{number:032}"
        image = {"id": f"{number:032}", "created": "2026-01-01", "width": 800, "height": 600, "originalImageUri": uri}
        file.write((",\n" if number else "") + json.dumps({**image, "thumbnailUri": f"{uri}/t", "tags": tags}))
    file.write("]")


def exhaust(items: Any) -> None:
    deque(items, maxlen=0)


def msgspec_blocks(file: Path) -> None:
    decoder = msgspec.json.Decoder()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20) + stream.readline():
            decoder.decode_lines(block)


def json_lines(file: Path, parse: Callable[[bytes], Any]) -> None:
    with file.open("rb") as stream:
        exhaust(map(parse, stream))


def csv_rows(file: Path) -> None:
    with file.open(newline="", encoding="utf-8") as stream:
        exhaust(csv.reader(stream))


def ours(file: Path) -> None:
    export = open_export(file.name, [ExportFile.on_disk(file)])
    exhaust(export)
    assert export.images, "nothing was read"
    assert not export.problems.lost, export.problems.lines()


DOCUMENT: dict[str, Callable[[Path], Any]] = {
    "json": lambda file: json.loads(file.read_bytes()),
    "msgspec": lambda file: msgspec.json.decode(file.read_bytes()),
}
FORMATS: dict[str, tuple[str, Callable[[IO[str], int], None], dict[str, Callable[[Path], Any]]]] = {
    "COCO": ("coco.json", write_coco, DOCUMENT),
    "CSV": ("labeledDatapoints.csv", write_csv, {"csv": csv_rows}),
    "JSON Lines": (
        "labeledDatapoints_1.jsonl",
        write_jsonl,
        {
            "json by line": lambda file: json_lines(file, json.loads),
            "msgspec by line": lambda file: json_lines(file, msgspec.json.Decoder().decode),
            "msgspec by block": msgspec_blocks,
        },
    ),
    "Custom Vision": ("images.json", write_custom_vision, DOCUMENT),
}


def measure(kind: str, reader: str, file: Path) -> tuple[float, float]:
    """CPU seconds and peak megabytes of one reading in a fresh process."""
    command = [sys.executable, "-m", "bench.labels", "--measure", kind, reader, str(file)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    seconds, megabytes = done.stdout.split()
    return float(seconds), float(megabytes)


def measured(kind: str, reader: str, file: Path) -> None:
    start = time.process_time()
    (ours if reader == "ours" else FORMATS[kind][2][reader])(file)
    seconds = time.process_time() - start
    # In KiB on Linux, in bytes on macOS.
    unit = 1024 if sys.platform == "linux" else 1
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measured(arguments.measure[0], arguments.measure[1], Path(arguments.measure[2]))
        return
    print(f"{arguments.rows} rows, median of {RUNS}; budget: ratio {MAX_RATIO}, {MAX_MEGABYTES} MB")
    for kind, (name, write, plain) in FORMATS.items():
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / name
            with file.open("w", encoding="utf-8", newline="") as stream:
                write(stream, arguments.rows)
            results: dict[str, list[tuple[float, float]]] = {reader: [] for reader in (*plain, "ours")}
            for _ in range(RUNS):
                for reader, runs in results.items():
                    runs.append(measure(kind, reader, file))
            medians = {reader: statistics.median(seconds for seconds, _ in runs) for reader, runs in results.items()}
            fastest = min(plain, key=lambda reader: medians[reader])
            peak = max(megabytes for _, megabytes in results["ours"])
            ratio = medians["ours"] / medians[fastest]
            print(
                f"{kind:<14}{file.stat().st_size / 1e6:6.0f} MB file {arguments.rows / medians['ours']:12,.0f} rows/s  "
                f"ratio {ratio:5.2f} to {fastest} ({medians[fastest]:.2f} s)  peak {peak:4.0f} MB  "
                f"{verdict(within=ratio <= MAX_RATIO and peak <= MAX_MEGABYTES)}"
            )


if __name__ == "__main__":
    main()
