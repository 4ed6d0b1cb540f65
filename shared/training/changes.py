"""How much of a data set is new since another one: which labels each image has, as two hashes of 64 bits an image."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shared.datasets.catalogue import image_digest

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient

    from shared.datasets import DataSet

_TYPE = np.dtype([("image", "<u8"), ("labels", "<u8")])
Labelling = NDArray[np.void]


def labelling_of(data_set: DataSet) -> Labelling:
    """Image and labels of all splits, sorted by image."""
    hashes: dict[tuple[str, ...], int] = {}
    rows = np.zeros(sum(len(examples) for examples in data_set.splits.values()), _TYPE)
    number = 0
    for examples in data_set.splits.values():
        for example in examples:
            labels = hashes.get(example.labels)
            if labels is None:
                labels = hashes[example.labels] = _digest("\n".join(example.labels))
            rows[number] = (image_digest(example.location.container, example.location.path), labels)
            number += 1
    rows.sort(order="image")
    return rows


def count_changes(before: Labelling, after: Labelling) -> int:
    """Images that are in one of them alone, or have other labels."""
    common, first, second = np.intersect1d(before["image"], after["image"], return_indices=True)
    relabelled = int((before["labels"][first] != after["labels"][second]).sum())
    return len(before) + len(after) - 2 * len(common) + relabelled


def save_labelling(blobs: BlobServiceClient, container: str, data_set: str, labelling: Labelling) -> None:
    """Keep the labelling of a data set, by its id."""
    buffer = io.BytesIO()
    np.save(buffer, labelling, allow_pickle=False)
    blobs.get_blob_client(container, _path(data_set)).upload_blob(buffer.getvalue(), overwrite=True)


def load_labelling(blobs: BlobServiceClient, container: str, data_set: str) -> Labelling | None:
    """What was kept, or None."""
    from azure.core.exceptions import ResourceNotFoundError

    try:
        content = blobs.get_blob_client(container, _path(data_set)).download_blob().readall()
    except ResourceNotFoundError:
        return None
    labelling: Labelling = np.load(io.BytesIO(content), allow_pickle=False)
    return labelling if labelling.dtype == _TYPE else None


def _path(data_set: str) -> str:
    return f"datasets/{data_set}/labelling.npy"


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
