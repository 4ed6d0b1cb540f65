"""Things without a label: they share shapes, colours and sheen with the objects, so that none of these decides."""

from __future__ import annotations

import numpy as np

from local.sample.canvas import Canvas
from local.sample.geometry import box, ellipse, points, ribbon, spline
from local.sample.palette import any_color, darker, metal, vivid


def distractor(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint one of a ball, a box, a coin, a leaf, a pen, a plate, a note, a ring, or a stick."""
    (_ball, _coin, _leaf, _note, _pen, _plate, _ring, _stick)[rng.integers(8)](canvas, rng)


def _ball(canvas: Canvas, rng: np.random.Generator) -> None:
    area = canvas.area(ellipse(0, 0, 0.7, 0.7))
    canvas.paint(area, vivid(rng), canvas.relief(area, 0.4, 1.5))
    if rng.random() < 0.5:
        band = canvas.line(ellipse(0, rng.uniform(-0.6, 0.6), 0.8, 0.4, 0, 180), 0.12) * area
        canvas.paint(band, any_color(rng), canvas.relief(area, 0.4, 1.5))
    canvas.highlight(area, canvas.glow(canvas.light[0] * 0.3, canvas.light[1] * 0.3, 0.2), rng.uniform(0, 0.7))


def _coin(canvas: Canvas, rng: np.random.Generator) -> None:
    color = metal(rng)
    area = canvas.area(ellipse(0, 0, 0.45, 0.45))
    canvas.paint(area, color, canvas.relief(area, 0.06, 1.5))
    inner = canvas.area(ellipse(0, 0, 0.34, 0.34))
    canvas.paint(inner, darker(color, 0.85), canvas.relief(inner, 0.04, 1.2))


def _leaf(canvas: Canvas, rng: np.random.Generator) -> None:
    t = np.linspace(-0.9, 0.9, 24)
    middle = np.stack([t, 0.15 * np.sin(2.5 * t)], axis=1)
    area = canvas.area(ribbon(middle, 0.6 * np.cos(t * np.pi / 1.85)))
    color = vivid(rng)
    canvas.paint(area, color, canvas.relief(area, 0.12))
    canvas.paint(canvas.line(middle, 0.03), darker(color, 0.6))


def _note(canvas: Canvas, rng: np.random.Generator) -> None:
    area = canvas.area(box(-0.7, -rng.uniform(0.4, 0.75), 0.7, 0.6))
    canvas.paint(area, any_color(rng), canvas.relief(area, 0.05))
    for y in np.arange(-0.25, 0.45, 0.18):
        canvas.paint(canvas.line(points((-0.5, y), (rng.uniform(0, 0.5), y)), 0.03), (0.2, 0.2, 0.25))


def _pen(canvas: Canvas, rng: np.random.Generator) -> None:
    color = any_color(rng)
    body = canvas.area(box(-0.95, -0.07, 0.7, 0.07, 0.03))
    canvas.paint(body, color, canvas.relief(body, 0.07, 1.5))
    tip = canvas.area(points((0.68, -0.07), (0.97, 0), (0.68, 0.07)))
    canvas.paint(tip, metal(rng), canvas.relief(tip, 0.05))


def _plate(canvas: Canvas, rng: np.random.Generator) -> None:
    color = any_color(rng)
    squash = rng.uniform(0.6, 1)
    area = canvas.area(ellipse(0, 0, 0.95, 0.95 * squash))
    canvas.paint(area, color, canvas.relief(area, 0.06))
    inner = canvas.area(ellipse(0, 0, 0.62, 0.62 * squash))
    canvas.paint(inner, darker(color, 0.93), 1 / canvas.relief(inner, 0.08))


def _ring(canvas: Canvas, rng: np.random.Generator) -> None:
    width = rng.uniform(0.5, 0.8)
    area = canvas.area(ellipse(0, 0, 0.6, 0.6), ellipse(0, 0, 0.6 * width, 0.6 * width))
    canvas.paint(area, any_color(rng), canvas.relief(area, 0.08, 1.5))


def _stick(canvas: Canvas, rng: np.random.Generator) -> None:
    knots = np.stack([np.linspace(-0.95, 0.95, 5), rng.normal(0, 0.18, 5)], axis=1)
    area = canvas.line(spline(knots, closed=False), rng.uniform(0.05, 0.14))
    canvas.paint(area, any_color(rng), canvas.relief(area, 0.06, 1.3))
