"""Keys, scissors and umbrellas."""

from __future__ import annotations

import numpy as np

from local.sample.canvas import Canvas
from local.sample.geometry import Points, box, ellipse, points, spline, turn
from local.sample.palette import Color, any_color, darker, hsv, metal, mix, vivid


def key(canvas: Canvas, rng: np.random.Generator) -> None:
    """An old key with a ring and a bit, or a flat modern one with a jagged edge."""
    color = metal(rng) if rng.random() < 0.7 else vivid(rng)
    if rng.random() < 0.5:
        _old_key(canvas, rng, color)
    else:
        _flat_key(canvas, rng, color)


def _old_key(canvas: Canvas, rng: np.random.Generator, color: Color) -> None:
    ring, hole = rng.uniform(0.27, 0.36), rng.uniform(0.5, 0.66)
    shaft = canvas.area(box(-0.4, -0.065, 0.96, 0.065, 0.05))
    canvas.paint(shaft, color, canvas.relief(shaft, 0.07, 1.6))
    start = rng.uniform(0.5, 0.6)
    for offset, length in zip((0.0, 0.14, 0.28), rng.uniform(0.22, 0.4, 3), strict=True):
        tooth = canvas.area(box(start + offset, 0.03, start + offset + 0.09, length))
        canvas.paint(tooth, color, canvas.relief(tooth, 0.05, 1.4))
    collar = canvas.area(box(-0.34, -0.12, -0.22, 0.12, 0.03))
    canvas.paint(collar, color, canvas.relief(collar, 0.07, 1.5))
    centre = -0.38 - ring * 0.8
    if rng.random() < 0.5:
        bow = canvas.area(ellipse(centre, 0, ring, ring), ellipse(centre, 0, ring * hole, ring * hole))
        canvas.paint(bow, color, canvas.relief(bow, 0.08, 1.6))
        return
    for angle in (90, 210, 330):
        x, y = centre + 0.52 * ring * np.cos(np.radians(angle)), 0.52 * ring * np.sin(np.radians(angle))
        size = ring * 0.52
        lobe = canvas.area(ellipse(x, y, size, size), ellipse(x, y, size * hole, size * hole))
        canvas.paint(lobe, color, canvas.relief(lobe, 0.06, 1.6))


def _flat_key(canvas: Canvas, rng: np.random.Generator, color: Color) -> None:
    head = color if rng.random() < 0.6 else any_color(rng)
    teeth = rng.uniform(0.02, 0.14, 9)
    edge = [(-0.2 + 1.0 * i / 8 + d, 0.15 - teeth[i] * (1 if d else 0.4)) for i in range(9) for d in (0.0, 0.05)]
    blade_outline = points((-0.3, -0.14), (0.8, -0.14), (0.96, 0.0), *reversed(edge), (-0.3, 0.15))
    blade = canvas.area(blade_outline)
    canvas.paint(blade, color, canvas.relief(blade, 0.04, 1.6))
    groove = canvas.line(points((-0.25, -0.03), (0.78, -0.03)), 0.035)
    canvas.paint(groove, darker(color, 0.6))
    hole = ellipse(-0.78, 0, 0.08, 0.1)
    if rng.random() < 0.5:
        outline = ellipse(-0.62, 0, 0.36, 0.38)
    else:
        outline = box(-0.98, -0.36, -0.27, 0.36, rng.uniform(0.1, 0.3))
    bow = canvas.area(outline, hole)
    canvas.paint(bow, head, canvas.relief(bow, 0.08, 1.5))


def scissors(canvas: Canvas, rng: np.random.Generator) -> None:
    """A pair of scissors, more or less open."""
    steel, grip = hsv(0.6, 0.05, rng.uniform(0.55, 0.8)), any_color(rng)
    opening = rng.uniform(7, 26)
    pivot = (0.0, 0.05)
    long, wide, ring = rng.uniform(0.8, 1.0), rng.uniform(0.12, 0.18), rng.uniform(0.2, 0.27)
    for side in (-1, 1):
        _half(canvas, side, opening * side, pivot, (long, wide, ring), (steel, grip))
    screw = canvas.area(ellipse(*pivot, 0.05, 0.05))
    canvas.paint(screw, darker(steel, 0.6), canvas.relief(screw, 0.04, 1.5))


def _half(
    canvas: Canvas,
    side: int,
    angle: float,
    pivot: tuple[float, float],
    sizes: tuple[float, float, float],
    colors: tuple[Color, Color],
) -> None:
    """One blade with its handle on the other side of the pivot."""
    long, wide, ring = sizes
    steel, grip = colors

    def place(outline: Points) -> Points:
        return turn(outline, angle, pivot)

    blade = canvas.area(
        place(points((0, pivot[1] - long), (side * wide, -0.45), (side * wide * 0.9, 0.1), (-side * 0.07, 0.14)))
    )
    canvas.paint(blade, steel, canvas.relief(blade, 0.05, 1.6))
    edge = canvas.line(place(points((side * 0.02, pivot[1] - long * 0.9), (-side * 0.02, 0.0))), 0.02)
    canvas.paint(edge * 0.7, mix(steel, (1, 1, 1), 0.6))
    centre = (-side * (ring + 0.04), 0.68)
    arm = canvas.line(place(spline(points((0, 0.05), (-side * 0.04, 0.3), (centre[0], 0.5)), closed=False)), 0.13)
    canvas.paint(arm, grip, canvas.relief(arm, 0.07, 1.4))
    outer, inner = ellipse(*centre, ring, ring * 1.35), ellipse(*centre, ring * 0.6, ring * 0.95)
    handle = canvas.area(place(outer), place(inner))
    canvas.paint(handle, grip, canvas.relief(handle, 0.07, 1.4))


def umbrella(canvas: Canvas, rng: np.random.Generator) -> None:
    """An open umbrella from the side."""
    first = any_color(rng)
    second = any_color(rng) if rng.random() < 0.5 else darker(first, 0.85)
    panels = int(rng.integers(5, 8))
    rim, depth = rng.uniform(-0.02, 0.12), rng.uniform(0.7, 0.85)
    shaft_color = metal(rng) if rng.random() < 0.5 else hsv(0.08, 0.6, rng.uniform(0.25, 0.5))
    shaft = canvas.line(points((0, -0.6), (0, 0.72)), 0.05)
    canvas.paint(shaft, shaft_color, canvas.relief(shaft, 0.03, 1.4))
    side = int(rng.choice([-1, 1]))
    hook = canvas.line(ellipse(side * 0.13, 0.72, 0.13, 0.2, 180 if side > 0 else 0, 0 if side > 0 else 180), 0.09)
    canvas.paint(hook, darker(shaft_color, 0.7), canvas.relief(hook, 0.05, 1.4))
    tip = canvas.line(points((0, rim - depth), (0, rim - depth - 0.14)), 0.05)
    canvas.paint(tip, shaft_color)
    # Seams leave the top evenly around; seen from the side they crowd towards the edges.
    seams = 0.97 * np.sin(np.linspace(-np.pi / 2, np.pi / 2, panels + 1))
    crown = np.array([0.0, rim - depth])
    for number in range(panels):
        left, right = seams[number], seams[number + 1]
        outline = np.concatenate(
            [_seam(crown, left, rim), _scallop(left, right, rim)[1:-1], _seam(crown, right, rim)[::-1]]
        )
        area = canvas.area(outline)
        middle = (left + right) / 2
        shade = canvas.relief(area, 0.1, 0.7) * (1 - 0.22 * abs(middle) + 0.12 * np.sign(canvas.light[0]) * middle)
        canvas.paint(area, first if number % 2 else second, np.asarray(shade, np.float32))
        if number:
            rib = canvas.line(_seam(crown, left, rim), 0.016)
            canvas.paint(rib * 0.6, darker(first, 0.45))


def _seam(crown: Points, x: float, rim: float) -> Points:
    t = np.linspace(0, 1, 16)
    return np.stack([crown[0] + x * np.sin(t * np.pi / 2), rim + (crown[1] - rim) * np.cos(t * np.pi / 2)], axis=1)


def _scallop(left: float, right: float, rim: float) -> Points:
    t = np.linspace(0, 1, 12)
    return np.stack([left + (right - left) * t, rim - 0.35 * (right - left) * np.sin(np.pi * t)], axis=1)
