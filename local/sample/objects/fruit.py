"""Apples and bananas, ripe and unripe."""

from __future__ import annotations

import numpy as np

from local.sample.canvas import Canvas
from local.sample.geometry import ellipse, points, ribbon, spline, turn
from local.sample.palette import Color, hsv, mix

BROWN: Color = (0.32, 0.2, 0.1)


def apple(canvas: Canvas, rng: np.random.Generator) -> None:
    """One apple, with a stem in its hollow and sometimes a leaf."""
    skin = hsv(float(rng.choice([0.99, 0.02, 0.09, 0.15, 0.24, 0.28])), rng.uniform(0.5, 0.9), rng.uniform(0.5, 0.9))
    blush = hsv(float(rng.choice([0.98, 0.03, 0.12, 0.25])), rng.uniform(0.5, 0.9), rng.uniform(0.5, 0.9))
    low = rng.uniform(0.8, 0.95)
    half = [
        (0.0, -0.58),
        (0.25, -0.74),
        (0.62, -0.68),
        (0.88, -0.28),
        (0.84, 0.2),
        (0.58, 0.7),
        (0.26, low),
        (0.0, 0.84),
    ]
    left = [(-x, y) for x, y in reversed(half[1:-1])]
    outline = spline(points(*half, *left), closed=True)
    body = canvas.area(outline)
    side = np.clip(0.5 + 0.6 * canvas.x * rng.choice([-1, 1]) + 0.3 * canvas.y, 0, 1)[..., None]
    streaks = 0.5 + 0.5 * np.sin(np.arctan2(canvas.x, canvas.y + 1.3) * rng.uniform(40, 60) + 4 * canvas.y)
    color = np.asarray(skin, np.float32) * (1 - side) + np.asarray(blush, np.float32) * side
    color = color * (1 - 0.12 * streaks[..., None])
    canvas.paint(body, color, canvas.relief(body, 0.4, 1.5))
    # The hollow around the stem.
    hollow = canvas.area(ellipse(0, -0.56, 0.34, 0.12))
    canvas.paint(hollow * 0.55, mix(skin, BROWN, 0.6), 0.8)
    stem = canvas.line(spline(points((0, -0.52), (0.02, -0.72), (rng.uniform(-0.2, 0.2), -0.98)), closed=False), 0.08)
    canvas.paint(stem, BROWN, canvas.relief(stem, 0.05))
    if rng.random() < 0.55:
        leaf = spline(points((0.03, -0.7), (0.3, -0.98), (0.68, -0.92), (0.4, -0.7)), closed=True)
        area = canvas.area(leaf if rng.random() < 0.5 else leaf * (-1, 1))
        canvas.paint(area, hsv(rng.uniform(0.22, 0.38), 0.7, rng.uniform(0.35, 0.65)), canvas.relief(area, 0.15))
    canvas.highlight(body, canvas.glow(canvas.light[0] * 0.4, canvas.light[1] * 0.4, 0.25), rng.uniform(0.25, 0.6))


def banana(canvas: Canvas, rng: np.random.Generator) -> None:
    """One banana, or a bunch of two or three that meet at the stem."""
    ripe = hsv(float(rng.choice([0.13, 0.15, 0.17, 0.23])), rng.uniform(0.55, 0.9), rng.uniform(0.65, 0.95))
    count = int(rng.choice([1, 1, 2, 3]))
    bend = rng.uniform(0.65, 1.0)
    for number in range(count):
        angle = (number - (count - 1) / 2) * 17
        _one_banana(canvas, rng, ripe, bend, angle)


def _one_banana(canvas: Canvas, rng: np.random.Generator, ripe: Color, bend: float, angle: float) -> None:
    t = np.linspace(0, 1, 40)
    theta = np.radians(200 - 180 * t)
    middle = np.stack([0.95 * np.cos(theta), -0.55 + bend * np.sin(theta)], axis=1)
    middle = turn(middle, angle, (-0.9, -0.85)) * 0.82
    # Full in the middle, thin at the stem (the first tenth), blunt at the tip.
    widths = 0.08 + 0.3 * np.clip((t - 0.08) * 5, 0, 1) ** 0.8 * np.clip((1.01 - t) * 5, 0, 1) ** 0.6
    body = canvas.area(ribbon(middle, widths))
    canvas.paint(body, ripe, canvas.relief(body, 0.16, 1.4))
    for share, shade in ((0.4, 0.86), (-0.3, 1.1)):
        edge = ribbon(middle, widths * share)[: len(middle)]
        ridge = canvas.line(edge[6:-4], 0.02) * body
        canvas.paint(ridge * 0.6, ripe, shade)
    for index in rng.integers(6, 36, rng.integers(0, 9)):
        x, y = middle[index] + rng.normal(0, 0.07, 2)
        spot = canvas.area(ellipse(x, y, rng.uniform(0.01, 0.05), rng.uniform(0.01, 0.03))) * body
        canvas.paint(spot * 0.7, BROWN)
    for end, reach in ((middle[:5], 0.1), (middle[-3:], 0.09)):
        tip = canvas.line(end, reach)
        canvas.paint(tip, mix(BROWN, ripe, 0.25), canvas.relief(tip, 0.05))
