"""What tests of trainings need: pictures that differ, exports of several files, and the queue's deliveries."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import time
from typing import Any

import numpy as np
import pytest
from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import ContainerClient
from PIL import Image

from shared.clients import Clients
from shared.cluster import ENDED_STATUSES, find_job, status_of
from shared.datasets import export_id, get_export
from shared.training import LandedExport, train_on_export

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
JOB_SECONDS = 240
# The stack's own host listens to the app's queue.
QUEUE = "label-exports-of-tests"
_numbers = itertools.count(1)


def upload_pictures(container: ContainerClient, each: int, folder: str = "differing") -> dict[str, list[str]]:
    """So many small pictures of each colour, no two alike: path → labels."""
    labels = {}
    generator = np.random.default_rng(5)
    for colour, rgb in COLOURS.items():
        for number in range(each):
            coarse = generator.integers(0, 120, (6, 6, 3)).astype(np.float64)
            pixels = np.clip(np.kron(coarse, np.ones((16, 16, 1))) + np.array(rgb) * 0.7, 0, 255)
            buffer = io.BytesIO()
            Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG", quality=90)
            path = f"{folder}/{colour}-{number}.jpg"
            container.upload_blob(path, buffer.getvalue(), overwrite=True)
            labels[path] = [colour]
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


def await_end(clients: Clients, job: str) -> str:
    """A job's status when it has ended."""
    deadline = time.monotonic() + JOB_SECONDS
    while True:
        found = find_job(clients, job)
        assert found is not None
        if status_of(found) in ENDED_STATUSES:
            return status_of(found)
        assert time.monotonic() < deadline, status_of(found)
        time.sleep(0.3)
