"""Which predictions are uncertain, and which surprising."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.review.ranking import LabelCounts, surprise, uncertainty

# Of 1,000 images a third has a cat, a third a dog, none both, one has a newt.
SEEN = LabelCounts.of([("cat",)] * 333 + [("dog",)] * 333 + [("bird", "tree")] * 333 + [("newt",)])


def test_the_nearer_to_its_threshold_the_less_certain() -> None:
    near, far = (uncertainty({"cat": value, "dog": 0.01}, {"cat": 0.6}) for value in (0.58, 0.9))
    assert near.score > far.score
    assert near.why == "cat 0.58, threshold 0.60"


def test_labels_with_low_and_high_thresholds_compare() -> None:
    low, high = (uncertainty({"cat": value}, {"cat": threshold}) for value, threshold in ((0.05, 0.1), (0.45, 0.9)))
    assert low.score == pytest.approx(high.score) == pytest.approx(0.5)


def test_one_label_alone_may_be_looked_at() -> None:
    assert uncertainty({"cat": 0.5, "dog": 0.9}, {}, "dog").why.startswith("dog 0.90")
    assert uncertainty({"cat": 0.5}, {}, "cow").why == ""


def test_labels_that_never_come_together_surprise_more_than_those_that_do() -> None:
    probabilities = {"cat": 0.9, "dog": 0.9, "bird": 0.9, "tree": 0.9}
    apart, together = surprise(("cat", "dog"), probabilities, SEEN), surprise(("bird", "tree"), probabilities, SEEN)
    assert apart.score > 0.7 > together.score
    assert apart.why == "cat and dog together: 0 of the training's images, 111 by chance"


def test_a_rare_label_surprises_and_so_does_none_at_all() -> None:
    rare, usual = (surprise((label,), {label: 0.9}, SEEN) for label in ("newt", "cat"))
    assert rare.score > usual.score
    assert "0.1% of the training's images" in rare.why
    assert surprise((), {"cat": 0.1}, SEEN).score > surprise((), {"cat": 0.45}, SEEN).score


@given(
    st.dictionaries(st.sampled_from(["cat", "dog", "newt", "new"]), st.floats(0, 1)),
    st.dictionaries(st.sampled_from(["cat", "dog"]), st.floats(0, 1)),
)
def test_every_score_is_from_0_to_1(probabilities: dict[str, float], thresholds: dict[str, float]) -> None:
    labels = tuple(label for label, value in probabilities.items() if value >= thresholds.get(label, 0.5))
    for judged in (uncertainty(probabilities, thresholds), surprise(labels, probabilities, SEEN)):
        assert 0 <= judged.score <= 1
