"""What storage says of an export's images, and what they look like: arrays with one item an image."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from shared.datasets.catalogue import Catalogue, Indices
from shared.datasets.findings import Findings
from shared.datasets.options import DataSetOptions

# Of `Facts.state`.
UNREAD, READ, UNUSABLE = range(3)
# Of `Facts.exists`.
UNCHECKED, THERE, MISSING = range(3)
# Of `Facts.format`.
IMAGE_FORMATS = ("", "JPEG", "MPO", "PNG", "BMP", "TIFF")

_Item = TypeVar("_Item", bound="np.generic[Any]")


class Facts:
    """`size` in bytes, -1 if unknown; `etag` and `md5` as 64 bits, 0 if unknown; `bits`, `colour` and `format` as in
    `Signature`, for images whose `state` is READ; `problems`: why images are UNUSABLE, as far as it is known.
    """

    def __init__(self, count: int) -> None:
        self.exists = _zeros(count, np.uint8)
        self.size = _zeros(count, np.int64)
        self.size[:] = -1
        self.etag = _zeros(count, np.uint64)
        self.md5 = _zeros(count, np.uint64)
        self.state = _zeros(count, np.uint8)
        self.bits = _zeros(count, np.uint64)
        self.colour = _zeros((count, 3), np.uint8)
        self.format = _zeros(count, np.uint8)
        self.problems: dict[int, str] = {}

    def problem(self, index: int) -> str:
        """Why an image is UNUSABLE, in words that follow its name."""
        return self.problems.get(index, "can't be read as JPEG, PNG, BMP or TIFF")

    def forget_files(self) -> None:
        """Give back the memory of what is no longer needed when the looks are known: sizes in bytes, ETags and MD5s."""
        self.size = np.zeros(0, np.int64)
        self.etag = self.md5 = np.zeros(0, np.uint64)

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        """Forget all images but the chosen ones, and all problems."""
        self.problems.clear()
        if chosen.all():
            return
        for name, values in vars(self).items():
            if name != "problems":
                setattr(self, name, values[chosen])


def _zeros(shape: int | tuple[int, int], kind: type[_Item]) -> NDArray[_Item]:
    """An array in memory of its own. In the heap, which arrays of the moment leave full of holes, those that last would
    let it grow by half.
    """
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    return np.ndarray(shape, kind, mmap.mmap(-1, max(size, 1)))


@dataclass
class Remembered:
    """Sides (of SPLITS) that images had in earlier data sets, by digest; sorted. `version` tells whether it changed."""

    digests: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    sides: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    version: str = ""

    def of(self, digests: NDArray[np.uint64]) -> NDArray[np.int8]:
        """The sides of images, -1 for those that were in no data set."""
        found = np.full(len(digests), -1, np.int8)
        if len(self.digests):
            at = np.minimum(np.searchsorted(self.digests, digests), len(self.digests) - 1)
            known = self.digests[at] == digests
            found[known] = self.sides[at][known]
        return found

    def with_sides(self, digests: NDArray[np.uint64], sides: NDArray[np.uint8]) -> Remembered:
        """The same with newer sides added, whose digests are sorted."""
        if not len(self.digests):
            return Remembered(digests, sides, self.version)
        old = ~np.isin(self.digests, digests)
        every = np.concatenate((self.digests[old], digests))
        order = np.argsort(every, kind="stable")
        return Remembered(every[order], np.concatenate((self.sides[old], sides))[order], self.version)


class ImageStore(Protocol):
    """Where the images are, and what is kept about them from one export to the next."""

    def look_up(self, catalogue: Catalogue, facts: Facts, findings: Findings) -> None:
        """Fill in `exists`, and `size`, `etag` and `md5` of what is there."""

    def read(self, catalogue: Catalogue, facts: Facts, chosen: Indices, limit: int) -> None:
        """Fill in what the chosen images look like, and in the catalogue their sizes in px; of those that are not
        known from an earlier export at most `limit` are downloaded.
        """

    def recall(self, options: DataSetOptions) -> Remembered:
        """The sides of earlier data sets of the same seed and ratio."""

    def remember(self, options: DataSetOptions, remembered: Remembered) -> bool:
        """Keep sides; False, and no effect, when they changed since they were recalled."""
