"""A label export of a million images, from its file to a split data set: rows a second, and as a ratio to reading the
file with its own reader alone in the same run; peak memory. `python -m bench.datasets [--rows N]`.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.labels import FORMATS, ROOT, exhaust
from shared.datasets import DataSetOptions, Findings, build_data_set
from shared.labels import ExportFile, open_export
from shared.locations import Datastores

MAX_MEGABYTES = 250
STORES = Datastores({"photos": "photos"}, "S", "R", "W")


def read(file: Path) -> None:
    exhaust(open_export(file.name, [ExportFile.on_disk(file)]))


def build(file: Path) -> None:
    export = open_export(file.name, [ExportFile.on_disk(file)])
    url = "https://store.blob.core.windows.net"
    build_data_set(export, file.name, STORES, url, DataSetOptions(), Findings(), resolve=export.resolve)


def measured(what: str, file: Path) -> None:
    start = time.perf_counter()
    (read if what == "read" else build)(file)
    seconds = time.perf_counter() - start
    # In KiB on Linux, in bytes on macOS.
    unit = 1024 if sys.platform == "linux" else 1
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


def measure(what: str, file: Path) -> tuple[float, float]:
    """Seconds and peak megabytes in a fresh process."""
    command = [sys.executable, "-m", "bench.datasets", "--measure", what, str(file)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    seconds, megabytes = done.stdout.split()
    return float(seconds), float(megabytes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measured(arguments.measure[0], Path(arguments.measure[1]))
        return
    print(f"{arguments.rows} rows; budget: {MAX_MEGABYTES} MB")
    for kind in ("COCO", "CSV"):
        name, write, _ = FORMATS[kind]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / name
            with file.open("w", encoding="utf-8", newline="") as stream:
                write(stream, arguments.rows)
            plain, _ = measure("read", file)
            seconds, peak = measure("build", file)
            print(
                f"{kind:<6}{arguments.rows / seconds:12,.0f} rows/s  ratio {seconds / plain:5.2f} to reading alone"
                f" ({plain:.2f} s)  peak {peak:4.0f} MB"
            )


if __name__ == "__main__":
    main()
