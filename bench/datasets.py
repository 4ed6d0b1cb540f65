"""`python -m bench.datasets [--rows N]`: a label export of a million images, from its file to a split data set.

Each measurement runs in a process of its own. CPU seconds count, since the machine may be busy; the ratio is to the
export's own reader alone in the same run; the peak is the maximum resident set of the process, with the interpreter,
NumPy and, where there is a store, the Azure SDK in it. With a store, every image is listed, and what it looks like is
known from an earlier export. Listing alone is measured against the SDK's `list_blobs`.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from azure.storage.blob import BlobServiceClient

from bench.blob_service import IMAGES, etag_of, path_of
from bench.labels import FORMATS, ROOT, exhaust
from bench.verdict import verdict
from shared.blob_listing import list_pages
from shared.datasets import BlobImages, DataSetOptions, Findings, build_data_set
from shared.datasets.catalogue import image_digest
from shared.datasets.facts import IMAGE_FORMATS, READ
from shared.datasets.kept import ROW, KeptSignatures
from shared.datasets.storage import SIGNATURES, etag_bits
from shared.labels import ExportFile, open_export
from shared.locations import Datastores

MAX_MEGABYTES = 250
MAX_LISTING_RATIO = 0.2
LISTED = 100_000
BURST = 4
WORK = "labelloop"
STORES = Datastores({"photos": IMAGES}, "S", "R", "W")


def read(file: Path) -> None:
    exhaust(open_export(file.name, [ExportFile.on_disk(file)]))


def build(file: Path, store: BlobImages | None = None) -> None:
    export = open_export(file.name, [ExportFile.on_disk(file)])
    url, options = "https://store.blob.core.windows.net", DataSetOptions()
    findings = Findings()
    made = build_data_set(export, file.name, STORES, url, options, findings, store=store, resolve=export.resolve)
    assert sum(map(len, made.splits.values())) == export.images, made.warnings
    assert store is None or findings.figures["compared"]["read"] == export.images, findings.figures["compared"]


def build_with_store(file: Path, port: str) -> None:
    with service_client(port) as service:
        build(file, BlobImages(service, WORK))


def list_with_sdk(port: str) -> None:
    with service_client(port) as service:
        exhaust(service.get_container_client(IMAGES).list_blobs())


def list_cheaply(port: str) -> None:
    with service_client(port) as service:
        assert sum(len(page.blobs) for page in list_pages(service.get_container_client(IMAGES))) == LISTED


def service_client(port: str) -> BlobServiceClient:
    address = f"http://127.0.0.1:{port}/account"
    return BlobServiceClient.from_connection_string(f"AccountName=account;AccountKey=MDA=;BlobEndpoint={address}")


def keep_signatures(port: str, images: int) -> None:
    """Put what an earlier export found out: bursts of four images that look alike. In a process of its own: the peak
    of a process begins with what its parent has.
    """
    chance = np.random.default_rng(1)
    rows = np.zeros(images, ROW)
    rows["digest"] = np.fromiter((image_digest(IMAGES, path_of(number)) for number in range(images)), np.uint64)
    rows["etag"] = np.fromiter((etag_bits(etag_of(number)) for number in range(images)), np.uint64)
    bursts = images // BURST + 1
    rows["bits"] = np.repeat(chance.integers(0, 2**64, bursts, dtype=np.uint64), BURST)[:images]
    rows["bits"] ^= np.uint64(1) << chance.integers(0, 64, images, dtype=np.uint64)
    rows["colour"] = np.repeat(chance.integers(0, 256, (bursts, 3), dtype=np.uint8), BURST, axis=0)[:images]
    rows["state"], rows["format"], rows["width"], rows["height"] = READ, IMAGE_FORMATS.index("JPEG"), 1024, 768
    with (
        service_client(str(port)) as service,
        closing(KeptSignatures(service.get_blob_client(WORK, SIGNATURES))) as kept,
    ):
        kept.add(rows)


MEASURED: dict[str, Callable[..., None]] = {
    "read": lambda file: read(Path(file)),
    "build": lambda file: build(Path(file)),
    "build with store": lambda file, port: build_with_store(Path(file), port),
    "keep": lambda port, images: keep_signatures(port, int(images)),
    "list with the SDK": list_with_sdk,
    "list": list_cheaply,
}


def measured(what: str, *arguments: str) -> None:
    start = time.process_time()
    MEASURED[what](*arguments)
    seconds = time.process_time() - start
    # In KiB on Linux, in bytes on macOS.
    unit = 1024 if sys.platform == "linux" else 1
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


def measure(what: str, *arguments: object) -> tuple[float, float]:
    """CPU seconds and peak megabytes in a fresh process."""
    command = [sys.executable, "-m", "bench.datasets", "--measure", what, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    seconds, megabytes = done.stdout.split()
    return float(seconds), float(megabytes)


@contextmanager
def blob_service(images: int) -> Iterator[int]:
    """The port of a service with so many images."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.blob_service", str(images), folder]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                yield int(process.stdout.readline())
            finally:
                process.terminate()


def measure_listing() -> None:
    with blob_service(LISTED) as port:
        ours, peak = measure("list", port)
        sdk, sdk_peak = measure("list with the SDK", port)
    print(
        f"listing {LISTED} blobs: {ours:.1f} s of CPU time, peak {peak:.0f} MB; list_blobs {sdk:.1f} s, "
        f"{sdk_peak:.0f} MB; ratio {ours / sdk:.3f} (budget {MAX_LISTING_RATIO}) "
        f"{verdict(within=ours <= MAX_LISTING_RATIO * sdk)}"
    )


def measure_data_sets(rows: int) -> None:
    for kind in ("COCO", "CSV"):
        name, write, _ = FORMATS[kind]
        with tempfile.TemporaryDirectory() as folder, blob_service(rows + 1) as port:
            file = Path(folder) / name
            with file.open("w", encoding="utf-8", newline="") as stream:
                write(stream, rows)
            measure("keep", port, rows + 1)
            plain, _ = measure("read", file)
            for what, arguments in (("build", ()), ("build with store", (port,))):
                seconds, peak = measure(what, file, *arguments)
                print(
                    f"{kind:<5}{what:<17}{rows / seconds:9,.0f} rows/s  ratio {seconds / plain:5.2f} to reading alone "
                    f"({plain:.2f} s)  peak {peak:4.0f} MB (budget {MAX_MEGABYTES})  "
                    f"{verdict(within=peak <= MAX_MEGABYTES)}"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measured(*arguments.measure)
        return
    measure_listing()
    print(f"{arguments.rows} rows to a data set:")
    measure_data_sets(arguments.rows)


if __name__ == "__main__":
    main()
