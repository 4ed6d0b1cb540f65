"""Metrics and thresholds of multi-label predictions. Pure functions on arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score, jaccard_score, precision_recall_fscore_support

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# A label's own best threshold counts as much as its positives do against this many for the shared one: thresholds
# tuned on few positives overfit.
PRIOR_POSITIVES = 20.0
DEFAULT_THRESHOLD = 0.5
GRID = np.linspace(0.1, 0.9, 81)


@dataclass(frozen=True)
class Scores:
    """Probabilities (n, labels) of one model for images whose truth is `truth` (n, labels), in `labels`' order."""

    labels: tuple[str, ...]
    truth: Bools
    probabilities: Floats


def truth_matrix(labels_of_images: Sequence[Sequence[str]], labels: Sequence[str]) -> Bools:
    """Which image has which label, (n, labels). Labels that are not in `labels` are ignored."""
    column = {label: index for index, label in enumerate(labels)}
    truth = np.zeros((len(labels_of_images), len(labels)), dtype=bool)
    for row, image_labels in enumerate(labels_of_images):
        for label in image_labels:
            if label in column:
                truth[row, column[label]] = True
    return truth


def aligned(probabilities: Floats, have: Sequence[str], want: Sequence[str]) -> Floats:
    """Columns reordered to `want`; a label that the model does not know gets probability 0."""
    column = {label: index for index, label in enumerate(have)}
    result = np.zeros((len(probabilities), len(want)))
    for index, label in enumerate(want):
        if label in column:
            result[:, index] = probabilities[:, column[label]]
    return result


def tune_thresholds(scores: Scores) -> dict[str, float]:
    """A threshold for each label, 0.1 to 0.9, that maximises its F1 on validation images, drawn toward a shared one
    (and that toward 0.5) the fewer positives there are.
    """
    positives = scores.truth.sum(axis=0).astype(float)
    shared = _best_threshold(scores.truth.ravel(), scores.probabilities.ravel())
    shared = _blend(shared, DEFAULT_THRESHOLD, float(positives.sum()))
    thresholds = {}
    for index, label in enumerate(scores.labels):
        best = shared
        if positives[index]:
            best = _best_threshold(scores.truth[:, index], scores.probabilities[:, index])
        thresholds[label] = round(_blend(best, shared, float(positives[index])), 4)
    return thresholds


def _blend(own: float, prior: float, positives: float) -> float:
    return (own * positives + prior * PRIOR_POSITIVES) / (positives + PRIOR_POSITIVES)


def _best_threshold(truth: Bools, probabilities: Floats) -> float:
    """The middle of the thresholds with the best F1."""
    if not truth.any():
        return DEFAULT_THRESHOLD
    decided = probabilities[:, None] >= GRID
    found = (truth[:, None] & decided).sum(axis=0)
    scores = 2 * found / (truth.sum() + decided.sum(axis=0))
    best = GRID[scores >= scores.max() - 1e-12]
    return float(best[len(best) // 2])


def evaluate(scores: Scores, thresholds: Mapping[str, float]) -> dict[str, Any]:
    """Metrics on the images of `scores`: micro and macro average precision and F1, IoU (Jaccard, by image), subset
    accuracy, and for each label precision, recall, F1, average precision and support. Macro figures are taken over the
    labels that occur.
    """
    limits = np.array([thresholds.get(label, DEFAULT_THRESHOLD) for label in scores.labels])
    truth, decided = scores.truth, scores.probabilities >= limits
    occurs = truth.any(axis=0)
    average_precision = [
        float(average_precision_score(truth[:, index], scores.probabilities[:, index])) if occurs[index] else None
        for index in range(len(scores.labels))
    ]
    precision, recall, f1, support = precision_recall_fscore_support(truth, decided, average=None, zero_division=0.0)
    known = [value for value in average_precision if value is not None]
    return {
        "images": len(truth),
        "macro_average_precision": _rounded(np.mean(known) if known else 0.0),
        "micro_average_precision": _rounded(
            average_precision_score(truth.ravel(), scores.probabilities.ravel()) if known else 0.0
        ),
        "macro_f1": _rounded(f1[occurs].mean() if known else 0.0),
        "micro_f1": _rounded(f1_score(truth, decided, average="micro", zero_division=0.0)),
        "iou": _rounded(jaccard_score(truth, decided, average="samples", zero_division=1.0)),
        "subset_accuracy": _rounded((truth == decided).all(axis=1).mean() if len(truth) else 0.0),
        "labels": {
            label: {
                "precision": _rounded(precision[index]),
                "recall": _rounded(recall[index]),
                "f1": _rounded(f1[index]),
                "average_precision": None if average_precision[index] is None else _rounded(average_precision[index]),
                "support": int(support[index]),
                "threshold": float(limits[index]),
            }
            for index, label in enumerate(scores.labels)
        },
    }


def _rounded(value: Any) -> float:
    return round(float(value), 6)
