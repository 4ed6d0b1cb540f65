"""Sides that hold for good, whatever exports bring later."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.datasets.facts import Remembered
from shared.datasets.groups import connected
from shared.datasets.options import TEST, TRAIN, VALIDATION
from shared.datasets.split import assign_sides

RATIO = 0.6
EDGES = st.lists(st.tuples(st.integers(0, 59), st.integers(0, 59)), max_size=40)
LABELS = st.lists(st.sets(st.integers(0, 5), min_size=1, max_size=3), min_size=60, max_size=60)


def roots_of(images: NDArray[np.int64], edges: list[tuple[int, int]]) -> NDArray[np.int32]:
    """Groups of the images that are there, by similarities of all images."""
    at = {image: position for position, image in enumerate(images.tolist())}
    known = [(at[one], at[other]) for one, other in edges if one in at and other in at]
    pairs = np.array(known, dtype=np.int64).reshape(-1, 2)
    return connected(len(images), [(pairs[:, 0], pairs[:, 1])])


def assign(
    images: NDArray[np.int64],
    edges: list[tuple[int, int]],
    labels: list[set[int]],
    seed: int,
    remembered: Remembered,
    ratio: float = RATIO,
) -> NDArray[np.uint8]:
    positions = np.random.default_rng(seed).random(60)[images]
    each = [sorted(labels[image]) for image in images.tolist()]
    starts = np.cumsum([0, *map(len, each)])
    ids = np.array([label for some in each for label in some], dtype=np.uint32)
    earlier = remembered.of(images.astype(np.uint64))
    return assign_sides(positions, roots_of(images, edges), earlier, starts, ids, ratio)[0]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sets(st.integers(0, 59), min_size=3, max_size=25), min_size=2, max_size=5),
    EDGES,
    LABELS,
    st.integers(0, 1000),
)
def test_a_test_image_stays_one_in_every_later_export_and_no_group_is_parted(
    exports: list[set[int]], edges: list[tuple[int, int]], labels: list[set[int]], seed: int
) -> None:
    """Exports grow and shrink, and new images show that old ones are alike."""
    remembered = Remembered()
    tested: set[int] = set()
    for export in exports:
        images = np.array(sorted(export), dtype=np.int64)
        sides = assign(images, edges, labels, seed, remembered)
        roots = roots_of(images, edges)
        assert all(len(set(sides[roots == root].tolist())) == 1 for root in set(roots.tolist()))
        test = set(images[sides == TEST].tolist())
        assert tested & export <= test
        tested |= test
        remembered = remembered.with_sides(images.astype(np.uint64), sides)


@settings(max_examples=200, deadline=None)
@given(EDGES, LABELS, st.integers(0, 1000), st.sampled_from([0.1, 0.6, 0.98]))
def test_each_label_is_in_training_if_nothing_is_remembered(
    edges: list[tuple[int, int]], labels: list[set[int]], seed: int, ratio: float
) -> None:
    images = np.arange(60)
    sides = assign(images, edges, labels, seed, Remembered(), ratio)
    has = {label: np.array([label in labels[image] for image in range(60)]) for label in range(6)}
    groups = len(set(roots_of(images, edges).tolist()))
    for each in has.values():
        if each.any() and groups >= 20:
            assert (sides[each] == TRAIN).any()


def test_images_alone_follow_their_own_position() -> None:
    images = np.arange(60)
    sides = assign(images, [], [{0} for _ in images], 3, Remembered())
    positions = np.random.default_rng(3).random(60)
    assert sides.tolist() == np.searchsorted([RATIO, RATIO + 0.2], positions, side="right").tolist()


def test_what_joins_a_test_image_later_goes_to_the_test_even_from_training() -> None:
    labels = [{0} for _ in range(60)]
    images = np.arange(40)
    first = assign(images, [], labels, 3, Remembered())
    train, test = int(np.flatnonzero(first == TRAIN)[0]), int(np.flatnonzero(first == TEST)[0])
    remembered = Remembered().with_sides(images.astype(np.uint64), first)
    later = assign(np.arange(41), [(40, train), (40, test)], labels, 3, remembered)
    assert later[[train, test, 40]].tolist() == [TEST, TEST, TEST]


@pytest.mark.parametrize("count", [3, 4, 10])
@pytest.mark.parametrize("ratio", [0.1, 0.8, 0.98])
def test_no_side_is_empty(count: int, ratio: float) -> None:
    sides = assign(np.arange(count), [], [{0} for _ in range(60)], 1, Remembered(), ratio)
    assert set(sides.tolist()) == {TRAIN, VALIDATION, TEST}


def test_a_label_whose_images_are_one_group_is_in_training() -> None:
    labels = [{1} if image < 3 else {0} for image in range(60)]
    edges = [(0, 1), (1, 2)]
    for seed in range(30):
        sides = assign(np.arange(60), edges, labels, seed, Remembered())
        assert sides[:3].tolist() == [TRAIN] * 3


def test_a_label_with_three_groups_is_on_all_sides() -> None:
    labels = [{1} if image < 3 else {0} for image in range(60)]
    for seed in range(30):
        sides = assign(np.arange(60), [], labels, seed, Remembered())
        assert sorted(sides[:3].tolist()) == [TRAIN, VALIDATION, TEST]


def test_earlier_sides_are_found_by_digest_and_newer_ones_win() -> None:
    old = Remembered().with_sides(np.array([5, 9], dtype=np.uint64), np.array([0, 2], dtype=np.uint8))
    new = old.with_sides(np.array([9, 7], dtype=np.uint64), np.array([1, 2], dtype=np.uint8))
    assert new.of(np.array([4, 5, 7, 9, 11], dtype=np.uint64)).tolist() == [-1, 0, 2, 1, -1]
