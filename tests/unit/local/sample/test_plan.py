"""What each image of a sample set is to show."""

from __future__ import annotations

from collections import Counter

import pytest

from local.sample.objects import LABELS
from local.sample.plan import LABELLED, MIN_COUNT, NEW, plan_images


@pytest.mark.parametrize("count", [MIN_COUNT, 77, 150])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_label_is_in_both_splits(count: int, seed: int) -> None:
    plan = plan_images(count, seed)
    for split in (LABELLED, NEW):
        assert {label for planned in plan if planned.split == split for label in planned.labels} == set(LABELS)
    assert sum(planned.split == NEW for planned in plan) == round(0.3 * count)


def test_labels_are_about_equally_frequent() -> None:
    counts = Counter(label for planned in plan_images(150, 1) for label in planned.labels)
    assert max(counts.values()) - min(counts.values()) <= 6


def test_images_show_one_to_four_objects() -> None:
    assert {len(planned.objects) for planned in plan_images(150, 1)} == {1, 2, 3, 4}


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert plan_images(60, 1) == plan_images(60, 1)
    assert plan_images(60, 1) != plan_images(60, 2)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match=f"{MIN_COUNT - 1} images are too few"):
        plan_images(MIN_COUNT - 1, 1)
