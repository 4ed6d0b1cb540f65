"""Validation metrics."""

from __future__ import annotations

import numpy as np
import pytest

from local.automl.metrics import average_precision, evaluate

TARGETS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1], [0, 1, 1]], bool)
LOGITS = np.array([[2, -1, -2], [0.5, -0.5, 1], [-1, 3, -2], [-2, -2, -2], [-0.5, 1, 1], [0.5, 2, 0.3]])


def test_metrics_agree_with_scikit_learn() -> None:
    # average_precision_score, f1_score and jaccard_score(average="samples", zero_division=1) of scikit-learn 1.9.1.
    assert evaluate(TARGETS, LOGITS) == pytest.approx(
        {
            "iou": 0.7222222,
            "f1": 0.7058824,
            "f1_score_macro": 0.7111111,
            "accuracy": 0.5,
            "average_precision_score_macro": 0.7685185,
        }
    )


def test_images_of_equal_score_are_taken_together() -> None:
    targets = np.array([1, 0, 1, 0], bool)
    assert average_precision(targets, np.zeros(4)) == average_precision(targets[::-1], np.zeros(4)) == 0.5


def test_a_label_without_positive_images_is_left_out_of_the_mean() -> None:
    targets = TARGETS.copy()
    targets[:, 2] = False
    both = [average_precision(targets[:, i], LOGITS[:, i]) for i in (0, 1)]
    assert evaluate(targets, LOGITS)["average_precision_score_macro"] == pytest.approx(sum(both) / 2)


def test_without_any_positive_image_there_is_no_average_precision() -> None:
    assert "average_precision_score_macro" not in evaluate(np.zeros_like(TARGETS), LOGITS)
