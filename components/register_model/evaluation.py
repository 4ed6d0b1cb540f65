"""Metrics of multi-label predictions on the images of one split. Pure functions on arrays.

**Labels that not both models know.** Candidate and champion are measured on the same images and the same labels: those
that the data set is labelled with (`compared_labels`). For one of these that a model does not know, it gives every
image probability 0: each positive is a miss, and its average precision is chance (the share of positives). A label that
only the champion knows is left out for both: the images may well show it, but nobody was asked, so neither a hit nor a
false alarm can be told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

DEFAULT_THRESHOLD = 0.5
# Calibration: ten bins of equal width over the probability that a label is there, all labels pooled.
BINS = 10


@dataclass(frozen=True)
class Scores:
    """Probabilities (n, labels) of one model for images whose truth is `truth` (n, labels), in `labels`' order."""

    labels: tuple[str, ...]
    truth: Bools
    probabilities: Floats

    def decided(self, thresholds: Mapping[str, float]) -> Bools:
        """Which labels the model gives, (n, labels); 0.5 where there is no threshold."""
        result: Bools = self.probabilities >= self.limits(thresholds)
        return result

    def limits(self, thresholds: Mapping[str, float]) -> Floats:
        """The thresholds in the labels' order."""
        return np.array([thresholds.get(label, DEFAULT_THRESHOLD) for label in self.labels], dtype=np.float64)


def truth_matrix(labels_of_images: Sequence[Sequence[str]], labels: Sequence[str]) -> Bools:
    """Which image has which label, (n, labels). Labels that are not in `labels` are ignored."""
    column = {label: index for index, label in enumerate(labels)}
    truth = np.zeros((len(labels_of_images), len(labels)), dtype=bool)
    for row, image_labels in enumerate(labels_of_images):
        for label in image_labels:
            if label in column:
                truth[row, column[label]] = True
    return truth


def compared_labels(candidate: Iterable[str], labels_of_images: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """The labels that models are compared on, sorted: the candidate's and those of the test images."""
    return tuple(sorted({*candidate, *(label for labels in labels_of_images for label in labels)}))


def aligned(probabilities: Floats, have: Sequence[str], want: Sequence[str]) -> Floats:
    """Columns reordered to `want`; a label that the model does not know gets probability 0."""
    column = {label: index for index, label in enumerate(have)}
    result = np.zeros((len(probabilities), len(want)))
    for index, label in enumerate(want):
        if label in column:
            result[:, index] = probabilities[:, column[label]]
    return result


def evaluate(scores: Scores, thresholds: Mapping[str, float]) -> dict[str, Any]:
    """Metrics on the images of `scores`, 0..1: average precision, precision, recall and F1, each micro, macro and
    weighted by support; IoU (Jaccard, by image), subset accuracy, `ece` (see `calibration`); and under `labels` each
    label's own, with its support and threshold. Macro and weighted figures are taken over the labels that occur.
    """
    truth, decided, probabilities = scores.truth, scores.decided(thresholds), scores.probabilities
    if not truth.size:
        raise ValueError("there is nothing to evaluate: no images, or no labels")
    support = truth.sum(axis=0)
    occurs = support > 0
    # Label by label: scikit-learn takes a matrix of a single label for two classes.
    columns = range(len(scores.labels))
    by_label = np.array([_figures(truth[:, each], decided[:, each], probabilities[:, each]) for each in columns])
    pooled = _figures(truth.ravel(), decided.ravel(), probabilities.ravel())
    metrics: dict[str, Any] = {"images": len(truth)}
    for index, name in enumerate(("average_precision", "precision", "recall", "f1")):
        known = by_label[occurs, index]
        metrics[f"macro_{name}"] = _rounded(known.mean() if occurs.any() else 0.0)
        metrics[f"micro_{name}"] = _rounded(pooled[index])
        metrics[f"weighted_{name}"] = _rounded(np.average(known, weights=support[occurs]) if occurs.any() else 0.0)
    metrics["iou"] = _rounded(overlaps(truth, decided).mean())
    metrics["subset_accuracy"] = _rounded((truth == decided).all(axis=1).mean())
    metrics["ece"] = calibration(scores)["ece"]
    limits = scores.limits(thresholds)
    metrics["labels"] = {
        label: {
            "precision": _rounded(by_label[index, 1]),
            "recall": _rounded(by_label[index, 2]),
            "f1": _rounded(by_label[index, 3]),
            "average_precision": _rounded(by_label[index, 0]) if occurs[index] else None,
            "support": int(support[index]),
            "threshold": float(limits[index]),
        }
        for index, label in enumerate(scores.labels)
    }
    return metrics


def _figures(truth: Bools, decided: Bools, probabilities: Floats) -> tuple[float, float, float, float]:
    """Average precision, precision, recall and F1 of yes-or-no decisions; 0 where undefined."""
    average_precision = average_precision_score(truth, probabilities) if truth.any() else 0.0
    precision, recall, f1, _ = precision_recall_fscore_support(truth, decided, average="binary", zero_division=0.0)
    return average_precision, precision, recall, f1


def overlaps(truth: Bools, decided: Bools) -> Floats:
    """Intersection over union of each image's true and decided labels (n,); 1 where it has neither."""
    union = (truth | decided).sum(axis=1)
    return np.divide((truth & decided).sum(axis=1), union, out=np.ones(len(truth)), where=union > 0)


def bins(probabilities: Floats) -> NDArray[np.intp]:
    """The calibration bin of each probability, 0 to BINS - 1."""
    return np.minimum((probabilities * BINS).astype(np.intp), BINS - 1)


def calibration(scores: Scores) -> dict[str, Any]:
    """Expected calibration error, and the bins it comes from: over all (image, label) pairs, in BINS bins of equal
    width, the mean distance between the predicted probability and the share of positives, weighted by the pairs in the
    bin.
    """
    number = bins(scores.probabilities).ravel()
    count = np.bincount(number, minlength=BINS)
    predicted = np.bincount(number, scores.probabilities.ravel(), minlength=BINS)
    positive = np.bincount(number, scores.truth.ravel(), minlength=BINS)
    return {
        "ece": _rounded(np.abs(predicted - positive).sum() / max(number.size, 1)),
        "bins": [
            {
                "count": int(count[each]),
                "predicted": _rounded(predicted[each] / count[each]),
                "observed": _rounded(positive[each] / count[each]),
            }
            for each in np.flatnonzero(count)
        ],
    }


def _rounded(value: Any) -> float:
    return round(float(value), 6)
