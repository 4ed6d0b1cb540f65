"""Colours. Any object may have nearly any of them, so that a colour never gives an object away."""

from __future__ import annotations

import colorsys

import numpy as np

Color = tuple[float, float, float]


def hsv(hue: float, saturation: float, value: float) -> Color:
    return colorsys.hsv_to_rgb(hue % 1, min(max(saturation, 0), 1), min(max(value, 0), 1))


def vivid(rng: np.random.Generator) -> Color:
    """A saturated colour, often one of a ripe fruit's: the other objects shall not be without them."""
    hue = float(rng.choice([rng.uniform(), rng.normal(0, 0.02), rng.normal(0.14, 0.015), rng.normal(0.27, 0.03)]))
    return hsv(hue, rng.uniform(0.45, 0.95), rng.uniform(0.35, 0.95))


def any_color(rng: np.random.Generator) -> Color:
    """Vivid, pale, dark or grey."""
    kind = rng.integers(5)
    if kind <= 1:
        return vivid(rng)
    if kind == 2:
        return hsv(rng.uniform(), rng.uniform(0.05, 0.35), rng.uniform(0.75, 0.97))
    if kind == 3:
        return hsv(rng.uniform(), rng.uniform(0.2, 0.7), rng.uniform(0.18, 0.45))
    return hsv(rng.uniform(), rng.uniform(0, 0.08), rng.uniform(0.15, 0.95))


def metal(rng: np.random.Generator) -> Color:
    """Steel, brass, copper, or dark iron."""
    hue, saturation, value = [(0.6, 0.05, 0.72), (0.13, 0.5, 0.75), (0.06, 0.5, 0.7), (0.6, 0.08, 0.35)][
        rng.integers(4)
    ]
    return hsv(hue, saturation * rng.uniform(0.7, 1.2), value * rng.uniform(0.85, 1.15))


def darker(color: Color, factor: float) -> Color:
    return (color[0] * factor, color[1] * factor, color[2] * factor)


def mix(first: Color, second: Color, share: float) -> Color:
    """`share` of `second`, the rest of `first`."""
    return (
        first[0] + (second[0] - first[0]) * share,
        first[1] + (second[1] - first[1]) * share,
        first[2] + (second[2] - first[2]) * share,
    )
