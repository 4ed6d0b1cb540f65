"""`python -m bench.results [--rows N] [--labels N] [--collect]`: writing predictions against a plain write of the same.

Each writing runs in a process of its own, so that its peak memory (maximum resident set) is its own; plain ones and
ours take turns, and the medians of the CPU time count. Plain are the standard library's `csv` and `json`, told to write
the same values; Parquet is measured against the faster of the two. With `--collect` a batch of as many images is
brought from its parts to its files on Azurite: by the clock, in which Azurite's own time is, and in CPU time.
Budget: no slower than the plain write, 250 MB; the memory must not grow with the rows.
"""

from __future__ import annotations

import argparse
import base64
import csv
import dataclasses
import io
import itertools
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from shared.clients import Clients
from shared.ledger import Batch, Image
from shared.predictions import FORMATS, PredictionRow, columns
from shared.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
RUNS = 3
MAX_RATIO, MAX_MEGABYTES = 1.0, 250
SCORED_AT = "2026-11-24T06:00:00Z"
# So many rows differ in their probabilities; after them the same come again.
DIFFERENT = 997


def rows(count: int, labels: Sequence[str]) -> Iterator[PredictionRow]:
    """One to three labels of each image; one image in a hundred has an error."""
    scored = []
    for number in range(DIFFERENT):
        values = tuple((number * (position + 7) % 9973) / 9973 for position in range(len(labels)))
        scored.append((tuple(labels[number * step % len(labels)] for step in range(1, 2 + number % 3)), values))
    for number in range(count):
        path = f"2026/11/camera {number % 7}/IMG_{number:07}.jpg"
        if number % 100 == 99:
            yield PredictionRow(path, (), (), "multilabel:7", SCORED_AT, "the image was deleted before it was scored")
        else:
            predicted, values = scored[number % DIFFERENT]
            yield PredictionRow(path, predicted, values, "multilabel:7", SCORED_AT)


def plain_csv(source: Iterable[PredictionRow], labels: Sequence[str], file: IO[bytes]) -> None:
    with io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
        writer = csv.writer(text)
        writer.writerow(columns(labels))
        for row in source:
            values = [f"{value:.6f}" for value in row.probabilities] or [""] * len(labels)
            writer.writerow([row.image, ";".join(row.labels), *values, row.model, row.scored_at, row.error])


def plain_json(source: Iterable[PredictionRow], labels: Sequence[str], file: IO[bytes]) -> None:
    names = columns(labels)
    for row in source:
        values: list[float | None] = [round(value, 6) for value in row.probabilities]
        values = values or [None] * len(labels)
        line = [row.image, row.labels, *values, row.model, row.scored_at, row.error or None]
        file.write(json.dumps(dict(zip(names, line, strict=True))).encode() + b"\n")


def ours(suffix: str) -> Callable[[Iterable[PredictionRow], Sequence[str], IO[bytes]], None]:
    def write(source: Iterable[PredictionRow], labels: Sequence[str], file: IO[bytes]) -> None:
        for chunk in FORMATS[suffix].chunks(source, labels):
            file.write(chunk)

    return write


WRITERS = {"plain csv": plain_csv, "plain json": plain_json, **{suffix: ours(suffix) for suffix in FORMATS}}
PLAIN = {"csv": ("plain csv",), "jsonl": ("plain json",), "parquet": ("plain csv", "plain json")}


def labels_named(count: int) -> list[str]:
    return [f"label {number}" for number in range(count)]


def write(name: str, count: int, labels: int, path: Path) -> None:
    """Write, and print CPU seconds and peak megabytes."""
    start = time.process_time()
    with path.open("wb") as file:
        WRITERS[name](rows(count, labels_named(labels)), labels_named(labels), file)
    print(time.process_time() - start, peak_megabytes())


def peak_megabytes() -> float:
    # In KiB on Linux, in bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if sys.platform == "linux" else 1) / 1e6


def measured(*arguments: object) -> list[float]:
    """What another process prints."""
    command = [sys.executable, "-m", "bench.results", "--measure", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [float(number) for number in done.stdout.split()]


def writing(count: int, labels: int) -> None:
    print(f"{count} rows of {labels} labels, median of {RUNS}; budget: ratio {MAX_RATIO}, {MAX_MEGABYTES} MB")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "predictions"
        runs: dict[str, list[list[float]]] = {name: [] for name in WRITERS}
        sizes: dict[str, int] = {}
        for _ in range(RUNS):
            for name in WRITERS:
                runs[name].append(measured("write", name, count, labels, path))
                sizes[name] = path.stat().st_size
        tenth = {suffix: measured("write", suffix, count // 10, labels, path)[1] for suffix in FORMATS}
    medians = {name: statistics.median(seconds for seconds, _ in each) for name, each in runs.items()}
    for suffix, plain in PLAIN.items():
        fastest = min(plain, key=lambda name: medians[name])
        peak = max(megabytes for _, megabytes in runs[suffix])
        print(
            f"{suffix:<8}{sizes[suffix] / 1e6:6.0f} MB {count / medians[suffix]:10,.0f} rows/s  "
            f"ratio {medians[suffix] / medians[fastest]:5.2f} to {fastest} ({medians[fastest]:.1f} s)  "
            f"peak {peak:4.0f} MB ({tenth[suffix]:.0f} MB with a tenth of the rows)"
        )


# A whole batch


def collect(connection_string: str, count: int) -> None:
    """Seal a batch and write its files; print seconds by the clock, CPU seconds and peak megabytes."""
    from shared.results import write_files

    clients = Clients(bench_settings(), {"DATA_STORAGE": connection_string})
    blob = clients.blobs.get_blob_client("labelloop", "batch.json")
    batch = Batch(**json.loads(blob.download_blob().readall()))
    start, cpu_start = time.monotonic(), time.process_time()
    collected = write_files(clients, batch, job_error="")
    seconds, cpu_seconds = time.monotonic() - start, time.process_time() - cpu_start
    assert collected.tally.rows == count
    print(seconds, cpu_seconds, peak_megabytes())


def prepare(connection_string: str, count: int, labels: int) -> None:
    """Put a batch's manifest and parts into storage, as the dispatcher and the cluster do."""
    from shared.manifests import part_path, write_manifest
    from shared.results import read_shard
    from shared.scoring import Outcome

    clients = Clients(bench_settings(), {"DATA_STORAGE": connection_string})
    for container in ("labelloop", "predictions"):
        clients.blobs.create_container(container)
    names = labels_named(labels)
    images = [Image("images", row.image, "0x8DE0", "images", row.image, "0x8DE0") for row in rows(count, names)]
    manifest = write_manifest(clients, "20261124-060000-ab12", names, images)
    created = "2026-11-24T06:00:00+00:00"
    batch = Batch(
        *("20261124-060000-ab12", "submitted", "cluster", "", "multilabel", "7", "models/multilabel/train-7", created),
        images=count,
        shards=manifest.shards,
        folder=manifest.folder,
    )
    container_client = clients.blobs.get_container_client("labelloop")
    scored = itertools.cycle(row for row in rows(99, names))
    for shard in range(manifest.shards):
        lines = []
        for row, prediction in zip(read_shard(clients.blobs, "labelloop", batch, shard), scored, strict=False):
            outcome = Outcome(row.key, prediction.labels, prediction.probabilities, SCORED_AT)
            lines.append(outcome.to_json())
        container_client.upload_blob(part_path(batch.folder, shard), "\n".join(lines))
    values = {name: value for name, value in dataclasses.asdict(batch).items() if name != "changed"}
    container_client.upload_blob("batch.json", json.dumps(values))


def bench_settings() -> Settings:
    required = {
        "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000001",
        "AZURE_RESOURCE_GROUP": "labelloop",
        "AZURE_LOCATION": "westeurope",
        "AZUREML_WORKSPACE_NAME": "labelloop",
    }
    return Settings.from_environment({**required, "PREDICTION_FORMATS": ",".join(FORMATS)})


def collecting(count: int, labels: int) -> None:
    from local.processes import start_guarded, stop
    from local.stack import azurite_executable, connects

    key = base64.b64encode(b"0" * 32).decode()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [
            azurite_executable(),
            "--location",
            folder,
            "--silent",
            "--skipApiVersionCheck",
            "--disableTelemetry",
        ]
        command += ["--blobPort", str(port), "--queuePort", "0", "--tablePort", "0"]
        azurite = start_guarded(
            command, log=Path(folder) / "azurite.log", env={**os.environ, "AZURITE_ACCOUNTS": f"bench:{key}"}
        )
        try:
            while not connects(port):
                assert azurite.poll() is None, "Azurite did not start"
                time.sleep(0.05)
            account = f"DefaultEndpointsProtocol=http;AccountName=bench;AccountKey={key};"
            account += f"BlobEndpoint=http://127.0.0.1:{port}/bench;"
            measured("prepare", account, count, labels)
            seconds, cpu_seconds, peak = measured("collect", account, count)
        finally:
            stop(azurite)
    print(
        f"collect {count} rows of {labels} labels from Azurite, in {len(FORMATS)} formats: {seconds:.0f} s, "
        f"{count / seconds:,.0f} rows/s, {cpu_seconds:.0f} s of CPU time, peak {peak:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--labels", type=int, default=20)
    parser.add_argument("--collect", action="store_true")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    match arguments.measure:
        case ["write", name, count, labels, path]:
            write(name, int(count), int(labels), Path(path))
        case ["prepare", account, count, labels]:
            prepare(account, int(count), int(labels))
        case ["collect", account, count]:
            collect(account, int(count))
        case _ if arguments.collect:
            collecting(arguments.rows, arguments.labels)
        case _:
            writing(arguments.rows, arguments.labels)


if __name__ == "__main__":
    main()
