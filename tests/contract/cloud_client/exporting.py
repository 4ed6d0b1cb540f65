"""What tests of trainings need: pictures that differ, exports of several files, and the queue's deliveries."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.storage.blob import ContainerClient
from PIL import Image

from shared.clients import Clients
from shared.cluster import ENDED_STATUSES
from shared.datasets import export_id, get_export
from shared.training import LandedExport, train_on_export

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
JOB_SECONDS = 240
API_VERSION = "2024-10-01"
# The stack's own host listens to the app's queue.
QUEUE = "label-exports-of-tests"
_numbers = itertools.count(1)


def upload_pictures(container: ContainerClient, each: int, folder: str = "differing") -> dict[str, list[str]]:
    """So many small pictures of each colour, no two alike: path → labels. Those that are there are not sent again."""
    labels = {}
    there = set(container.list_blob_names(name_starts_with=f"{folder}/"))
    generator = np.random.default_rng(5)
    for colour, rgb in COLOURS.items():
        for number in range(each):
            coarse = generator.integers(0, 120, (6, 6, 3)).astype(np.float64)
            path = f"{folder}/{colour}-{number}.jpg"
            labels[path] = [colour]
            if path in there:
                continue
            pixels = np.clip(np.kron(coarse, np.ones((16, 16, 1))) + np.array(rgb) * 0.7, 0, 255)
            buffer = io.BytesIO()
            Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG", quality=90)
            container.upload_blob(path, buffer.getvalue(), overwrite=True)
    return labels


def jsonl(labels_of: dict[str, list[str]]) -> bytes:
    """A shard of an export as the labelling tool writes it."""
    rows = (
        {
            "image_url": f"AmlDatastore://workspaceblobstore/{path}",
            "label": labels,
            "label_confidence": [1.0] * len(labels),
        }
        for path, labels in labels_of.items()
    )
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def new_folder() -> str:
    """A folder that no other test uses."""
    return f"Labeling/export/export/dataset/project/{next(_numbers)}/"


def landed(container: ContainerClient, path: str, content: bytes) -> LandedExport:
    """Upload a file of an export; what its event tells."""
    answer = container.upload_blob(path, content, overwrite=True)
    return LandedExport(str(container.container_name), path, str(answer.get_blob_properties().etag))


def report_on(clients: Clients, name: str) -> dict[str, Any]:
    """The report on an export, by its container and path."""
    return get_export(clients.blobs, "labelloop", export_id(name))


def use_own_queue(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let exports go to a queue that only `deliver` reads, empty."""
    monkeypatch.setattr("shared.training.exports.LABEL_EXPORTS", QUEUE)
    with contextlib.suppress(ResourceExistsError):
        clients.queue(QUEUE).create_queue()
    clients.queue(QUEUE).clear_messages()


def deliver(clients: Clients, seconds: float = 60) -> int:
    """Do what the queue's messages ask for, as the host has it done, until there are none; returns their number."""
    queue, delivered = clients.queue(QUEUE), 0
    deadline = time.monotonic() + seconds
    while (queue.get_queue_properties().approximate_message_count or 0) and time.monotonic() < deadline:
        for each in queue.receive_messages(visibility_timeout=60):
            train_on_export(clients, LandedExport.from_message(each.content))
            queue.delete_message(each)
            delivered += 1
        time.sleep(0.2)
    return delivered


@contextlib.contextmanager
def delivering(clients: Clients) -> Iterator[None]:
    """Do what the queue's messages ask for all the while."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.1):
            deliver(clients)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        ended.set()
        worker.join()


def await_end(clients: Clients, job: str) -> str:
    """A job's status when it has ended. The SDK would take the pipeline apart at each look."""
    deadline, path = time.monotonic() + JOB_SECONDS, f"{clients.settings.workspace_id}/jobs/{job}"
    while True:
        status = str(clients.ask_resource_manager("GET", path, API_VERSION)["properties"]["status"])
        if status in ENDED_STATUSES:
            return status
        assert time.monotonic() < deadline, status
        time.sleep(0.1)


def cancel_jobs(clients: Clients) -> None:
    """End all jobs that go on. For the many that have ended, too, the SDK would take every pipeline apart."""
    jobs = f"{clients.settings.workspace_id}/jobs"
    for job in clients.list_from_resource_manager(jobs, API_VERSION):
        if job["properties"]["status"] not in ENDED_STATUSES:
            with contextlib.suppress(HttpResponseError):  # It may end by itself meanwhile.
                clients.ask_resource_manager("POST", f"{jobs}/{job['name']}/cancel", API_VERSION)
            await_end(clients, job["name"])
