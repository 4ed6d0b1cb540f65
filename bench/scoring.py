"""Images a second from blobs to written rows, as a ratio to bare Pillow and bare onnxruntime.

The scorer of the cluster's nodes reads images from Azurite with the real SDK and writes a part. Against it: the same
images, already in memory, decoded by Pillow in as many threads as there are cores, then run by onnxruntime in the same
batches on all of them, with waiting threads that spin (its default) and that don't: the faster of the two counts. All
take turns on the same cores, so the ratio of the medians is what counts. Azurite, which in Azure is on other machines,
takes its time on these cores, too; that is told apart, and the budget is for the rest.
`python -m bench.scoring [FOLDER] [--count N]`.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import logging
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from azure.storage.blob import BlobServiceClient
from PIL import Image

from bench.thresholds import AQUARIUM
from bench.verdict import verdict
from components.node import blob_service
from local.automl import efficientnet
from local.processes import start_guarded, stop
from local.sample.sample_set import make_sample_set
from local.stack import azurite_executable, connects
from shared.inference import BATCH_SIZE, CARD_FILE, LABELS_FILE, MODEL_FILE, Classifier
from shared.manifests import ManifestRow
from shared.preprocessing import Preprocessing
from shared.scoring import score_part

ROUNDS, LABELS, WAIT_SECONDS = 5, 20, 60
CONTAINER, WORK = "images", "work"
MIN_RATIO = 0.85
KEY = base64.b64encode(b"0" * 32).decode()
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Took:
    """Seconds by the clock, and of the processor: of this process, and of Azurite."""

    wall: float
    own: float
    azurite: float = 0.0


def write_bundle(folder: Path) -> Path:
    """EfficientNet-Lite0 with a head of LABELS labels that knows nothing."""
    weights = np.random.default_rng(1).normal(0, 0.05, (efficientnet.FEATURES, LABELS)).astype(np.float32)
    layer = efficientnet.LinearLayer(weights, np.zeros(LABELS, np.float32))
    model = efficientnet.build_model(layer, normalize_inside=False)
    (folder / MODEL_FILE).write_bytes(model.SerializeToString())
    (folder / LABELS_FILE).write_text(json.dumps([f"label-{number}" for number in range(LABELS)]))
    (folder / CARD_FILE).write_text(json.dumps({"thresholds": {}, "preprocessing": Preprocessing().to_json()}))
    return folder


def bare(images: list[bytes], session: Any) -> None:
    """What anyone would write first: decode, transform, normalise; stack, run."""
    mean, std = (np.array(each, np.float32).reshape(3, 1, 1) for each in (Preprocessing.mean, Preprocessing.std))

    def decode(content: bytes) -> Any:
        image = Image.open(io.BytesIO(content)).convert("RGB")
        width, height = image.size
        size = (256, int(256 * height / width)) if width <= height else (int(256 * width / height), 256)
        left, top = round((size[0] - 224) / 2), round((size[1] - 224) / 2)
        image = image.resize(size, Image.Resampling.BILINEAR).crop((left, top, left + 224, top + 224))
        return (np.asarray(image, np.float32).transpose(2, 0, 1) / np.float32(255) - mean) / std

    with ThreadPoolExecutor(CORES) as pool:
        decoded = list(pool.map(decode, images))
    for start in range(0, len(decoded), BATCH_SIZE):
        logits = session.run(None, {efficientnet.INPUT_NAME: np.stack(decoded[start : start + BATCH_SIZE])})[0]
        (1 / (1 + np.exp(-logits))).tolist()


@contextlib.contextmanager
def azurite(folder: Path) -> Iterator[tuple[str, dict[str, str], Callable[[], float]]]:
    """A running blob service: its URL, its credential, and the processor's seconds that it has taken so far."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    command = [azurite_executable(), "--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    command += ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--queuePort", "0", "--tablePort", "0"]
    process = start_guarded(command, log=folder / "azurite.log", env={**os.environ, "AZURITE_ACCOUNTS": f"bench:{KEY}"})
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while not connects(port):
            assert time.monotonic() < deadline, (folder / "azurite.log").read_text()
            time.sleep(0.05)
        credential = {"account_name": "bench", "account_key": KEY}
        yield f"http://127.0.0.1:{port}/bench", credential, lambda: _seconds_below(process.pid)
    finally:
        stop(process)


def _seconds_below(guard: int) -> float:
    """Processor's seconds of the sessions that a guard has started, as Linux tells them; 0 elsewhere."""
    processes = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html, from the third field on.
            processes.append((file.parent.name, file.read_text().rpartition(")")[2].split()))
    sessions = {pid for pid, fields in processes if int(fields[1]) == guard}
    ticks = sum(int(fields[11]) + int(fields[12]) for _, fields in processes if fields[3] in sessions)
    return ticks / os.sysconf("SC_CLK_TCK")


def timed(work: Callable[[], Any], azurite_seconds: Callable[[], float]) -> Took:
    before, own, start = azurite_seconds(), time.process_time(), time.perf_counter()
    work()
    return Took(time.perf_counter() - start, time.process_time() - own, azurite_seconds() - before)


def upload(blobs: BlobServiceClient, images: list[bytes]) -> list[ManifestRow]:
    for container in (CONTAINER, WORK):
        blobs.create_container(container)
    rows = []
    for number, content in enumerate(images):
        path = f"{number:05}.jpg"
        etag = str(blobs.get_blob_client(CONTAINER, path).upload_blob(content)["etag"]).strip('"')
        rows.append(ManifestRow(path, path, CONTAINER, path, etag))
    return rows


def bare_session(model: Path, spinning: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def measure(folder: Path, images: list[bytes]) -> tuple[list[Took], list[Took]]:
    """Bare, the faster of the two, and the scorer, in turns."""
    bundle = write_bundle(folder)
    sessions = [bare_session(bundle / MODEL_FILE, spinning) for spinning in "10"]
    classifier = Classifier.load(bundle, throughput=True)
    plain: list[list[Took]] = [[], []]
    scored: list[Took] = []
    with azurite(folder) as (url, credential, seconds), blob_service(url, credential) as blobs:
        rows = upload(blobs, images)
        for session in sessions:
            bare(images[:BATCH_SIZE], session)
        score_part(blobs, classifier, rows[:BATCH_SIZE], WORK, "warm.jsonl")
        for number in range(ROUNDS):
            for session, runs in zip(sessions, plain, strict=True):
                runs.append(timed(partial(bare, images, session), seconds))
            path = f"part-{number}.jsonl"
            scored.append(timed(partial(score_part, blobs, classifier, rows, WORK, path), seconds))
            written = blobs.get_blob_client(WORK, path).download_blob().readall().splitlines()
            assert len(written) == len(images)
            assert not any(json.loads(line)["error"] for line in written)
    return min(plain, key=lambda runs: median(runs, lambda took: took.wall)), scored


def median(runs: list[Took], seconds: Callable[[Took], float]) -> float:
    return statistics.median(map(seconds, runs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="images (default: the aquarium's, or generated ones)")
    parser.add_argument("--count", type=int, default=480)
    given = parser.parse_args()
    logging.getLogger("azure").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or AQUARIUM / "images"
        if not folder.is_dir():
            make_sample_set(Path(scratch) / "sample", 150, 1)
            folder = Path(scratch) / "sample" / "images"
        files = [file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()]
        images = (files * (given.count // len(files) + 1))[: given.count]
        plain, scored = measure(Path(scratch), images)

    count, base, ours = len(images), median(plain, lambda t: t.wall), median(scored, lambda t: t.wall)
    without = median(scored, lambda t: t.wall - t.azurite / CORES)
    processor = median(plain, lambda t: t.own) / median(scored, lambda t: t.own)
    print(f"{count} images of {sum(map(len, images)) / count / 1000:.0f} kB, {CORES} cores, median of {ROUNDS}")
    print(f"bare Pillow, then onnxruntime   {count / base:7.1f} images/s")
    print(f"blobs to rows, Azurite beside   {count / ours:7.1f} images/s   ratio {base / ours:.2f}")
    print(f"blobs to rows, without its time {count / without:7.1f} images/s   ratio {base / without:.2f}")
    print(f"ratio by the processor's seconds of this process alone       {processor:.2f}")
    # Where others use the cores, too, the clock favours whoever has more threads, and the processor's time does not.
    within = min(base / without, processor) >= MIN_RATIO
    print(f"{verdict(within=within)} (budget: {MIN_RATIO}, for each of the last two)")


if __name__ == "__main__":
    main()
