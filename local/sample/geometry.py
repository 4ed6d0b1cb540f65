"""Outlines: closed and open polylines in an object's own coordinates, x to the right and y down, about -1..1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def points(*pairs: tuple[float, float]) -> Points:
    """(n, 2) from pairs."""
    return np.array(pairs, np.float64)


def ellipse(x: float, y: float, rx: float, ry: float, start: float = 0, end: float = 360, count: int = 56) -> Points:
    """An ellipse, or its arc from `start` to `end` degrees, clockwise as seen (y is down)."""
    angle = np.radians(np.linspace(start, end, count))
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def box(left: float, top: float, right: float, bottom: float, radius: float = 0) -> Points:
    """A rectangle, its corners rounded by `radius`."""
    if radius <= 0:
        return points((left, top), (right, top), (right, bottom), (left, bottom))
    corners = [
        (right - radius, top + radius, -90),
        (right - radius, bottom - radius, 0),
        (left + radius, bottom - radius, 90),
        (left + radius, top + radius, 180),
    ]
    return np.concatenate([ellipse(x, y, radius, radius, start, start + 90, 8) for x, y, start in corners])


def spline(knots: Points, *, closed: bool, steps: int = 10) -> Points:
    """A smooth curve through the knots (Catmull-Rom)."""
    padded = np.concatenate([knots[-1:], knots, knots[:2]] if closed else [knots[:1], knots, knots[-1:]])
    before, start, end, after = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0, 1, steps, endpoint=False)[:, None, None]
    curve = 0.5 * (
        2 * start
        + (end - before) * t
        + (2 * before - 5 * start + 4 * end - after) * t**2
        + (3 * start - before - 3 * end + after) * t**3
    )
    smooth = curve.transpose(1, 0, 2).reshape(-1, 2)
    return smooth if closed else np.concatenate([smooth, knots[-1:]])


def ribbon(middle: Points, widths: Sequence[float] | NDArray[np.float64]) -> Points:
    """The outline of a band along an open polyline, `widths` across at each of its points."""
    tangent = np.gradient(middle, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) * np.asarray(widths)[:, None] / 2
    return np.concatenate([middle + normal, (middle - normal)[::-1]])


def turn(outline: Points, degrees: float, around: tuple[float, float] = (0, 0)) -> Points:
    """`outline` rotated clockwise as seen."""
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned: Points = (outline - around) @ matrix + around
    return turned


@dataclass(frozen=True)
class Placement:
    """From an object's coordinates to a tile's pixels: turn, stretch, scale, move."""

    degrees: float
    scale: float
    stretch: float
    shear: float
    centre: tuple[float, float]

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(2, 2), to be applied from the right."""
        angle = np.radians(self.degrees)
        rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        deformation = np.array([[self.stretch, 0], [self.shear, 1 / self.stretch]])
        matrix: NDArray[np.float64] = self.scale * deformation @ rotation
        return matrix

    def to_pixels(self, outline: Points) -> Points:
        return outline @ self.matrix + self.centre

    def grid(self, size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Object coordinates x and y of the pixel centres of a square tile, each (size, size)."""
        inverse = np.linalg.inv(self.matrix).astype(np.float32)
        pixels = np.arange(size, dtype=np.float32) + np.float32(0.5)
        right, down = pixels[None, :] - np.float32(self.centre[0]), pixels[:, None] - np.float32(self.centre[1])
        return right * inverse[0, 0] + down * inverse[1, 0], right * inverse[0, 1] + down * inverse[1, 1]
