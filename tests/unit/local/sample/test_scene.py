"""Drawing: canvas, placing, objects."""

from __future__ import annotations

import numpy as np
import pytest

from local.sample.canvas import Canvas
from local.sample.geometry import Placement, box, ellipse
from local.sample.objects import KINDS, LABELS
from local.sample.scene import SPACING, draw_scene, place


def canvas(size: int = 100) -> Canvas:
    return Canvas(size, Placement(0, size / 2, 1, 0, (size / 2, size / 2)), (-0.7, -0.7))


def test_a_shape_covers_its_area() -> None:
    tile = canvas()
    disc = tile.area(ellipse(0, 0, 0.8, 0.8))
    ring = tile.area(ellipse(0, 0, 0.8, 0.8), ellipse(0, 0, 0.4, 0.4))
    assert disc.sum() / 2500 == pytest.approx(np.pi * 0.64, rel=0.02)
    assert ring.sum() / 2500 == pytest.approx(np.pi * (0.64 - 0.16), rel=0.02)


def test_paint_lies_over_what_was_there() -> None:
    tile = canvas()
    tile.paint(tile.area(box(-0.5, -0.5, 0.5, 0.5)), (1, 0, 0))
    tile.paint(tile.area(box(0, -0.5, 0.5, 0.5)), (0, 1, 0))
    assert tile.rgb[50, 30].tolist() == [1, 0, 0]
    assert tile.rgb[50, 70].tolist() == [0, 1, 0]
    assert tile.alpha[50, 30] == 1
    assert tile.alpha[5, 5] == 0


def test_edges_towards_the_light_are_brighter() -> None:
    tile = canvas()
    relief = tile.relief(tile.area(ellipse(0, 0, 0.8, 0.8)), 0.3)
    assert relief[25, 25] > 1.05
    assert relief[75, 75] < 0.95


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("seed", range(3))
def test_every_object_paints_something_within_its_tile(label: str, seed: int) -> None:
    tile = Canvas(150, Placement(30, 60, 1.05, 0.05, (75, 75)), (0.6, -0.8))
    KINDS[label].paint(tile, np.random.default_rng(seed))
    assert 0.04 < tile.alpha.mean() < 0.8
    assert 0 <= tile.rgb.min() <= tile.rgb.max() <= 1
    edge = np.concatenate([tile.alpha[0], tile.alpha[-1], tile.alpha[:, 0], tile.alpha[:, -1]])
    assert edge.max() == 0


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_objects_are_placed_in_the_middle_and_hardly_overlap(count: int) -> None:
    for seed in range(20):
        spots = place(np.random.default_rng(seed), count, 480, 360)
        for number, spot in enumerate(spots):
            assert abs(spot.x - 240) < 0.46 * 360
            assert abs(spot.y - 180) < 0.46 * 360
            for other in spots[:number]:
                apart = np.hypot(spot.x - other.x, spot.y - other.y)
                assert apart > SPACING * (spot.radius + other.radius)


def test_the_same_seed_draws_the_same_picture_and_another_seed_another() -> None:
    first, second = (draw_scene(np.random.default_rng(7), ["cup", "key"]) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert first.tobytes() != draw_scene(np.random.default_rng(8), ["cup", "key"]).tobytes()


def test_sizes_vary_within_bounds() -> None:
    sizes = {draw_scene(np.random.default_rng(seed), ["clock"]).size for seed in range(8)}
    assert len(sizes) > 5
    assert all(320 <= side <= 440 for size in sizes for side in size)
