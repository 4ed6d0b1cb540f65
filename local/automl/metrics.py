"""The validation metrics, by AutoML's names where they mean the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 0.5

Scores = NDArray[np.floating]
Flags = NDArray[np.bool_]


def evaluate(targets: Flags, logits: Scores) -> dict[str, float]:
    """Metrics of (images, labels) logits at probability 0.5, against (images, labels) targets.

    `iou` is the mean over images of |predicted and true| / |predicted or true|, 1 where both are empty; `f1` is
    micro-averaged. A label without a positive or without a negative image has no average precision and is left out of
    that mean; when no label has one, the metric is missing.
    """
    predicted = logits > np.log(THRESHOLD / (1 - THRESHOLD))
    metrics = {
        "iou": iou(targets, predicted),
        "f1": _f1(targets.ravel(), predicted.ravel()),
        "f1_score_macro": float(np.mean([_f1(t, p) for t, p in zip(targets.T, predicted.T, strict=True)])),
        "accuracy": float((targets == predicted).all(axis=1).mean()),
    }
    precisions = [
        average_precision(truth, scores)
        for truth, scores in zip(targets.T, logits.T, strict=True)
        if truth.any() and not truth.all()
    ]
    if precisions:
        metrics["average_precision_score_macro"] = float(np.mean(precisions))
    return metrics


def iou(targets: Flags, predicted: Flags) -> float:
    """Mean over images of the overlap of the predicted and the true label sets, 0..1."""
    union = (targets | predicted).sum(axis=1)
    shared = (targets & predicted).sum(axis=1)
    return float(np.where(union == 0, 1.0, shared / np.maximum(union, 1)).mean())


def average_precision(targets: Flags, scores: Scores) -> float:
    """Area below the precision-recall steps of one label, images of equal score taken together; 0..1."""
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.append(np.diff(scores[order]) != 0, True)
    hits = np.cumsum(targets[order])[last_of_ties]
    seen = np.flatnonzero(last_of_ties) + 1
    return float((np.diff(hits, prepend=0) * hits / seen).sum() / targets.sum())


def _f1(targets: Flags, predicted: Flags) -> float:
    found = int((targets & predicted).sum())
    total = int(targets.sum()) + int(predicted.sum())
    return 2 * found / total if total else 0.0
