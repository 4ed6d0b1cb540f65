"""An export's images as arrays: a million of them take some 50 MB, where as objects they would take a gigabyte.

Paths lie in a temporary file. An image is known by the first 64 bits of a hash of its location; that two of a million
images share one has a probability of 3e-8.
"""

from __future__ import annotations

import hashlib
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.locations import BlobLocation

Labels = tuple[str, ...]
Indices = NDArray[np.integer[Any]]

_SCANNED = 4096
_FLUSH_BYTES = 1_000_000
# So many images' labels are looked at at once: temporary arrays of all labels would be most of the memory.
_PIECE = 50_000


def image_digest(container: str, path: str) -> int:
    """The 64 bits by which an image is known, here and in what is stored about it."""
    return int.from_bytes(hashlib.blake2b(f"{container}/{path}".encode(), digest_size=8).digest(), "little")


def gathered(starts: Indices, values: NDArray[Any], chosen: Indices) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """The values of chosen things, of which thing `i` has `values[starts[i] : starts[i + 1]]`: for each value which of
    the chosen has it, as a position in `chosen`, and the value.
    """
    begins = starts[chosen].astype(np.int64)
    counts = starts[1:][chosen].astype(np.int64) - begins
    owner = np.repeat(np.arange(len(chosen), dtype=np.int32), counts)
    ends = np.cumsum(counts)
    return owner, values[np.arange(len(owner)) + np.repeat(begins - (ends - counts), counts)]


class TemporaryBytes:
    """A temporary file, closed when nobody has it any more. It is written at its end, and read at random places."""

    def __init__(self) -> None:
        # Without a buffer of its own: what is written is collected here.
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed below
        weakref.finalize(self, self._file.close)
        self._pending = bytearray()
        self._written = 0

    def __len__(self) -> int:
        return self._written + len(self._pending)

    def append(self, content: bytes) -> None:
        self._pending += content
        if len(self._pending) >= _FLUSH_BYTES:
            self._flush()

    def read(self, offset: int, length: int) -> bytes:
        if self._pending:
            self._flush()
        self._file.seek(offset)
        return self._file.read(length)

    def _flush(self) -> None:
        self._file.seek(self._written)
        while self._pending:
            # Without a buffer, less may be written than was asked for.
            written = self._file.write(self._pending)
            self._written += written
            del self._pending[:written]


@dataclass
class Catalogue:
    """The images, sorted by digest; arrays have one item for each. `offsets` and `lengths` tell where `paths` has the
    path; sizes are in px, 0 if unknown. `label_starts` has one more item: image `i` has the labels (numbers in
    `labels`) `label_ids[label_starts[i] : label_starts[i + 1]]`, sorted.
    """

    digests: NDArray[np.uint64]
    offsets: NDArray[np.uint64]
    lengths: NDArray[np.uint32]
    container_ids: NDArray[np.uint16]
    widths: NDArray[np.uint32]
    heights: NDArray[np.uint32]
    label_starts: NDArray[np.int64]
    label_ids: NDArray[np.uint32]
    paths: TemporaryBytes
    containers: list[str]
    labels: list[str]

    def __len__(self) -> int:
        return len(self.digests)

    def location(self, index: int) -> BlobLocation:
        """Where one image is."""
        ((_, container, path),) = self.locations([index])
        return BlobLocation(container, path)

    def scan(self) -> Iterator[tuple[int, str, str]]:
        """Index, container and path of all images, in the order of the export: faster than by `locations`."""
        order = np.argsort(self.offsets).astype(np.int32)
        for first in range(0, len(order), _SCANNED):
            chunk = order[first : first + _SCANNED]
            offsets, lengths = self.offsets[chunk], self.lengths[chunk].tolist()
            start = int(offsets[0])
            block = self.paths.read(start, int(offsets[-1]) + lengths[-1] - start)
            begins = (offsets - np.uint64(start)).tolist()
            containers = self.container_ids[chunk].tolist()
            for index, begin, length, container in zip(chunk.tolist(), begins, lengths, containers, strict=True):
                yield index, self.containers[container], block[begin : begin + length].decode()

    def locations(self, indices: Sequence[int]) -> Iterator[tuple[int, str, str]]:
        """Index, container and path of images, in the order of `indices`."""
        for first in range(0, len(indices), _SCANNED):
            chunk = indices[first : first + _SCANNED]
            columns = (column[chunk].tolist() for column in (self.offsets, self.lengths, self.container_ids))
            for index, offset, length, container in zip(chunk, *columns, strict=True):
                yield index, self.containers[container], self.paths.read(offset, length).decode()

    def names(self, chosen: NDArray[np.bool_]) -> Iterator[str]:
        """Locations of the chosen images, in order of their paths if they are few."""
        indices = np.flatnonzero(chosen)
        found = (f"{container}/{path}" for _, container, path in self.locations(indices.tolist()))
        return iter(sorted(found)) if len(indices) <= 1000 else found

    def labels_of(self, index: int) -> Labels:
        start, end = self.label_starts[index], self.label_starts[index + 1]
        return tuple(self.labels[number] for number in self.label_ids[start:end].tolist())

    def label_pieces(self) -> Iterator[tuple[NDArray[np.int32], NDArray[np.uint32]]]:
        """All labels of all images, in pieces: for each the image, and the label's number."""
        for first in range(0, len(self), _PIECE):
            starts = self.label_starts[first : first + _PIECE + 1]
            images = np.arange(first, first + len(starts) - 1, dtype=np.int32)
            yield np.repeat(images, np.diff(starts)), self.label_ids[starts[0] : starts[-1]]

    def label_counts(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """How many of the chosen images have each label."""
        counts = np.zeros(len(self.labels), np.int64)
        for images, ids in self.label_pieces():
            counts += np.bincount(ids[chosen[images]], minlength=len(counts))
        return counts

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        """Forget all images but the chosen ones."""
        if chosen.all():
            return
        counts = np.diff(self.label_starts)
        self.label_ids = self.label_ids[np.repeat(chosen, counts)]
        self.label_starts = np.concatenate(([0], np.cumsum(counts[chosen])))
        for name in ("digests", "offsets", "lengths", "container_ids", "widths", "heights"):
            setattr(self, name, getattr(self, name)[chosen])

    def keep_labels(self, kept: NDArray[np.bool_]) -> None:
        """Forget all labels but the kept ones, whose numbers become consecutive."""
        if kept.all():
            return
        counts = np.zeros(len(self), np.int64)
        for images, ids in self.label_pieces():
            np.add.at(counts, images[kept[ids]], 1)
        stays = kept[self.label_ids]
        self.label_starts = np.concatenate(([0], np.cumsum(counts)))
        self.label_ids = (np.cumsum(kept) - 1).astype(np.uint32)[self.label_ids[stays]]
        self.labels = [label for label, stay in zip(self.labels, kept.tolist(), strict=True) if stay]
