"""A data set: an export's images that are trained on, each on its side, with their labels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, overload

import numpy as np

from shared.datasets.options import SPLITS
from shared.locations import BlobLocation, datastore_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shared.datasets.catalogue import Catalogue


@dataclass(frozen=True)
class Example:
    """An image of the data account with its labels (sorted). Sizes in px, 0 if unknown."""

    location: BlobLocation
    labels: tuple[str, ...]
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class DataSet:
    """What one label export is trained on. `id` is a hash of all that it consists of."""

    id: str
    splits: Mapping[str, Sequence[Example]]
    labels: tuple[str, ...]
    left_out: Mapping[str, int]
    warnings: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Its folder in the work container."""
        return f"datasets/{self.id}"

    def uri(self, work_container: str) -> str:
        """Its folder as a datastore URI, with a slash at its end."""
        return f"azureml://datastores/{datastore_name(work_container)}/paths/{self.folder}/"


class Examples(Sequence[Example]):
    """Images of a catalogue, made one by one where they are asked for."""

    def __init__(self, catalogue: Catalogue, indices: NDArray[np.int64]) -> None:
        self._catalogue = catalogue
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[Example]:
        for index, container, path in self._catalogue.locations(self._indices.tolist()):
            yield self._example(index, BlobLocation(container, path))

    @overload
    def __getitem__(self, position: int) -> Example: ...

    @overload
    def __getitem__(self, position: slice) -> Examples: ...

    def __getitem__(self, position: int | slice) -> Example | Examples:
        if isinstance(position, slice):
            return Examples(self._catalogue, self._indices[position])
        index = int(self._indices[position])
        return self._example(index, self._catalogue.location(index))

    def _example(self, index: int, location: BlobLocation) -> Example:
        width, height = int(self._catalogue.widths[index]), int(self._catalogue.heights[index])
        return Example(location, self._catalogue.labels_of(index), width, height)


def identity(catalogue: Catalogue, chosen: Mapping[str, NDArray[np.int64]]) -> str:
    """A hash of which images with which labels are on which side, whatever the order of the export's rows."""
    digest = hashlib.sha256(json.dumps(catalogue.labels).encode())
    counts = np.diff(catalogue.label_starts)
    for name in SPLITS:
        indices = chosen[name]
        here = np.zeros(len(catalogue), np.bool_)
        here[indices] = True
        digest.update(f"|{name}|{len(indices)}|".encode())
        ids_here = (ids[here[images]] for images, ids in catalogue.label_pieces())
        for part in chain((catalogue.digests[here], counts[here]), ids_here):
            digest.update(part.astype("<u8").tobytes())
    return digest.hexdigest()[:16]
