"""An export's images as arrays: a million of them take some 80 MB, where as objects they would take a gigabyte.

Paths lie in a temporary file. An image is known by the first 64 bits of a hash of its location; that two of a million
images share one has a probability of 3e-8.
"""

from __future__ import annotations

import hashlib
import tempfile
import weakref
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from shared.locations import BlobLocation

Labels = tuple[str, ...]

_SCANNED = 4096


def image_digest(container: str, path: str) -> int:
    """The 64 bits by which an image is known, here and in what is stored about it."""
    return int.from_bytes(hashlib.blake2b(f"{container}/{path}".encode(), digest_size=8).digest(), "little")


class Paths:
    """A temporary file of paths, closed when nobody has it any more."""

    def __init__(self) -> None:
        # Without a buffer of its own: it is written in large pieces, and read at random places.
        self.file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed below
        weakref.finalize(self, self.file.close)

    def read(self, offset: int, length: int) -> bytes:
        self.file.seek(offset)
        return self.file.read(length)


class Catalogue:
    """The images, sorted by digest; arrays have one item for each. `label_starts` has one more: image `i` has the
    labels (numbers in `labels`) `label_ids[label_starts[i] : label_starts[i + 1]]`, sorted.
    """

    def __init__(
        self,
        rows: NDArray[np.void],
        paths: Paths,
        containers: list[str],
        labels: list[str],
        label_starts: NDArray[np.int64],
        label_ids: NDArray[np.uint32],
    ) -> None:
        self.rows = rows
        self.containers = containers
        self.labels = labels
        self.label_starts = label_starts
        self.label_ids = label_ids
        self._paths = paths

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def digests(self) -> NDArray[np.uint64]:
        return self.rows["digest"]

    def location(self, index: int) -> BlobLocation:
        """Where one image is."""
        row = self.rows[index]
        path = self._paths.read(int(row["offset"]), int(row["length"])).decode()
        return BlobLocation(self.containers[row["container"]], path)

    def scan(self) -> Iterator[tuple[int, str, str]]:
        """Index, container and path of all images, in the order of the export: faster than by `locations`."""
        order = np.argsort(self.rows["offset"]).astype(np.int32)
        for first in range(0, len(order), _SCANNED):
            chunk = order[first : first + _SCANNED]
            part = self.rows[chunk]
            start = int(part["offset"][0])
            block = self._paths.read(start, int(part["offset"][-1]) + int(part["length"][-1]) - start)
            begins = (part["offset"] - np.uint64(start)).tolist()
            lengths, containers = part["length"].tolist(), part["container"].tolist()
            for index, begin, length, container in zip(chunk.tolist(), begins, lengths, containers, strict=True):
                yield index, self.containers[container], block[begin : begin + length].decode()

    def locations(self, indices: Sequence[int]) -> Iterator[tuple[int, str, str]]:
        """Index, container and path of images, in the order of `indices`."""
        for first in range(0, len(indices), _SCANNED):
            chunk = indices[first : first + _SCANNED]
            part = self.rows[chunk]
            for index, offset, length, container in zip(
                chunk, part["offset"].tolist(), part["length"].tolist(), part["container"].tolist(), strict=True
            ):
                yield index, self.containers[container], self._paths.read(offset, length).decode()

    def names(self, chosen: NDArray[np.bool_]) -> Iterator[str]:
        """Locations of the chosen images, in order of their paths if they are few."""
        indices = np.flatnonzero(chosen)
        found = (f"{container}/{path}" for _, container, path in self.locations(indices.tolist()))
        return iter(sorted(found)) if len(indices) <= 1000 else found

    def labels_of(self, index: int) -> Labels:
        start, end = self.label_starts[index], self.label_starts[index + 1]
        return tuple(self.labels[number] for number in self.label_ids[start:end].tolist())

    def image_of_label(self) -> NDArray[np.int32]:
        """For each item of `label_ids` the image."""
        return np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.label_starts))

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        """Forget all images but the chosen ones."""
        if chosen.all():
            return
        counts = np.diff(self.label_starts)
        self.label_ids = self.label_ids[np.repeat(chosen, counts)]
        self.label_starts = np.concatenate(([0], np.cumsum(counts[chosen])))
        self.rows = self.rows[chosen]

    def keep_labels(self, kept: NDArray[np.bool_]) -> None:
        """Forget all labels but the kept ones, whose numbers become consecutive."""
        stays = kept[self.label_ids]
        counts = np.bincount(self.image_of_label()[stays], minlength=len(self))
        self.label_starts = np.concatenate(([0], np.cumsum(counts)))
        self.label_ids = (np.cumsum(kept) - 1).astype(np.uint32)[self.label_ids[stays]]
        self.labels = [label for label, stay in zip(self.labels, kept.tolist(), strict=True) if stay]
