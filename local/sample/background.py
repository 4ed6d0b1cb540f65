"""What the objects lie on or stand before: wood, cloth, stone, tiles, plain walls, in any colour."""

from __future__ import annotations

import numpy as np
from PIL import Image

from local.sample.canvas import Plane
from local.sample.palette import any_color, mix


def background(rng: np.random.Generator, width: int, height: int) -> Plane:
    """(height, width, 3) in 0..1."""
    if rng.random() < 0.25:
        return _room(rng, width, height)
    return _surface(rng, width, height)


def clouds(rng: np.random.Generator, width: int, height: int, cells: int) -> Plane:
    """Smooth noise of mean 0, some `cells` bumps across; mostly within -1..1."""
    across = max(round(cells * width / max(width, height)), 2), max(round(cells * height / max(width, height)), 2)
    grain = rng.normal(0, 0.6, (across[1], across[0])).astype(np.float32)
    return np.asarray(Image.fromarray(grain).resize((width, height), Image.Resampling.BICUBIC), np.float32)


def _surface(rng: np.random.Generator, width: int, height: int) -> Plane:
    color, second = any_color(rng), any_color(rng)
    kind = (_wood, _cloth, _stone, _tiles, _plain, _carpet)[rng.integers(6)]
    brightness, share = kind(rng, width, height)
    base = np.asarray(color, np.float32)
    other = np.asarray(mix(color, second, rng.uniform(0.15, 0.6)), np.float32)
    blend = np.clip(share, 0, 1)[..., None]
    return np.clip((base * (1 - blend) + other * blend) * brightness[..., None], 0, 1)


def _room(rng: np.random.Generator, width: int, height: int) -> Plane:
    """A wall above a table."""
    scene = _surface(rng, width, height)
    wall = np.clip(np.asarray(any_color(rng), np.float32) * (1 + 0.05 * clouds(rng, width, height, 3)[..., None]), 0, 1)
    edge = round(height * rng.uniform(0.25, 0.6))
    scene[:edge] = wall[:edge]
    scene[edge : edge + 3] *= 0.6
    return scene


def _axes(rng: np.random.Generator, width: int, height: int) -> tuple[Plane, Plane]:
    """Pixel coordinates along and across a random direction."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.25)
    along = columns * np.cos(angle) + rows * np.sin(angle)
    across = -columns * np.sin(angle) + rows * np.cos(angle)
    return along.astype(np.float32), across.astype(np.float32)


def _wood(rng: np.random.Generator, width: int, height: int) -> tuple[Plane, Plane]:
    along, across = _axes(rng, width, height)
    plank = rng.uniform(45, 140)
    number = np.floor(across / plank)
    rings = np.sin(across * rng.uniform(0.15, 0.5) + 3 * clouds(rng, width, height, 4) + number * 5 + along * 0.01)
    seam = np.abs(across / plank - number - 0.5) > 0.5 - 1.2 / plank
    tone = 1 + 0.08 * np.sin(number * 12.9) - 0.5 * seam
    return (tone + 0.05 * rings + 0.03 * rng.standard_normal(tone.shape, np.float32)).astype(
        np.float32
    ), 0.5 + 0.4 * rings


def _cloth(rng: np.random.Generator, width: int, height: int) -> tuple[Plane, Plane]:
    along, across = _axes(rng, width, height)
    weave = np.sin(along * 2.1) * np.sin(across * 2.1)
    period = rng.uniform(30, 90)
    stripes = 1.0 * (np.sin(along * 2 * np.pi / period) > rng.uniform(-0.3, 0.6))
    if rng.random() < 0.6:
        stripes = (stripes + (np.sin(across * 2 * np.pi / period) > 0.2)) / 2
    folds = clouds(rng, width, height, 3)
    return (1 + 0.06 * weave + 0.12 * folds).astype(np.float32), stripes.astype(np.float32)


def _stone(rng: np.random.Generator, width: int, height: int) -> tuple[Plane, Plane]:
    rough = sum(clouds(rng, width, height, cells) / share for cells, share in ((4, 1), (12, 2), (40, 3)))
    veins = np.abs(np.sin(4 * np.asarray(rough)))
    return (1 + 0.06 * np.asarray(rough)).astype(np.float32), (veins**3).astype(np.float32)


def _tiles(rng: np.random.Generator, width: int, height: int) -> tuple[Plane, Plane]:
    along, across = _axes(rng, width, height)
    size = rng.uniform(50, 130)
    u, v = along / size, across / size
    joint = np.maximum(np.abs(u - np.floor(u) - 0.5), np.abs(v - np.floor(v) - 0.5)) > 0.5 - 1.8 / size
    chess = (np.floor(u) + np.floor(v)) % 2 if rng.random() < 0.5 else 0.2 * np.sin(np.floor(u) * 7 + np.floor(v) * 13)
    return (1 - 0.35 * joint + 0.04 * clouds(rng, width, height, 8)).astype(np.float32), np.asarray(chess, np.float32)


def _plain(rng: np.random.Generator, width: int, height: int) -> tuple[Plane, Plane]:
    soft = clouds(rng, width, height, 3)
    return (1 + 0.04 * soft).astype(np.float32), 0.3 + 0.3 * soft


def _carpet(rng: np.random.Generator, width: int, height: int) -> tuple[Plane, Plane]:
    tufts = clouds(rng, width, height, int(rng.integers(70, 160)))
    return (1 + 0.18 * tufts).astype(np.float32), 0.4 + 0.5 * clouds(rng, width, height, 30)
