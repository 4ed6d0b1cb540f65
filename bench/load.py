"""`python -m bench.load [--images N ...] [--state FOLDER]`: many small images through the whole local loop.

One stack, as `local run` starts it, and a champion: EfficientNet-Lite0 with a head that knows nothing. Then each of the
numbers of images is dropped at once, one number after the other: uploaded, told by Event Grid, taken in by the host,
scored by jobs on the cluster, and collected into CSVs. One file in a hundred is no image, and must end as an error.

Budgets: nothing lost, nothing twice, each batch one job; the time of an image grows by less than a fifth from the first
number to the last; a further image costs the app and the nodes 3 storage operations, and at most one more for what the
timers ask meanwhile. The phases overlap, and all of it runs on the cores of this machine, which in Azure are those of
many. What takes long here takes longer on a machine that has other work: the dispatcher makes more, smaller batches of
images that come more slowly.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import io
import itertools
import json
import logging
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from azure.ai.ml.entities import Model
from azure.core.credentials import AzureNamedKeyCredential
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from PIL import Image

from bench.consumption import Memory, Operations, cpu_seconds, memory_watched, operations
from bench.scoring import write_bundle
from bench.verdict import verdict
from local.demo.client import Client, DemoError, wait_for
from local.stack import ROOT, Stack, StackError, app_settings, delete_state
from shared.clients import Clients
from shared.ledger import TABLE, Batch, Ledger
from shared.models import Champion, model_store
from shared.settings import Settings

IMAGES = (2_000, 20_000)
# The model is loaded, and the node's Python is in the page cache.
WARM_UP_IMAGES = 64
DIFFERENT, SIZE, BROKEN_EVERY = 50, (160, 120), 100
PROVISION_SECONDS, STALL_SECONDS, POLL_SECONDS = 300, 600, 2.0
MAX_GROWTH, MAX_OPERATIONS = 1.2, 4.0
UPLOAD = ("blob", "PutBlob")
TRAINING = "train-load"
CALLERS = {"client": "the app and the nodes", "host": "the Functions host", "platform": "the local cloud"}


@dataclass(frozen=True)
class Run:
    """What one number of images came to. Times in s since the first upload began, phases by when they were at work."""

    images: int
    seconds: float
    phases: dict[str, float]
    batches: list[Batch]
    operations: dict[str, Operations]
    cpu_seconds: Counter[str]
    memory: dict[str, float]
    problems: list[str]

    @property
    def seconds_per_image(self) -> float:
        return self.seconds / self.images


class Load:
    """A stack under load. What is only looked at is read from Azurite itself, so that the proxy does not count it."""

    def __init__(self, stack: Stack) -> None:
        config = stack.config
        self.config, self.settings = config, app_settings(config)
        self.client = Client(stack.environment())
        credential = AzureNamedKeyCredential(config.account_name, config.account_key)
        url = f"https://127.0.0.1:{{}}/{config.account_name}"
        options: dict[str, Any] = {"credential": credential, "connection_verify": str(config.certificate)}
        self.blobs = BlobServiceClient(url.format(config.ports["azurite_blob"]), **options)
        self.tables = TableServiceClient(url.format(config.ports["azurite_table"]), **options)
        self.ledger = Ledger(self.tables)
        # The batches of earlier runs, and the jobs of all.
        self.known: set[str] = set()
        self.jobs: set[str] = set()

    def prepare(self) -> None:
        """Provision, then register and promote a model, as a training does at its end."""
        answer = self.client.request("POST", "/api/provision")
        if answer.status != 202:
            raise DemoError(f"POST /api/provision answered {answer.status}: {answer.body}")
        wait_for(
            "provisioning",
            lambda: self.client.get("/api/provision")["state"] == "ready",
            seconds=PROVISION_SECONDS,
            every=1.0,
        )
        os.environ.update(self.config.identity_environment())
        clients = Clients(Settings.from_environment(self.settings), self.settings)
        store = model_store(clients)
        path = store.bundle_path(TRAINING)
        with tempfile.TemporaryDirectory() as folder:
            store.upload_bundle(write_bundle(Path(folder)), path)
        datastore = f"azureml://datastores/{clients.settings.work_container}/paths/{path}/"
        model = Model(name=store.model_name, version="1", type="custom_model", path=datastore, tags={"job": TRAINING})
        clients.ml.models.create_or_update(model)
        promoted_at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        champion = Champion(store.model_name, "1", path, "iou", 0.5, TRAINING, promoted_at)
        assert store.promote(champion, store.champion_and_etag()[1])

    def run(self, count: int, memory: Memory) -> Run:
        """Drop so many images, and wait until all their batches are done. Raises DemoError when nothing goes on."""
        folder = f"{len(self.known)}-{count}"
        memory.peaks.clear()
        before, cpu_before = operations(self.config), cpu_seconds()
        start, began = time.monotonic(), self.ledger.now()
        self.client.upload(self.settings["IMAGES_CONTAINER"], files(folder, count))
        uploaded = time.monotonic() - start
        say(f"  {count} images uploaded in {uploaded:.0f} s")
        batches = self._await_rows(count, before["client"])
        seconds = time.monotonic() - start
        taken = {caller: counts - before[caller] for caller, counts in operations(self.config).items()}
        taken["client"][UPLOAD] -= count
        cpu = cpu_seconds() - cpu_before
        arrived = max(self._arrivals(folder), default=began)
        phases = {
            "upload": uploaded,
            "arrival": (arrived - began).total_seconds(),
            "scoring": worked((moment(batch.submitted), scored) for batch, scored in self._scored(batches)),
            "collection": worked((scored, moment(batch.ended)) for batch, scored in self._scored(batches)),
        }
        problems = [*self._problems(folder, count), *job_problems(self.client, batches, self.jobs)]
        peaks = dict(memory.peaks)
        return Run(count, seconds, phases, batches, taken, cpu, peaks, problems)

    def _await_rows(self, count: int, before: Operations) -> list[Batch]:
        """Wait until the batches that have ended tell of all images; returns them."""
        told, last, retried = 0.0, time.monotonic(), 0
        seen = (0, 0, 0)
        while True:
            batches = [batch for batch in self.ledger.done_batches(1000) if batch.id not in self.known]
            rows = sum(batch.predicted + batch.errors for batch in batches)
            counts = operations(self.config)["client"] - before
            transactions = counts["table", "EntityGroupTransaction"]
            # A job that scores thousands of images reads them, and writes no row for minutes.
            if (rows, transactions, counts["blob", "GetBlob"]) != seen:
                last = time.monotonic()
            seen = (rows, transactions, counts["blob", "GetBlob"])
            again = sum(batch.retried for batch in batches)
            if again > retried:
                say(f"  {again} images were not scored, and wait for another batch: {batches[0].error or 'no error'}")
            retried = again
            if rows >= count:
                self.known |= {batch.id for batch in batches}
                self.jobs |= {batch.job for batch in batches if batch.job}
                return batches
            if time.monotonic() - last > STALL_SECONDS:
                raise DemoError(f"{rows} of {count} images have a row, and nothing went on for {STALL_SECONDS} s")
            if time.monotonic() - told > 15:
                told = time.monotonic()
                under_way = [f"{batch.images} {batch.state}" for batch in self.ledger.open_batches()]
                say(f"  {rows} rows, {transactions} transactions of the ledger; {', '.join(under_way) or 'no batch'}")
            time.sleep(POLL_SECONDS)

    def _arrivals(self, folder: str) -> Iterator[dt.datetime]:
        """When the images of a folder were noted."""
        query = f"RowKey gt 'i:' and RowKey lt 'i;' and path ge '{folder}/' and path lt '{folder}0'"
        for row in self.tables.get_table_client(TABLE).query_entities(query, select=["arrived"]):
            yield dt.datetime.fromisoformat(row["arrived"])

    def _scored(self, batches: list[Batch]) -> Iterator[tuple[Batch, dt.datetime]]:
        """The batches that went to the cluster, with the time of their last score."""
        container = self.blobs.get_container_client(self.settings["PREDICTIONS_CONTAINER"])
        for batch in batches:
            if batch.job and batch.files:
                path = f"{batch.files[0].rpartition('.')[0]}_batch.json"
                summary = json.loads(container.download_blob(path).readall())
                yield batch, moment(summary["timings"]["last_scored"])

    def _problems(self, folder: str, count: int) -> list[str]:
        """What is lost, twice or wrong in the CSVs."""
        container = self.blobs.get_container_client(self.settings["PREDICTIONS_CONTAINER"])
        rows, errors = Counter[str](), set[str]()
        for path in container.list_blob_names():
            if str(path).endswith(".csv"):
                text = container.download_blob(str(path)).readall().decode()
                for row in csv.DictReader(io.StringIO(text, newline="")):
                    rows[row["image"]] += 1
                    if row["error"]:
                        errors.add(row["image"])
        names = {name for name, _ in files(folder, count)}
        broken = {name for name in names if name.endswith(".txt")}
        kinds = {
            "without a row": names - set(rows),
            "with several rows": {name for name in names if rows[name] > 1},
            "with an error, though they can be read": (errors & names) - broken,
            "without an error, though they are no images": (broken & set(rows)) - errors,
        }
        return [f"{len(found)} images {kind}, e.g. {min(found)}" for kind, found in kinds.items() if found]


def files(folder: str, count: int) -> Iterator[tuple[str, bytes]]:
    """Names and contents: JPEGs of SIZE, DIFFERENT ones in turn, and now and then a text."""
    contents = []
    for number in range(DIFFERENT):
        gradient = Image.linear_gradient("L").resize(SIZE).rotate(7 * number, fillcolor=128)
        image = Image.merge("RGB", [gradient, gradient.point(lambda value: 255 - value), gradient.rotate(180)])
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=90)
        contents.append(buffer.getvalue())
    for number, content in zip(range(count), itertools.cycle(contents), strict=False):
        if number % BROKEN_EVERY:
            yield f"{folder}/{number:06}.jpg", content
        else:
            yield f"{folder}/{number:06}.txt", b"this is no image"


def job_problems(client: Client, batches: list[Batch], ended: set[str]) -> list[str]:
    """What is wrong with the jobs: each belongs to one batch, and each batch has one at most. `ended` are all jobs of
    batches that have ended.
    """
    started: list[str] = []
    page: dict[str, Any] = {"next": ""}
    while page["next"] is not None:
        cursor = f"&cursor={quote(page['next'])}" if page["next"] else ""
        page = client.get(f"/api/jobs?kind=scoring&limit=50{cursor}")
        started += (str(job["name"]) for job in page["jobs"])
    problems = [f"job {job} is no batch's, or was started twice" for job in (Counter(started) - Counter(ended))]
    again = {batch.id: batch.retried for batch in batches if batch.retried}
    return problems + [f"{retried} images of batch {batch} went into another one" for batch, retried in again.items()]


def worked(spans: Iterable[tuple[dt.datetime, dt.datetime]]) -> float:
    """How long (s) at least one of the spans was under way."""
    total, until = 0.0, dt.datetime.min.replace(tzinfo=dt.UTC)
    for begin, end in sorted(spans):
        total += max(0.0, (end - max(begin, until)).total_seconds())
        until = max(until, end)
    return total


def moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def say(text: str) -> None:
    print(f"[{dt.datetime.now().astimezone():%H:%M:%S}] {text}", flush=True)


def print_run(run: Run) -> None:
    jobs = sum(1 for batch in run.batches if batch.job)
    say(f"{run.images} images in {run.seconds:.0f} s, {run.images / run.seconds:.1f} images/s")
    for phase, seconds in run.phases.items():
        rate = f"{run.images / seconds:8.1f} images/s" if seconds else "  too quick to tell"
        print(f"  {phase:<12}{seconds:8.0f} s {rate}")
    print(f"  {len(run.batches)} batches, {jobs} jobs: {', '.join(str(batch.images) for batch in run.batches)} images")
    for caller, counts in run.operations.items():
        print(f"  storage operations of {CALLERS[caller]}: {counts.total() / run.images:.2f} an image")
        for (service, name), number in counts.most_common(8):
            print(f"    {number / run.images:8.3f}  {service} {name}")
    times = (f"{part} {1000 * seconds / run.images:.1f} ms" for part, seconds in sorted(run.cpu_seconds.items()))
    print(f"  CPU time of an image, without the nodes: {', '.join(times)}")
    print("  peak memory: " + ", ".join(f"{part} {megabytes:.0f} MB" for part, megabytes in sorted(run.memory.items())))
    print("  " + ("; ".join(run.problems) or "nothing lost, nothing twice, one job a batch"), flush=True)


def judge(runs: list[Run]) -> bool:
    """Print the verdict; whether all budgets are kept."""
    within = not any(run.problems for run in runs)
    first, last = runs[0], runs[-1]
    if last.images > first.images:
        growth = last.seconds_per_image / first.seconds_per_image
        operations_more = last.operations["client"].total() - first.operations["client"].total()
        further = operations_more / (last.images - first.images)
        print(f"time of an image, {last.images} to {first.images}: {growth:.2f} (budget {MAX_GROWTH})")
        print(f"storage operations of a further image, app and nodes: {further:.2f} (budget {MAX_OPERATIONS})")
        within = within and growth <= MAX_GROWTH and further <= MAX_OPERATIONS
    print(verdict(within=within), flush=True)
    return within


def measure(state: Path, sizes: list[int]) -> bool:
    delete_state(state)
    with Stack(state, say=say) as stack, memory_watched() as memory:
        load = Load(stack)
        say("provisioning")
        load.prepare()
        say(f"warming up with {WARM_UP_IMAGES} images")
        warm_up = load.run(WARM_UP_IMAGES, memory)
        if warm_up.problems:
            raise DemoError("; ".join(warm_up.problems))
        runs = []
        for count in sizes:
            say(f"{count} images")
            runs.append(load.run(count, memory))
            print_run(runs[-1])
        within = judge(runs)
    delete_state(state)
    return within


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", nargs="+", type=int, default=list(IMAGES))
    parser.add_argument("--state", type=Path, default=ROOT / ".local" / "load", help="folder of the stack's state")
    given = parser.parse_args()
    logging.getLogger("azure").setLevel(logging.ERROR)
    # The stack is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return 0 if measure(given.state, sorted(given.images)) else 1
    except (DemoError, StackError) as error:
        print(f"load: failed: {error}\nload: logs are in {given.state / 'logs'}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
