"""A tile on which one object is painted: antialiased shapes, colour, and light that falls on their edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from local.sample.geometry import Placement, Points
from local.sample.palette import Color

OVERSAMPLE = 3

Plane = NDArray[np.float32]


class Canvas:
    """`rgb` (h, w, 3) in 0..1, not premultiplied, and `alpha` (h, w) in 0..1.

    `x` and `y` are the pixels' object coordinates, for gradients; `light` points to where the light comes from.
    """

    def __init__(self, size: int, placement: Placement, light: tuple[float, float]) -> None:
        self.size, self.placement, self.light = size, placement, light
        self.rgb = np.zeros((size, size, 3), np.float32)
        self.alpha = np.zeros((size, size), np.float32)
        self.x, self.y = placement.grid(size)

    def area(self, outline: Points, *holes: Points) -> Plane:
        """Coverage of a closed outline less its holes, 0..1."""
        large = Image.new("L", (self.size * OVERSAMPLE, self.size * OVERSAMPLE))
        draw = ImageDraw.Draw(large)
        draw.polygon(self._large(outline), fill=255)
        for hole in holes:
            draw.polygon(self._large(hole), fill=0)
        return self._small(large)

    def line(self, path: Points, width: float) -> Plane:
        """Coverage of a stroke with round ends, `width` in object coordinates."""
        large = Image.new("L", (self.size * OVERSAMPLE, self.size * OVERSAMPLE))
        draw = ImageDraw.Draw(large)
        pixels = max(width * self.placement.scale * OVERSAMPLE, OVERSAMPLE)
        corners = self._large(path)
        draw.line(corners, fill=255, width=max(round(pixels), 1), joint="curve")
        for x, y in (corners[0], corners[-1]):
            draw.ellipse((x - pixels / 2, y - pixels / 2, x + pixels / 2, y + pixels / 2), fill=255)
        return self._small(large)

    def paint(self, mask: Plane, color: Color | Plane, shade: NDArray[np.floating] | float = 1.0) -> None:
        """Lay `color`, (3,) or (h, w, 3), times `shade` over what is there, where `mask` is."""
        window = _window(mask)
        cover, below = mask[window], self.alpha[window]
        paint = _cut(np.asarray(color, np.float32), window) * _cut(np.asarray(shade, np.float32), window)[..., None]
        total = cover + below * (1 - cover)
        part = (cover / np.maximum(total, 1e-6))[..., None]
        pixels = self.rgb[window]
        pixels += (np.clip(paint, 0, 1) - pixels) * part
        self.alpha[window] = total

    def relief(self, mask: Plane, radius: float = 0.12, strength: float = 1.0) -> Plane:
        """Brightness around 1 of a shape that bulges: its edges catch the light or lie in the dark.

        `radius`, in object coordinates, is how far in from the edge the surface bends.
        """
        bend = radius * self.placement.scale
        window = _window(mask, margin=int(2 * bend) + 1)
        # Blurred in 8 bits: a wide, flat slope would show steps, so wide ones are worked out on fewer pixels.
        coarse = max(round(bend / 4), 1)
        height, reach = _blur(mask[window], coarse, bend / coarse), np.float32(bend / coarse)
        down, right = np.gradient(height)
        slope = np.asarray((right * self.light[0] + down * self.light[1]) * reach, np.float32)
        brightness = np.ones_like(mask)
        brightness[window] -= np.float32(strength) * np.clip(_enlarged(slope, coarse, mask[window].shape), -0.5, 0.5)
        return brightness

    def glow(self, x: float, y: float, radius: float) -> Plane:
        """A soft round spot, 1 at its centre."""
        distance = ((self.x - np.float32(x)) ** 2 + (self.y - np.float32(y)) ** 2) / np.float32(radius**2)
        return np.asarray(np.exp(-distance), np.float32)

    def highlight(self, mask: Plane, spot: Plane, amount: float) -> None:
        """Shift what is painted towards white by `spot` times `amount`, inside `mask`."""
        share = np.clip(mask * spot * amount, 0, 1)[..., None]
        self.rgb = self.rgb * (1 - share) + share

    def _large(self, outline: Points) -> list[tuple[float, float]]:
        return [(float(x), float(y)) for x, y in self.placement.to_pixels(outline) * OVERSAMPLE]

    def _small(self, large: Image.Image) -> Plane:
        return np.asarray(large.reduce(OVERSAMPLE), np.float32) * np.float32(1 / 255)


def _window(mask: Plane, margin: int = 0) -> tuple[slice, slice]:
    """The rows and columns where `mask` is not zero, and some more; most shapes are small on their tile."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return slice(0, 2), slice(0, 2)
    return _span(rows, margin), _span(columns, margin)


def _span(places: NDArray[np.intp], margin: int) -> slice:
    return slice(max(int(places[0]) - margin, 0), int(places[-1]) + 1 + margin)


def _cut(values: Plane, window: tuple[slice, slice]) -> Plane:
    """Values given for every pixel are cut to the window; one value, or one colour, is left as it is."""
    return values[window] if values.ndim >= 2 else values


def _blur(plane: Plane, coarse: int, pixels: float) -> Plane:
    """The plane with `coarse` times fewer rows and columns (two at least), and then blurred."""
    image = Image.fromarray((plane * 255).astype(np.uint8))
    image = image.resize([max(-(-side // coarse), 2) for side in image.size], Image.Resampling.BOX)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(max(pixels, 0.5))), np.float32) * np.float32(1 / 255)


def _enlarged(plane: Plane, coarse: int, shape: tuple[int, ...]) -> Plane:
    if coarse == 1 and plane.shape == shape:
        return plane
    image = Image.fromarray(plane).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32)
