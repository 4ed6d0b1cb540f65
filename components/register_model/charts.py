"""Small charts as inline SVG. Colours come from the page's style, so that they follow its light or dark scheme; what a
colour tells, a dash or a text tells as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from sklearn.metrics import precision_recall_curve

from components.register_model.evaluation import Bools, Floats

SIZE, LEFT, BOTTOM = 160, 30, 26
MAX_POINTS = 60

Point = tuple[float, float]


def precision_recall_points(truth: Bools, probabilities: Floats) -> list[Point]:
    """(recall, precision) of one label from the highest threshold to the lowest, at most MAX_POINTS."""
    precision, recall, _ = precision_recall_curve(truth, probabilities)
    points = list(zip(recall[::-1].tolist(), precision[::-1].tolist(), strict=True))
    if len(points) <= MAX_POINTS:
        return points
    return [points[index] for index in np.linspace(0, len(points) - 1, MAX_POINTS).round().astype(int)]


def curve_chart(title: str, x_name: str, y_name: str, candidate: Sequence[Point], champion: Sequence[Point]) -> str:
    """A square chart of values 0..1 with the candidate's steps, solid, and the champion's, dashed."""
    lines = [_path(points, name, steps=True) for points, name in ((champion, "champion"), (candidate, "candidate"))]
    return _square(title, x_name, y_name, "".join(lines))


def calibration_chart(title: str, candidate: Sequence[Point], champion: Sequence[Point]) -> str:
    """Observed share of positives over predicted probability; the diagonal is perfect."""
    diagonal = _path([(0, 0), (1, 1)], "guide", steps=False)
    dots = "".join(f'<circle class="candidate" cx="{_x(x):.1f}" cy="{_y(y):.1f}" r="2.5"/>' for x, y in candidate)
    lines = [_path(points, name, steps=False) for points, name in ((champion, "champion"), (candidate, "candidate"))]
    return _square(title, "predicted", "observed", diagonal + "".join(lines) + dots)


def interval_chart(title: str, value: float, interval: Sequence[float] | None, champion: float | None) -> str:
    """A bar from 0 to 1 with the value, its interval, and the champion's value as a hollow mark."""
    width, height = 200, 16
    parts = [f'<line class="axis" x1="0" y1="8" x2="{width}" y2="8"/>']
    if interval:
        low, high = (min(max(each, 0.0), 1.0) * width for each in interval)
        parts.append(f'<line class="interval" x1="{low:.1f}" y1="8" x2="{high:.1f}" y2="8"/>')
    if champion is not None:
        parts.append(f'<rect class="champion" x="{champion * width - 4:.1f}" y="4" width="8" height="8"/>')
    parts.append(f'<circle class="candidate" cx="{value * width:.1f}" cy="8" r="4"/>')
    return _svg(title, f"-6 0 {width + 12} {height}", width + 12, height, "".join(parts))


def _square(title: str, x_name: str, y_name: str, content: str) -> str:
    ticks = "".join(
        f'<line class="grid" x1="{_x(at):.1f}" y1="{_y(0):.1f}" x2="{_x(at):.1f}" y2="{_y(1):.1f}"/>'
        f'<line class="grid" x1="{_x(0):.1f}" y1="{_y(at):.1f}" x2="{_x(1):.1f}" y2="{_y(at):.1f}"/>'
        f'<text x="{_x(at):.1f}" y="{_y(0) + 11:.1f}" text-anchor="middle">{at:g}</text>'
        f'<text x="{_x(0) - 4:.1f}" y="{_y(at) + 3:.1f}" text-anchor="end">{at:g}</text>'
        for at in (0, 0.5, 1)
    )
    names = (
        f'<text x="{_x(0.5):.1f}" y="{_y(0) + 23:.1f}" text-anchor="middle">{escape(x_name)}</text>'
        f'<text transform="translate(9 {_y(0.5):.1f}) rotate(-90)" text-anchor="middle">{escape(y_name)}</text>'
    )
    width, height = LEFT + SIZE + 10, SIZE + BOTTOM + 10
    return _svg(title, f"0 0 {width} {height}", width, height, ticks + names + content)


def _svg(title: str, view_box: str, width: int, height: int, content: str) -> str:
    return (
        f'<svg role="img" aria-label="{escape(title)}" viewBox="{view_box}" width="{width}" height="{height}">'
        f"<title>{escape(title)}</title>{content}</svg>"
    )


def _path(points: Sequence[Point], name: str, *, steps: bool) -> str:
    if not points:
        return ""
    drawn = f"M{_x(points[0][0]):.1f} {_y(points[0][1]):.1f}"
    for x, y in points[1:]:
        drawn += f"H{_x(x):.1f}V{_y(y):.1f}" if steps else f"L{_x(x):.1f} {_y(y):.1f}"
    return f'<path class="{name}" d="{drawn}"/>'


def _x(value: float) -> float:
    return LEFT + value * SIZE


def _y(value: float) -> float:
    return 5 + (1 - value) * SIZE
