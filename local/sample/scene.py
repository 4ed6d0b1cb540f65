"""Compose one picture: a background, things in the way, the objects with their shadows, and what a camera adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from local.sample import effects
from local.sample.background import background
from local.sample.canvas import Canvas, Plane
from local.sample.distractors import distractor
from local.sample.geometry import Placement
from local.sample.objects import KINDS

# Radius of an object as a share of the picture's short side, by how many objects there are.
RADII = {1: (0.24, 0.4), 2: (0.2, 0.3), 3: (0.17, 0.24), 4: (0.15, 0.21)}
# Centres of two objects keep this share of their radii's sum apart: less than 1, so that they may overlap a little.
SPACING = 0.82
# Side of an object's tile in radii: its unit box, turned and stretched, and what stands out of it.
TILE = 2.45


@dataclass(frozen=True)
class Spot:
    """Where an object lies: its centre and radius in pixels."""

    x: float
    y: float
    radius: float


def draw_scene(rng: np.random.Generator, labels: Sequence[str]) -> Image.Image:
    """A picture, 320 to 440 px on its sides, that shows one object for each of `labels` (1 to 4 of them)."""
    width, height = _size(rng)
    angle = rng.uniform(0, 2 * np.pi)
    light = (float(np.cos(angle)), float(np.sin(angle)))
    scene = background(rng, width, height)
    for _ in range(rng.integers(1, 5)):
        _add(rng, scene, None, _anywhere(rng, width, height), light)
    for label, spot in zip(labels, place(rng, len(labels), width, height), strict=True):
        _add(rng, scene, label, spot, light)
    if rng.random() < 0.3:
        _add(rng, scene, None, _at_the_edge(rng, width, height), light)
    return effects.camera(rng, effects.lighting(rng, scene, light))


def place(rng: np.random.Generator, count: int, width: int, height: int) -> list[Spot]:
    """Spots for `count` objects that hardly overlap, within the square that a centre crop keeps.

    When no free place turns up, the objects shrink a little and are placed anew.
    """
    short = min(width, height)
    low, high = RADII[count]
    reach = 0.46 * short
    shrink = 1.0
    while True:
        spots: list[Spot] = []
        for _ in range(30 * count):
            radius = rng.uniform(low, high) * short * shrink
            room = reach - radius * 0.85
            x, y = width / 2 + rng.uniform(-room, room), height / 2 + rng.uniform(-room, room)
            if all(np.hypot(x - other.x, y - other.y) > SPACING * (radius + other.radius) for other in spots):
                spots.append(Spot(x, y, radius))
                if len(spots) == count:
                    return spots
        shrink *= 0.93


def _size(rng: np.random.Generator) -> tuple[int, int]:
    long = int(rng.integers(340, 441))
    short = max(round(long * rng.choice([1, 0.8, 0.75])), 320)
    return (long, short) if rng.random() < 0.5 else (short, long)


def _anywhere(rng: np.random.Generator, width: int, height: int) -> Spot:
    return Spot(rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.06, 0.2) * min(width, height))


def _at_the_edge(rng: np.random.Generator, width: int, height: int) -> Spot:
    """A spot on a random side of the picture, partly outside and before everything else."""
    side = rng.integers(4)
    along = rng.uniform(0.1, 0.9)
    x, y = [(along * width, 0), (along * width, height), (0, along * height), (width, along * height)][side]
    return Spot(x, y, rng.uniform(0.1, 0.22) * min(width, height))


def _add(rng: np.random.Generator, scene: Plane, label: str | None, spot: Spot, light: tuple[float, float]) -> None:
    """Paint an object (or, without a label, a thing in the way) with its shadow into the scene."""
    tilt = KINDS[label].tilt if label else 180
    size = int(spot.radius * TILE) + 8
    corner = round(spot.x - size / 2), round(spot.y - size / 2)
    placement = Placement(
        degrees=rng.uniform(-tilt, tilt),
        scale=spot.radius * 0.98,
        stretch=rng.uniform(0.93, 1.07),
        shear=rng.normal(0, 0.06),
        centre=(spot.x - corner[0], spot.y - corner[1]),
    )
    canvas = Canvas(size, placement, light)
    if label:
        KINDS[label].paint(canvas, rng)
    else:
        distractor(canvas, rng)
    depth = rng.uniform(0.03, 0.14) * spot.radius
    shadow = _shadow(canvas.alpha, depth * rng.uniform(0.5, 1.2)) * np.float32(rng.uniform(0.35, 0.7))
    moved = round(corner[0] - light[0] * depth), round(corner[1] - light[1] * depth)
    _blend(scene, None, shadow, moved)
    _blend(scene, canvas.rgb, canvas.alpha, corner)


def _shadow(alpha: Plane, softness: float) -> Plane:
    image = Image.fromarray((alpha * 255).astype(np.uint8))
    small = image.reduce(2).filter(ImageFilter.GaussianBlur(max(softness, 1) / 2))
    return np.asarray(small.resize(image.size, Image.Resampling.BILINEAR), np.float32) * np.float32(1 / 255)


def _blend(scene: Plane, color: Plane | None, alpha: Plane, corner: tuple[int, int]) -> None:
    """Lay a tile, black without `color`, over the scene, its upper left pixel at `corner`; what is outside is cut."""
    height, width = scene.shape[:2]
    left, top = corner
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + alpha.shape[1], width), min(top + alpha.shape[0], height)
    if x0 >= x1 or y0 >= y1:
        return
    inside = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
    share = alpha[inside][..., None]
    part = scene[y0:y1, x0:x1]
    if color is None:
        part *= 1 - share
    else:
        part += (color[inside] - part) * share
