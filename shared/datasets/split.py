"""Which images are for training, validation and test: by a hash of what they are, and for good."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from shared.datasets.catalogue import Catalogue, gathered
from shared.datasets.options import SPLITS, TEST, TRAIN, VALIDATION

Sides = NDArray[np.uint8]

# So many groups' labels are looked at at once.
_PIECE = 50_000


def positions_of(catalogue: Catalogue, seed: int) -> NDArray[np.float64]:
    """For each image a number from 0 to 1 that depends on its location and the seed alone."""
    positions = np.zeros(len(catalogue), np.float64)
    for index, container, path in catalogue.scan():
        digest = hashlib.sha256(f"{seed}|{container}/{path}".encode()).digest()
        positions[index] = int.from_bytes(digest[:8], "big") / 2**64
    return positions


def assign_sides(
    positions: NDArray[np.float64],
    roots: NDArray[np.int32],
    earlier: NDArray[np.int8],
    label_starts: NDArray[np.int64],
    label_ids: NDArray[np.uint32],
    train_ratio: float,
) -> tuple[Sides, int]:
    """For each image its side (of SPLITS), and how many images were moved to another one than their hash says.

    A group (`roots` names its first image) is on one side: the one that is held out furthest of those that its images
    had in earlier data sets (`earlier`, -1 for none), or else where its first image's position is: train below
    `train_ratio`, then half and half validation and test. So an image that was once for test is so for ever, whatever
    joins it later; one for training may become one for test, when a new image shows that it looks like a test image.

    Then each label gets an example for training, test and validation, in this order and as far as its groups suffice,
    and no side stays empty. Only images that are in no earlier data set move for that; but an empty side may also take
    earlier ones, unless they were more held out.
    """
    is_root = roots == np.arange(len(roots), dtype=np.int32)
    groups = np.flatnonzero(is_root).astype(np.int32)
    group_of = (np.cumsum(is_root, dtype=np.int32) - 1)[roots]
    prior = np.full(len(groups), -1, np.int8)
    np.maximum.at(prior, group_of, earlier)
    place = positions[groups]
    own = np.searchsorted([train_ratio, train_ratio + (1 - train_ratio) / 2], place, side="right").astype(np.int8)
    plan = _Plan(np.where(prior >= 0, prior, own).astype(np.uint8), prior, place, group_of, train_ratio)
    del own, groups
    before = plan.side.copy()
    plan.count_labels(label_starts, label_ids)
    for label in np.argsort(plan.label_counts.sum(axis=1), kind="stable").tolist():
        for needy in (TRAIN, TEST, VALIDATION):
            if not plan.label_counts[label, needy]:
                plan.give_label(label, needy)
    for needy in (VALIDATION, TEST, TRAIN):
        if not (plan.side == needy).any():
            plan.give_any(needy)
    return plan.side[group_of], int(plan.sizes[plan.side != before].sum())


def _bounds(counts: NDArray[np.int32]) -> NDArray[np.int32]:
    """Where the first, second and so on of things that lie one after the other begin, and where the last one ends."""
    bounds = np.zeros(len(counts) + 1, np.int32)
    np.cumsum(counts, out=bounds[1:])
    return bounds


class _Plan:
    """Sides by group, while they are changed."""

    def __init__(
        self,
        side: Sides,
        prior: NDArray[np.int8],
        place: NDArray[np.float64],
        group_of: NDArray[np.int32],
        train_ratio: float,
    ) -> None:
        self.side = side
        self.sizes = np.bincount(group_of, minlength=len(side)).astype(np.int32)
        self._prior = prior
        self._group_of = group_of
        self._edges = (train_ratio, train_ratio + (1 - train_ratio) / 2)
        self._place = place
        self.label_counts = np.zeros((0, len(SPLITS)), np.int64)

    def count_labels(self, label_starts: NDArray[np.int64], label_ids: NDArray[np.uint32]) -> None:
        """Set up how many groups of each side have each label; labels of images are as in Catalogue."""
        labels = int(np.max(label_ids)) + 1 if len(label_ids) else 0
        order = np.argsort(self._group_of, kind="stable").astype(np.int32)
        bounds = _bounds(self.sizes)
        counts = np.zeros(len(self.side), np.int32)
        self.label_counts = np.zeros((labels, len(SPLITS)), np.int64)
        found = []
        for first in range(0, len(self.side), _PIECE):
            last = min(first + _PIECE, len(self.side))
            images = order[bounds[first] : bounds[last]]
            owner, ids = gathered(label_starts, label_ids, images)
            keys = np.unique((self._group_of[images][owner] - first).astype(np.int64) * labels + ids)
            group, ids = keys // max(labels, 1), (keys % max(labels, 1)).astype(np.int32)
            counts[first:last] = np.bincount(group, minlength=last - first)
            np.add.at(self.label_counts, (ids, self.side[first + group]), 1)
            found.append(ids)
        del order, bounds
        self._labels = np.concatenate(found) if found else np.zeros(0, np.int32)
        self._starts = _bounds(counts)

    def give_label(self, label: int, needy: int) -> None:
        """Move the smallest free group with a label to a side that has none with it."""
        having = np.searchsorted(self._starts, np.flatnonzero(self._labels == label), side="right") - 1
        free = having[self._prior[having] < 0]
        for group in sorted(free.tolist(), key=self._rank):
            donor = int(self.side[group])
            if needy == TRAIN or self._can_spare(group, donor):
                self._move(group, needy)
                return

    def give_any(self, needy: int) -> None:
        """Move a group to an empty side: from the largest side, the one nearest to the needy one."""
        sizes = np.bincount(self.side, weights=self.sizes, minlength=len(SPLITS))
        donors = sorted((side for side in range(len(SPLITS)) if side != needy), key=lambda side: -sizes[side])
        for donor in donors:
            may = np.flatnonzero((self.side == donor) & (self._prior <= needy))
            if len(may) and (self.side == donor).sum() > 1:
                target = (0.0, 0.0, 1.0)[needy] if needy != VALIDATION else (1.0 if donor == TRAIN else 0.0)
                spare = [group for group in may.tolist() if self._can_spare(group, donor)]
                self._move(min(spare or may.tolist(), key=lambda group: abs(self._place[group] - target)), needy)
                return

    def _rank(self, group: int) -> tuple[int, float, int]:
        place = float(self._place[group])
        return int(self.sizes[group]), min(abs(place - edge) for edge in self._edges), group

    def _can_spare(self, group: int, donor: int) -> bool:
        """Whether each label of a group has another one on its side."""
        labels = self._labels[self._starts[group] : self._starts[group + 1]]
        return bool((self.label_counts[labels, donor] > 1).all())

    def _move(self, group: int, needy: int) -> None:
        labels = self._labels[self._starts[group] : self._starts[group + 1]]
        self.label_counts[labels, self.side[group]] -= 1
        self.label_counts[labels, needy] += 1
        self.side[group] = needy
