"""The objects: each a function that paints one variant, drawn by `rng`, into the unit box of a canvas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from local.sample.canvas import Canvas
from local.sample.objects.fruit import apple, banana
from local.sample.objects.household import book, clock, cup
from local.sample.objects.tools import key, scissors, umbrella

Painter = Callable[[Canvas, np.random.Generator], None]


@dataclass(frozen=True)
class Kind:
    """How to paint an object, and how far from upright it is seen, in degrees."""

    paint: Painter
    tilt: float


KINDS: Mapping[str, Kind] = {
    "apple": Kind(apple, 70),
    "banana": Kind(banana, 180),
    "book": Kind(book, 50),
    "clock": Kind(clock, 30),
    "cup": Kind(cup, 25),
    "key": Kind(key, 180),
    "scissors": Kind(scissors, 180),
    "umbrella": Kind(umbrella, 55),
}
LABELS = tuple(sorted(KINDS))
