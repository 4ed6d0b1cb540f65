"""Metrics, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from components.register_model.evaluation import aligned, calibration, compared_labels, evaluate, truth_matrix
from tests.unit.components.support import drawn, scores

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


def test_models_are_compared_on_the_labels_of_the_candidate_and_of_the_test_images() -> None:
    assert compared_labels(("b", "a"), [("a",), ("new", "a"), ()]) == ("a", "b", "new")


def test_a_label_that_a_model_does_not_know_has_chances_average_precision_and_no_recall() -> None:
    truth = [[1], [0], [0], [1], [0]]
    metrics = evaluate(scores(truth, [[0.0]] * 5, ("new",)), {})
    assert metrics["labels"]["new"]["average_precision"] == pytest.approx(2 / 5)
    assert metrics["labels"]["new"]["recall"] == metrics["labels"]["new"]["f1"] == 0.0


def test_weighted_figures_count_a_label_by_its_support() -> None:
    # a: 3 positives, all found and nothing else → F1 1; b: 1 positive, missed → F1 0.
    four = scores([[1, 0], [1, 0], [1, 1], [0, 0]], [[0.9, 0.1], [0.9, 0.1], [0.9, 0.2], [0.1, 0.3]])
    metrics = evaluate(four, {})
    assert metrics["macro_f1"] == pytest.approx(1 / 2)
    assert metrics["weighted_f1"] == metrics["weighted_recall"] == pytest.approx(3 / 4)
    assert metrics["macro_precision"] == pytest.approx(1 / 2)
    assert metrics["weighted_average_precision"] == pytest.approx((3 * 1 + 1 * 1 / 2) / 4)


def test_calibration_is_the_distance_of_probability_and_share_by_bin() -> None:
    # Bin 0.1 to 0.2: 0.1, 0.1 with no positive; bin 0.8 to 0.9: 0.8, 0.8 with one positive of two.
    found = calibration(scores([[0], [0], [1], [0]], [[0.1], [0.1], [0.8], [0.8]], ("a",)))
    assert found["bins"] == [
        {"count": 2, "predicted": 0.1, "observed": 0.0},
        {"count": 2, "predicted": 0.8, "observed": 0.5},
    ]
    assert found["ece"] == pytest.approx((2 * 0.1 + 2 * 0.3) / 4)


def test_probabilities_that_mean_what_they_say_are_calibrated() -> None:
    generator = np.random.default_rng(1)
    probabilities = generator.random((20_000, 1))
    sure = scores((generator.random((20_000, 1)) < probabilities).tolist(), probabilities.tolist(), ("a",))
    assert calibration(sure)["ece"] < 0.02
    assert evaluate(drawn(500, quality=0.0), {})["ece"] > 0.1


def test_a_probability_of_one_belongs_to_the_last_bin() -> None:
    assert calibration(scores([[1]], [[1.0]], ("a",)))["bins"] == [{"count": 1, "predicted": 1.0, "observed": 1.0}]


def test_nothing_to_evaluate_is_an_error() -> None:
    with pytest.raises(ValueError, match="no images, or no labels"):
        evaluate(scores([], [], ()), {})
