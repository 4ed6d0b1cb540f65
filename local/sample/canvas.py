"""A tile on which one object is painted: antialiased shapes, colour, and light that falls on their edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from local.sample.geometry import Placement, Points

OVERSAMPLE = 3

Plane = NDArray[np.float32]
Color = tuple[float, float, float]


class Canvas:
    """`rgb` (h, w, 3) in 0..1, not premultiplied, and `alpha` (h, w) in 0..1.

    `x` and `y` are the pixels' object coordinates, for gradients; `light` points to where the light comes from.
    """

    def __init__(self, size: int, placement: Placement, light: tuple[float, float]) -> None:
        self.size, self.placement, self.light = size, placement, light
        self.rgb = np.zeros((size, size, 3), np.float32)
        self.alpha = np.zeros((size, size), np.float32)
        rows, columns = np.mgrid[0:size, 0:size] + 0.5
        inside = placement.from_pixels(np.stack([columns.ravel(), rows.ravel()], axis=1)).astype(np.float32)
        self.x, self.y = inside[:, 0].reshape(size, size), inside[:, 1].reshape(size, size)

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

    def paint(self, mask: Plane, color: Color | Plane, shade: Plane | float = 1.0) -> None:
        """Lay `color`, (3,) or (h, w, 3), times `shade` over what is there, where `mask` is."""
        paint = np.asarray(color, np.float32) * np.asarray(shade, np.float32)[..., None]
        total = mask + self.alpha * (1 - mask)
        part = np.divide(mask, total, out=np.zeros_like(mask), where=total > 0)[..., None]
        self.rgb = self.rgb * (1 - part) + np.clip(paint, 0, 1) * part
        self.alpha = total

    def relief(self, mask: Plane, radius: float = 0.12, strength: float = 1.0) -> Plane:
        """Brightness around 1 of a shape that bulges: its edges catch the light or lie in the dark.

        `radius`, in object coordinates, is how far in from the edge the surface bends.
        """
        height = _blur(mask, radius * self.placement.scale)
        down, right = np.gradient(height)
        slope = -(right * self.light[0] + down * self.light[1]) * radius * self.placement.scale
        return np.asarray(1 + strength * np.clip(slope, -0.5, 0.5), np.float32)

    def glow(self, x: float, y: float, radius: float) -> Plane:
        """A soft round spot, 1 at its centre."""
        distance = ((self.x - x) ** 2 + (self.y - y) ** 2) / radius**2
        return np.exp(-distance)

    def highlight(self, mask: Plane, spot: Plane, amount: float) -> None:
        """Shift what is painted towards white by `spot` times `amount`, inside `mask`."""
        share = np.clip(mask * spot * amount, 0, 1)[..., None]
        self.rgb = self.rgb * (1 - share) + share

    def _large(self, outline: Points) -> list[tuple[float, float]]:
        return [(float(x), float(y)) for x, y in self.placement.to_pixels(outline) * OVERSAMPLE]

    def _small(self, large: Image.Image) -> Plane:
        return np.asarray(large.reduce(OVERSAMPLE), np.float32) / 255


def _blur(plane: Plane, pixels: float) -> Plane:
    image = Image.fromarray((plane * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(max(pixels, 0.5))), np.float32) / 255
