"""Metrics, thresholds and the gate, against values worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from components.register_model.evaluation import Scores, aligned, evaluate, truth_matrix, tune_thresholds
from components.register_model.step import Gate

LABELS = ("a", "b")


def scores(truth: list[list[int]], probabilities: list[list[float]], labels: tuple[str, ...] = LABELS) -> Scores:
    return Scores(labels, np.array(truth, dtype=bool), np.array(probabilities, dtype=np.float64))


# Label a: ranked 0.9 (yes), 0.8 (no), 0.6 (yes), 0.1 (no) → AP = (1/1 + 2/3) / 2 = 5/6.
# Label b: ranked 0.7 (yes), 0.4 (no), 0.3 (yes), 0.2 (no) → AP = 5/6.
# Decided at 0.5 — a: images 0, 1, 2; b: image 0.
FOUR = scores(
    [[1, 1], [0, 0], [1, 1], [0, 0]],
    [[0.9, 0.7], [0.8, 0.2], [0.6, 0.3], [0.1, 0.4]],
)


def test_metrics_are_those_worked_out_by_hand() -> None:
    metrics = evaluate(FOUR, {})
    assert metrics["images"] == 4
    assert metrics["macro_average_precision"] == pytest.approx(5 / 6, abs=1e-6)
    # a: TP 2, FP 1, FN 0 → F1 4/5; b: TP 1, FP 0, FN 1 → F1 2/3. Together TP 3, FP 1, FN 1 → 6/8.
    assert metrics["macro_f1"] == pytest.approx((4 / 5 + 2 / 3) / 2, abs=1e-6)
    assert metrics["micro_f1"] == pytest.approx(6 / 8)
    # By image: {a,b}/{a,b} = 1; {a} decided for {} = 0; {a} for {a,b} = 1/2; {} for {} = 1.
    assert metrics["iou"] == pytest.approx((1 + 0 + 0.5 + 1) / 4)
    assert metrics["subset_accuracy"] == pytest.approx(2 / 4)
    # Pooled ranking: 0.9 yes, 0.8 no, 0.7 yes, 0.6 yes, 0.4 no, 0.3 yes → (1 + 2/3 + 3/4 + 4/6) / 4.
    assert metrics["micro_average_precision"] == pytest.approx((1 + 2 / 3 + 3 / 4 + 4 / 6) / 4, abs=1e-6)
    assert metrics["labels"]["a"] == {
        "precision": pytest.approx(2 / 3, abs=1e-6),
        "recall": 1.0,
        "f1": 0.8,
        "average_precision": pytest.approx(5 / 6, abs=1e-6),
        "support": 2,
        "threshold": 0.5,
    }


def test_each_label_is_decided_by_its_own_threshold() -> None:
    metrics = evaluate(FOUR, {"a": 0.85, "b": 0.25})
    assert metrics["labels"]["a"]["precision"] == 1.0
    assert metrics["labels"]["a"]["recall"] == 0.5
    assert metrics["labels"]["b"]["recall"] == 1.0
    assert (metrics["labels"]["a"]["threshold"], metrics["labels"]["b"]["threshold"]) == (0.85, 0.25)


def test_a_label_that_does_not_occur_has_no_average_precision_and_does_not_count() -> None:
    three = scores([[1, 0], [0, 0]], [[0.9, 0.9], [0.1, 0.1]])
    metrics = evaluate(three, {})
    assert metrics["labels"]["b"]["average_precision"] is None
    assert metrics["labels"]["b"]["support"] == 0
    assert metrics["macro_average_precision"] == 1.0
    assert metrics["macro_f1"] == 1.0
    assert metrics["micro_f1"] == pytest.approx(2 / 3, abs=1e-6), "but the wrong decision is counted"


def test_with_no_positive_at_all_the_figures_are_zero_and_not_nan() -> None:
    metrics = evaluate(scores([[0, 0]], [[0.9, 0.1]]), {})
    figures = {name: metrics[name] for name in ("macro_average_precision", "micro_average_precision", "macro_f1")}
    assert set(figures.values()) == {0.0}


def test_a_label_that_the_model_does_not_know_is_a_miss() -> None:
    probabilities = np.array([[0.9, 0.2]])
    result = aligned(probabilities, ("a", "b"), ("b", "new", "a"))
    np.testing.assert_array_equal(result, [[0.2, 0.0, 0.9]])


def test_truth_is_a_matrix_in_the_labels_order_and_unknown_labels_are_left_out() -> None:
    truth = truth_matrix([("a",), (), ("b", "a", "other")], ("b", "a"))
    np.testing.assert_array_equal(truth, [[False, True], [False, False], [True, True]])


def separable(positives: int, negatives: int, *, border: float) -> tuple[list[list[int]], list[list[float]]]:
    """One label whose positives lie above `border` and whose negatives below."""
    truth = [[1]] * positives + [[0]] * negatives
    probabilities = [[border + 0.005]] * positives + [[border - 0.005]] * negatives
    return truth, probabilities


def test_with_many_positives_a_threshold_is_the_labels_own_best() -> None:
    truth, probabilities = separable(5000, 5000, border=0.3)
    (threshold,) = tune_thresholds(scores(truth, probabilities, ("a",))).values()
    assert threshold == pytest.approx(0.3, abs=0.01)


def test_with_few_positives_a_threshold_stays_near_the_default() -> None:
    truth, probabilities = separable(1, 5, border=0.3)
    (threshold,) = tune_thresholds(scores(truth, probabilities, ("a",))).values()
    # The shared one is (0.3·1 + 0.5·20)/21; the label's is drawn to that by the same weights.
    shared = (0.3 + 0.5 * 20) / 21
    assert threshold == pytest.approx((0.3 + shared * 20) / 21, abs=1e-3)


def test_a_label_without_positives_takes_the_shared_threshold_and_without_any_the_default() -> None:
    many, probabilities = separable(200, 200, border=0.3)
    two = scores([[row[0], 0] for row in many], [[p[0], 0.01] for p in probabilities])
    thresholds = tune_thresholds(two)
    assert thresholds["b"] == pytest.approx((0.3 * 200 + 0.5 * 20) / 220, abs=0.01)
    assert tune_thresholds(scores([[0, 0]], [[0.9, 0.9]])) == {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize(
    ("candidate", "champion", "min_gain", "promote", "reason"),
    [
        (0.1, None, 0.5, True, "there was no champion"),
        (0.81, 0.80, 0.0, True, "better: iou 0.8100 against the champion's 0.8000"),
        (0.80, 0.80, 0.0, False, "not better by more than 0: iou 0.8000"),
        (0.79, 0.80, 0.0, False, "not better"),
        (0.82, 0.80, 0.05, False, "not better by more than 0.05"),
        (0.86, 0.80, 0.05, True, "better"),
    ],
)
def test_a_candidate_takes_over_only_when_it_is_better_by_more_than_the_least_gain(
    candidate: float, champion: float | None, min_gain: float, promote: bool, reason: str
) -> None:
    of_champion: dict[str, Any] | None = None if champion is None else {"iou": champion}
    decided, why = Gate("iou", min_gain).decide({"iou": candidate}, of_champion)
    assert decided is promote
    assert reason in why
