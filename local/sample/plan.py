"""Decide, before anything is drawn, which objects each image shows and which split it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from local.sample.objects import LABELS

LABELLED, NEW = "labelled", "new"
NEW_SHARE = 0.3
# Enough for every label to turn up in the smaller split.
MIN_COUNT = 40
_OBJECTS = (1, 2, 3, 4)
_OBJECTS_SHARE = (0.3, 0.38, 0.22, 0.1)


@dataclass(frozen=True)
class PlannedImage:
    """`objects` are painted in this order; a label may come twice. `number` counts from 1."""

    number: int
    objects: tuple[str, ...]
    split: str

    @property
    def labels(self) -> list[str]:
        return sorted(set(self.objects))


def plan_images(count: int, seed: int) -> list[PlannedImage]:
    """`count` images in a random order of the two splits. Raises ValueError for fewer than MIN_COUNT."""
    if count < MIN_COUNT:
        raise ValueError(f"{count} images are too few for every label to be in both splits; {MIN_COUNT} are enough")
    rng = np.random.default_rng([seed, 0])
    new = round(count * NEW_SHARE)
    images = [(objects, NEW) for objects in _objects(rng, new)]
    images += [(objects, LABELLED) for objects in _objects(rng, count - new)]
    order = rng.permutation(count)
    return [PlannedImage(number, *images[index]) for number, index in enumerate(order, 1)]


def _objects(rng: np.random.Generator, count: int) -> Sequence[tuple[str, ...]]:
    """The objects of `count` images; the labels that were used least come first."""
    used = dict.fromkeys(LABELS, 0)
    images: list[tuple[str, ...]] = []
    for _ in range(count):
        wanted = int(rng.choice(_OBJECTS, p=_OBJECTS_SHARE))
        # A little noise, or the labels would come in rounds that fit together too well.
        ranked = sorted(LABELS, key=lambda label: used[label] + rng.uniform(0, 2.5))
        chosen = ranked[:wanted]
        if wanted > 1 and rng.random() < 0.12:
            chosen[-1] = chosen[0]
        for label in set(chosen):
            used[label] += 1
        rng.shuffle(chosen)
        images.append(tuple(chosen))
    return images
