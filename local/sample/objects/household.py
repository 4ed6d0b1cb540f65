"""Books, clocks and cups."""

from __future__ import annotations

import numpy as np

from local.sample.canvas import Canvas, Plane
from local.sample.geometry import Points, box, ellipse, points, spline
from local.sample.palette import Color, any_color, darker, metal, mix, vivid

PAPER: Color = (0.93, 0.9, 0.82)
DRINKS: tuple[Color, ...] = ((0.25, 0.14, 0.07), (0.5, 0.3, 0.12), (0.62, 0.45, 0.3), (0.45, 0.5, 0.15))
INK: Color = (0.15, 0.14, 0.16)


def book(canvas: Canvas, rng: np.random.Generator) -> None:
    """A closed book seen from above one corner, or an open one."""
    if rng.random() < 0.35:
        _open_book(canvas, rng)
    else:
        _closed_book(canvas, rng)


def _closed_book(canvas: Canvas, rng: np.random.Generator) -> None:
    color, second = any_color(rng), any_color(rng)
    width, thick = rng.uniform(0.5, 0.62), rng.uniform(0.12, 0.32)
    lean = np.array([thick, thick * rng.uniform(0.5, 0.8)])
    cover = box(-width - thick / 2, -0.82, width - thick / 2, 0.72)
    lower = canvas.area(cover + lean)
    canvas.paint(lower, darker(color, 0.6), canvas.relief(lower, 0.04))
    _, top_right, low_right, low_left = cover
    inset = lean * 0.94
    pages = np.array([top_right, top_right + inset, low_right + inset, low_right])
    bottom = np.array([low_right, low_right + inset, low_left + inset, low_left])
    for side, shade in ((pages, 0.95), (bottom, 0.8)):
        area = canvas.area(side)
        lines = 0.93 + 0.07 * np.sin((canvas.x - canvas.y * lean[0] / lean[1]) * 160)
        canvas.paint(area, PAPER, lines * shade)
    front = canvas.area(cover)
    canvas.paint(front, color, canvas.relief(front, 0.06, 0.8))
    left = cover[0][0]
    spine = canvas.area(box(left, -0.82, left + 0.12, 0.72))
    canvas.paint(spine * 0.9, darker(color, 0.75))
    title = canvas.area(box(left + 0.24, rng.uniform(-0.65, -0.5), cover[1][0] - 0.14, rng.uniform(-0.3, -0.1)))
    canvas.paint(title, second)
    for y in np.arange(-0.02, rng.uniform(0.1, 0.5), 0.14):
        canvas.paint(canvas.line(points((left + 0.3, y), (left + rng.uniform(0.55, 0.95), y)), 0.05), second)
    if rng.random() < 0.4:
        emblem = canvas.area(ellipse(left + 0.65, 0.42, 0.2, 0.2))
        canvas.paint(emblem, mix(second, (1, 1, 1), 0.3))


def _open_book(canvas: Canvas, rng: np.random.Generator) -> None:
    color = any_color(rng)
    paper = mix(PAPER, (1, 1, 1), rng.uniform(0, 0.6))
    cover = canvas.area(box(-0.98, -0.62, 0.98, 0.68, 0.03))
    canvas.paint(cover, color, canvas.relief(cover, 0.05))
    for side in (-1, 1):
        page = _page(side)
        area = canvas.area(page)
        # A page rises from the fold and falls off to its edge.
        distance = np.abs(canvas.x)
        shade = 0.72 + 0.3 * np.clip(distance * 4, 0, 1) - 0.1 * np.clip(distance - 0.6, 0, 1)
        canvas.paint(area, paper, shade)
        picture = rng.random() < 0.35
        for number, y in enumerate(np.arange(-0.46, 0.48, 0.1)):
            if picture and 1 <= number <= 4:
                continue
            end = 0.84 if rng.random() < 0.8 else rng.uniform(0.4, 0.8)
            wave = [(side * x, y - 0.05 * np.sin(x * 3)) for x in np.linspace(0.12, end, 8)]
            canvas.paint(canvas.line(points(*wave), 0.028) * 0.65, INK)
        if picture:
            left, right = sorted((side * 0.16, side * 0.8))
            canvas.paint(canvas.area(box(left, -0.38, right, 0.0)), vivid(rng))


def _page(side: int) -> Points:
    top = [(side * x, -0.56 - 0.07 * np.sin(x * 3)) for x in np.linspace(0, 0.92, 10)]
    bottom = [(side * x, 0.6 - 0.07 * np.sin(x * 3)) for x in np.linspace(0.92, 0, 10)]
    return points(*top, *bottom)


def clock(canvas: Canvas, rng: np.random.Generator) -> None:
    """A round or square wall clock, or an alarm clock with bells and feet."""
    rim, face, hand = any_color(rng), mix(any_color(rng), (1, 1, 1), rng.uniform(0.4, 0.95)), INK
    style = rng.integers(3)
    radius = 0.92
    if style == 0:
        radius = 0.74
        steel = metal(rng)
        for side in (-1, 1):
            foot = canvas.line(points((side * 0.45, 0.55), (side * 0.66, 0.95)), 0.14)
            canvas.paint(foot, steel, canvas.relief(foot, 0.08))
            bell = canvas.area(ellipse(side * 0.46, -0.72, 0.3, 0.22))
            canvas.paint(bell, steel, canvas.relief(bell, 0.14, 1.5))
        hammer = canvas.line(points((0, -0.7), (0, -0.95)), 0.1)
        canvas.paint(hammer, steel, canvas.relief(hammer, 0.06))
    square = style == 1 and rng.random() < 0.5
    outer = box(-radius, -radius, radius, radius, 0.18) if square else ellipse(0, 0, radius, radius)
    inner = radius * rng.uniform(0.78, 0.9)
    body = canvas.area(outer)
    canvas.paint(body, rim, canvas.relief(body, 0.1, 1.4))
    dial = canvas.area(ellipse(0, 0, inner, inner))
    canvas.paint(dial, face, 1 - 0.12 * canvas.glow(-canvas.light[0], -canvas.light[1], 0.9))
    wide = rng.random() < 0.5
    for hour in range(12):
        angle = np.radians(30 * hour)
        direction = np.array([np.sin(angle), -np.cos(angle)])
        main = hour % 3 == 0
        length = 0.2 if main else 0.11
        mark = np.stack([direction * inner * (0.93 - length), direction * inner * 0.93])
        canvas.paint(canvas.line(mark, 0.07 if main and wide else 0.035), hand)
    hour_angle, minute_angle = rng.uniform(0, 360), rng.uniform(0, 360)
    for degrees, length, width in ((hour_angle, 0.5, 0.08), (minute_angle, 0.75, 0.055)):
        angle = np.radians(degrees)
        tip = np.array([np.sin(angle), -np.cos(angle)]) * inner
        canvas.paint(canvas.line(np.stack([-0.12 * tip, length * tip]), width), hand)
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        tip = np.array([np.sin(angle), -np.cos(angle)]) * inner
        canvas.paint(canvas.line(np.stack([-0.2 * tip, 0.8 * tip]), 0.02), (0.8, 0.1, 0.1))
    canvas.paint(canvas.area(ellipse(0, 0, 0.06, 0.06)), hand)


def cup(canvas: Canvas, rng: np.random.Generator) -> None:
    """A mug or a teacup from the side and a little above, with a drink in it, perhaps on a saucer."""
    color, second = any_color(rng), any_color(rng)
    side = int(rng.choice([-1, 1]))
    tea = rng.random() < 0.45
    top, bottom = (-0.42, 0.48) if tea else (-0.72, 0.74)
    wide, narrow = (0.72, 0.34) if tea else (0.56, rng.uniform(0.42, 0.56))
    tip = rng.uniform(0.12, 0.24)
    if tea and rng.random() < 0.7:
        saucer = canvas.area(ellipse(0, bottom + 0.06, 0.98, 0.24))
        canvas.paint(saucer, color, canvas.relief(saucer, 0.08))
        canvas.paint(canvas.area(ellipse(0, bottom + 0.06, 0.6, 0.13)) * 0.5, darker(color, 0.7))
    middle = (top + bottom) / 2
    reach = wide + (0.22 if tea else 0.3)
    ring = spline(
        points(
            (side * wide * 0.9, top + 0.18),
            (side * reach, top + 0.14),
            (side * (reach + 0.06), middle - 0.02),
            (side * reach * 0.9, middle + 0.26),
            (side * (narrow + wide) / 2 * 0.9, middle + 0.24),
        ),
        closed=False,
    )
    handle = canvas.line(ring, rng.uniform(0.11, 0.16))
    canvas.paint(handle, color, canvas.relief(handle, 0.08, 1.3))
    body = canvas.area(_vessel(wide, narrow, top, bottom, tip, round_=tea))
    shade = _cylinder(canvas, wide)
    canvas.paint(body, color, shade)
    _pattern(canvas, rng, body, second, shade, (top, bottom))
    rim = canvas.area(ellipse(0, top, wide, tip))
    canvas.paint(rim, mix(color, (1, 1, 1), 0.35))
    inside = canvas.area(ellipse(0, top + 0.01, wide * 0.92, tip * 0.86))
    canvas.paint(inside, darker(color, 0.6))
    if rng.random() < 0.7:
        drink = DRINKS[rng.integers(len(DRINKS))]
        canvas.paint(canvas.area(ellipse(0, top + tip * 0.3, wide * 0.84, tip * 0.55)) * inside, drink)


def _vessel(wide: float, narrow: float, top: float, bottom: float, tip: float, *, round_: bool) -> Points:
    """The outline below the rim: straight walls, or a bowl's."""
    t = np.linspace(0, 1, 14)
    wall = narrow + (wide - narrow) * (np.sqrt(1 - t**2) if round_ else 1 - t)
    height = top + (bottom - top) * t
    base = ellipse(0, bottom, narrow, tip * narrow / wide * 0.8, 0, 180, 16)
    return np.concatenate([np.stack([wall, height], axis=1), base, np.stack([-wall, height], axis=1)[::-1]])


def _cylinder(canvas: Canvas, wide: float) -> Plane:
    across = np.clip(canvas.x / wide, -1, 1)
    lit = np.sqrt(np.clip(1 - (across - 0.5 * np.sign(canvas.light[0])) ** 2 / 2.4, 0.05, 1))
    return np.asarray(0.45 + 0.65 * lit, np.float32)


def _pattern(
    canvas: Canvas, rng: np.random.Generator, body: Plane, color: Color, shade: Plane, span: tuple[float, float]
) -> None:
    top, bottom = span
    kind = rng.integers(4)
    if kind == 0:
        for y in rng.uniform(top + 0.3, bottom - 0.1, rng.integers(1, 4)):
            # Stripes follow the curve of the rim.
            band = np.exp(-(((canvas.y - y - 0.16 * np.sqrt(np.clip(1 - canvas.x**2, 0, 1)) + 0.1) / 0.07) ** 4))
            canvas.paint(band.astype(np.float32) * body, color, shade)
    elif kind == 1:
        for x, y in rng.uniform((-0.5, top + 0.35), (0.5, bottom), (9, 2)):
            canvas.paint(canvas.area(ellipse(x, y, 0.08, 0.09)) * body, color, shade)
    elif kind == 2:
        size = rng.uniform(0.16, 0.28)
        canvas.paint(
            canvas.area(ellipse(rng.uniform(-0.15, 0.15), (top + bottom) / 2 + 0.1, size, size)) * body, color, shade
        )
