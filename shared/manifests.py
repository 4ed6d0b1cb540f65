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

if TYPE_CHECKING:
    from shared.clients import Clients
    from shared.ledger import Batch, Image
    from shared.settings import Settings

MIN_SHARD_IMAGES, MAX_SHARD_IMAGES = 16, 512
# So many shards a node at least: enough that nodes finish together, few enough that starting one costs little.
SHARDS_PER_NODE = 2


@dataclass(frozen=True)
class ManifestRow:
    """One image of a batch: its ledger `key`, the blob that arrived, and the blob to be scored.

    With an `error` the image was rejected at its arrival, and is not read.
    """

    key: str
    image: str
    container: str
    path: str
    etag: str
    attempts: int = 0
    error: str = ""

    def to_json(self) -> str:
        return json.dumps(self.__dict__)


@dataclass(frozen=True)
class Manifest:
    """What was written: `folder` in the work container, with a slash at its end, `images` in `shards`."""

    folder: str
    images: int
    shards: int


def read_lines(content: str) -> list[str]:
    """The lines of JSON Lines. Not `splitlines`, which also breaks at characters that JSON strings may contain."""
    return [line for line in content.split("\n") if line]


def read_manifest(content: str) -> list[ManifestRow]:
    """The rows of a manifest shard."""
    return [ManifestRow(**json.loads(line)) for line in read_lines(content)]


def manifest_folder(folder: str) -> str:
    """The folder of a batch's manifest shards below the batch's own, with a slash at its end."""
    return f"{folder}manifest/"


def manifest_path(folder: str, shard: int) -> str:
    """A manifest shard's blob in the work container."""
    return f"{manifest_folder(folder)}shard-{shard:05d}.jsonl"


def part_path(folder: str, shard: int | str) -> str:
    """The blob of a shard's outcomes in the work container. `shard` is its number, or its manifest file's stem."""
    stem = shard if isinstance(shard, str) else f"shard-{shard:05d}"
    return f"{folder}parts/{stem}.jsonl"


def write_manifest(clients: Clients, batch_id: str, labels: Sequence[str], images: Sequence[Image]) -> Manifest:
    """Write a batch's images as shards, in the order of their keys, and the labels of the model that scores them.

    The folder is named by the images and by how many a shard has, which settings say: writing the same again writes the
    same, and anything else lies beside it.
    """
    ordered = sorted(images, key=lambda image: image.key)
    size = shard_size(len(ordered), clients.settings)
    named = "\n".join([str(size), *(image.key for image in ordered)])
    folder = f"batches/{batch_id}/{hashlib.sha256(named.encode()).hexdigest()[:8]}/"
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
