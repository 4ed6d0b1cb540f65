"""The bootstrap: the same metrics as scikit-learn's, on samples; and what intervals mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.register_model import resampling
from components.register_model.evaluation import Scores, evaluate
from components.register_model.resampling import intervals, lower_bound, margin, resample, upper_bound, weighted_metrics
from tests.unit.components.support import drawn, scores

# Few distinct probabilities, so that there are ties, and some on the threshold.
PROBABILITIES = st.sampled_from([0.0, 0.2, 0.5, 0.55, 0.9, 1.0])


@st.composite
def weighted_scores(draw: st.DrawFn) -> tuple[Scores, list[int]]:
    size, labels = draw(st.integers(1, 8)), draw(st.integers(1, 3))
    truth = draw(st.lists(st.lists(st.booleans(), min_size=labels, max_size=labels), min_size=size, max_size=size))
    probabilities = draw(
        st.lists(st.lists(PROBABILITIES, min_size=labels, max_size=labels), min_size=size, max_size=size)
    )
    weights = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size).filter(any))
    return Scores(("a", "b", "c")[:labels], np.array(truth), np.array(probabilities)), weights


@settings(deadline=None)
@given(weighted_scores())
def test_a_weighted_image_counts_as_often_as_it_would_if_it_were_repeated(case: tuple[Scores, list[int]]) -> None:
    each, weights = case
    thresholds = {"a": 0.55}
    repeated = Scores(each.labels, np.repeat(each.truth, weights, 0), np.repeat(each.probabilities, weights, 0))
    expected = evaluate(repeated, thresholds)
    found = weighted_metrics(each, thresholds, np.array([weights], dtype=np.float64))
    for name, (value,) in found.metrics.items():
        # Without any positive, `evaluate` says 0.
        assert np.nan_to_num(value) == pytest.approx(expected[name], abs=2e-6), name
    for index, label in enumerate(each.labels):
        precision, f1 = found.average_precision[0, index], found.f1[0, index]
        if expected["labels"][label]["support"]:
            assert precision == pytest.approx(expected["labels"][label]["average_precision"], abs=2e-6)
            assert f1 == pytest.approx(expected["labels"][label]["f1"], abs=2e-6)
        else:
            assert math.isnan(precision)
            assert math.isnan(f1)


def test_the_same_seed_draws_the_same_samples_however_they_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    models = {"one": (drawn(30), {"a": 0.4}), "same": (drawn(30), {"a": 0.4})}
    whole = resample(models, seed=3)
    monkeypatch.setattr(resampling, "CHUNK", 30 * 3 * 7)
    cut = resample(models, seed=3)
    for name, values in whole["one"].metrics.items():
        assert len(values) == resampling.RESAMPLES
        np.testing.assert_allclose(cut["one"].metrics[name], values)
        np.testing.assert_array_equal(whole["same"].metrics[name], values)
    assert not np.array_equal(resample(models, seed=4)["one"].metrics["iou"], whole["one"].metrics["iou"])


def test_with_many_distinct_probabilities_neighbours_are_taken_together(monkeypatch: pytest.MonkeyPatch) -> None:
    each, once = drawn(3000), np.ones((1, 3000))
    exact = weighted_metrics(each, {}, once).metrics
    monkeypatch.setattr(resampling, "MAX_CELLS", 500)
    for name, (value,) in weighted_metrics(each, {}, once).metrics.items():
        assert value == pytest.approx(exact[name][0], abs=0.002), name


def test_an_interval_of_a_mean_is_students() -> None:
    """For the mean of n values, mean ± t·s/√n; here n = 12, 90 % one-sided."""
    values = np.random.default_rng(0).normal(size=12)
    weights = np.random.default_rng(1).multinomial(12, np.full(12, 1 / 12), size=20_000)
    means = weights @ values / 12
    student = values.mean() - 1.3634 * values.std(ddof=1) / math.sqrt(12)
    assert lower_bound(means, 0.9, 12) == pytest.approx(student, abs=0.03)
    assert lower_bound(means, 0.9, 12) < np.quantile(means, 0.1), "plain percentiles are too narrow"
    assert upper_bound(means, 0.9, 12) == pytest.approx(2 * values.mean() - student, abs=0.06)


def test_of_one_image_nothing_is_known() -> None:
    assert lower_bound(np.ones(100), 0.9, 1) == -math.inf
    assert upper_bound(np.ones(100), 0.9, 1) == math.inf
    assert lower_bound(np.full(100, np.nan), 0.9, 50) == -math.inf


def test_the_margin_of_a_mean_is_students() -> None:
    values = np.random.default_rng(0).normal(size=12)
    weights = np.random.default_rng(1).multinomial(12, np.full(12, 1 / 12), size=20_000)
    student = 4.0247 * values.std(ddof=1) / math.sqrt(12)
    assert margin(weights @ values / 12, 0.999, 12) == pytest.approx(student, rel=0.02)
    assert margin(np.ones(10), 0.9, 1) == margin(np.full(10, np.nan), 0.9, 9) == math.inf


def test_samples_without_the_label_are_left_out() -> None:
    values = np.array([np.nan, *np.linspace(0, 1, 101)])
    assert lower_bound(values, 0.9, 10_000) == pytest.approx(0.1, abs=0.001)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Ninety-five of a hundred for the IoU, whose true value 4,000 images tell."""
    truth = evaluate(drawn(20_000, seed=99), {})["iou"]
    held = 0
    for seed in range(60):
        each = drawn(40, seed=seed)
        found = intervals(resample({"one": (each, {})}, seed=1)["one"], each)
        low, high = found["metrics"]["iou"]
        held += low <= truth <= high
    assert 0.85 <= held / 60 <= 1.0


def test_a_label_on_one_image_has_no_interval() -> None:
    each = scores([[1, 1], [0, 1], [0, 0]], [[0.9, 0.8], [0.1, 0.7], [0.2, 0.4]])
    found = intervals(resample({"one": (each, {})}, seed=1)["one"], each)
    assert found["labels"]["a"]["f1"] is None
    assert found["labels"]["b"]["average_precision"] == [1.0, 1.0]
    assert (found["confidence"], found["resamples"]) == (0.95, resampling.RESAMPLES)
