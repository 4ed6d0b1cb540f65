"""A batch's manifest: the images that it scores, in shards, and the labels of its model.

With the labels beside it a batch can be brought to its end when its model was deleted meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.ledger import Batch, Image
from shared.scoring import ManifestRow, manifest_path

if TYPE_CHECKING:
    from shared.clients import Clients
    from shared.settings import Settings

MIN_SHARD_IMAGES, MAX_SHARD_IMAGES = 16, 512
# So many shards a node at least: enough that nodes finish together, few enough that starting one costs little.
SHARDS_PER_NODE = 2


@dataclass(frozen=True)
class Manifest:
    """What was written: `folder` in the work container, with a slash at its end, `images` in `shards`."""

    folder: str
    images: int
    shards: int


def write_manifest(clients: Clients, batch_id: str, labels: Sequence[str], images: Sequence[Image]) -> Manifest:
    """Write a batch's images as shards, in the order of their keys, and the labels of the model that scores them.

    The folder is named by the images, so that writing the same again writes the same, and anything else lies beside it.
    """
    ordered = sorted(images, key=lambda image: image.key)
    digest = hashlib.sha256("\n".join(image.key for image in ordered).encode()).hexdigest()[:8]
    folder = f"batches/{batch_id}/{digest}/"
    size = shard_size(len(ordered), clients.settings)
    container = clients.blobs.get_container_client(clients.settings.work_container)
    container.upload_blob(_labels_path(folder), json.dumps(labels).encode(), overwrite=True)
    for shard, start in enumerate(range(0, len(ordered), size)):
        rows = map(manifest_row, ordered[start : start + size])
        content = "".join(row.to_json() + "\n" for row in rows).encode()
        container.upload_blob(manifest_path(folder, shard), content, overwrite=True)
    return Manifest(folder, len(ordered), math.ceil(len(ordered) / size))


def batch_labels(clients: Clients, batch: Batch) -> tuple[str, ...]:
    """The labels of the model that a batch is scored with, in the model's order."""
    blob = clients.blobs.get_blob_client(clients.settings.work_container, _labels_path(batch.folder))
    return tuple(json.loads(blob.download_blob().readall()))


def shard_size(images: int, settings: Settings) -> int:
    """Images of one manifest shard (= one mini-batch), so that COMPUTE_MAX_NODES nodes have the same to do."""
    nodes = settings.compute_max_nodes
    shards_per_node = max(SHARDS_PER_NODE, math.ceil(images / (nodes * MAX_SHARD_IMAGES)))
    return max(math.ceil(images / (nodes * shards_per_node)), MIN_SHARD_IMAGES)


def manifest_row(image: Image) -> ManifestRow:
    """An image as the scorer is told of it."""
    return ManifestRow(
        key=image.key,
        image=image.path,
        container=image.source_container,
        path=image.source_path,
        etag=image.source_etag,
        attempts=image.attempts,
        error=image.error,
    )


def _labels_path(folder: str) -> str:
    return f"{folder}labels.json"
