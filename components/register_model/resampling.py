"""How sure the figures are: a bootstrap over the test images.

RESAMPLES times, as many images as there are are drawn with replacement, and every metric is computed on them. A sample
is a row of counts, one for each image, so that a metric of many samples is a few matrix products; both models are
measured on the same samples, since most of what varies (hard images drawn twice) is common to both and cancels in the
difference.

Percentiles of a bootstrap are too narrow for few images. They are widened as Hesterberg proposes, so that for a mean
they agree with Student's t (https://doi.org/10.1080/00031305.2015.1089789, the "expanded percentile").
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array  # type: ignore[import-untyped]
from scipy.stats import norm, t  # type: ignore[import-untyped]

from components.register_model.evaluation import BINS, Bools, Floats, Scores, bins, overlaps

RESAMPLES = 1000
# Distinct probabilities that average precision tells apart in a sample.
MAX_CELLS = 2000
# Elements of the largest array at a time: 32 MB.
CHUNK = 4_000_000


@dataclass(frozen=True)
class Resampled:
    """Metrics of many samples: each of `metrics` (samples,), those of each label (samples, labels). NaN where a sample
    has no image with the label.
    """

    metrics: Mapping[str, Floats]
    average_precision: Floats
    f1: Floats


def resample(models: Mapping[str, tuple[Scores, Mapping[str, float]]], seed: int) -> dict[str, Resampled]:
    """The metrics of RESAMPLES samples for several models, by name, each with its thresholds, on the same images."""
    parts: dict[str, list[Resampled]] = {name: [] for name in models}
    size, labels = next(iter(models.values()))[0].truth.shape
    for weights in _samples(size, max(size, min(size * labels, MAX_CELLS)), seed):
        for name, (scores, thresholds) in models.items():
            parts[name].append(weighted_metrics(scores, thresholds, weights))
    return {
        name: Resampled(
            {metric: np.concatenate([each.metrics[metric] for each in found]) for metric in found[0].metrics},
            np.concatenate([each.average_precision for each in found]),
            np.concatenate([each.f1 for each in found]),
        )
        for name, found in parts.items()
    }


def _samples(size: int, elements: int, seed: int) -> Iterator[Floats]:
    """Counts of each image in each sample, (some samples, size), RESAMPLES rows in all."""
    generator = np.random.default_rng(seed)
    step = max(1, min(RESAMPLES, CHUNK // max(elements, 1)))
    for start in range(0, RESAMPLES, step):
        rows = min(step, RESAMPLES - start)
        yield generator.multinomial(size, np.full(size, 1 / size), size=rows).astype(np.float64)


def weighted_metrics(scores: Scores, thresholds: Mapping[str, float], weights: Floats) -> Resampled:
    """The metrics of `evaluation.evaluate`, by the same names, with image i counted `weights[:, i]` times."""
    truth, decided, probabilities = scores.truth, scores.decided(thresholds), scores.probabilities
    positives, chosen = weights @ truth, weights @ decided
    found = weights @ (truth & decided)
    occurs = positives > 0
    f1 = _ratio(2 * found, positives + chosen)
    images = np.arange(len(truth))
    precision = np.stack(
        [
            weighted_average_precision(truth[:, each], probabilities[:, each], weights, images)
            for each in range(truth.shape[1])
        ],
        axis=1,
    )
    rows = np.repeat(np.arange(len(truth)), truth.shape[1])
    total = weights.sum(axis=1)
    metrics = {
        "macro_average_precision": _mean(np.where(occurs, precision, 0.0), occurs),
        "micro_average_precision": weighted_average_precision(truth.ravel(), probabilities.ravel(), weights, rows),
        "macro_f1": _mean(f1, occurs),
        "micro_f1": _ratio(2 * found.sum(axis=1), (positives + chosen).sum(axis=1)),
        "iou": weights @ overlaps(truth, decided) / total,
        "subset_accuracy": weights @ (truth == decided).all(axis=1) / total,
        "ece": _calibration_error(truth, probabilities, weights) / (total * truth.shape[1]),
    }
    return Resampled(metrics, precision, np.where(occurs, f1, np.nan))


def weighted_average_precision(
    truth: Bools, probabilities: Floats, weights: Floats, images: NDArray[np.intp]
) -> Floats:
    """Average precision in each sample, (samples,), of decisions (m,) on `images` (m,), which index the columns of
    `weights`. NaN without a positive. Equal probabilities are taken together, and neighbouring ones where there are
    more than MAX_CELLS.
    """
    values, cell = np.unique(-probabilities, return_inverse=True)
    if len(values) > MAX_CELLS:
        cell = cell * MAX_CELLS // len(values)
    shape = (min(len(values), MAX_CELLS), weights.shape[1])
    there = csr_array((np.ones(len(cell)), (cell, images)), shape=shape)
    positive = csr_array((truth.astype(np.float64), (cell, images)), shape=shape)
    seen, hits = (np.cumsum(each @ weights.T, axis=0) for each in (there, positive))
    area = (np.diff(hits, axis=0, prepend=0.0) * _ratio(hits, seen)).sum(axis=0)
    result: Floats = np.where(hits[-1] > 0, area / np.maximum(hits[-1], 1), np.nan)
    return result


def _calibration_error(truth: Bools, probabilities: Floats, weights: Floats) -> Floats:
    number, gap = bins(probabilities), probabilities - truth
    by_image = np.stack([np.where(number == each, gap, 0.0).sum(axis=1) for each in range(BINS)], axis=1)
    result: Floats = np.abs(weights @ by_image).sum(axis=1)
    return result


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.zeros(np.shape(above)), where=below > 0)


def _mean(values: Floats, where: Bools) -> Floats:
    count = where.sum(axis=1)
    result: Floats = np.where(count > 0, (values * where).sum(axis=1) / np.maximum(count, 1), np.nan)
    return result


def lower_bound(values: Floats, confidence: float, size: int) -> float:
    """What the true value exceeds with one-sided `confidence` (0..1), from its values in samples of `size` images.
    Minus infinity for fewer than two images, or when no sample has a value: then nothing is known.
    """
    known = values[~np.isnan(values)]
    if size < 2 or not known.size:
        return -math.inf
    tail = norm.cdf(math.sqrt(size / (size - 1)) * t.ppf(1 - confidence, size - 1))
    return float(np.quantile(known, tail))


def upper_bound(values: Floats, confidence: float, size: int) -> float:
    """What the true value stays below with one-sided `confidence`; see `lower_bound`."""
    return -lower_bound(-values, confidence, size)


def margin(values: Floats, confidence: float, size: int) -> float:
    """How far noise may move a value with one-sided `confidence`, by Student's t and the deviation of its values in
    samples of `size` images. For levels so high that percentiles of the samples do not reach there.
    """
    known = values[~np.isnan(values)]
    if size < 2 or not known.size:
        return math.inf
    return float(t.ppf(confidence, size - 1) * known.std() * math.sqrt(size / (size - 1)))


def intervals(resampled: Resampled, scores: Scores, confidence: float = 0.95) -> dict[str, Any]:
    """Two-sided intervals [low, high] of each metric, and under `labels` of each label's average precision and F1; None
    where the images are too few to tell.
    """
    size = len(scores.truth)
    support = scores.truth.sum(axis=0)
    labels = {
        label: {
            "average_precision": _interval(resampled.average_precision[:, index], confidence, int(support[index])),
            "f1": _interval(resampled.f1[:, index], confidence, int(support[index])),
        }
        for index, label in enumerate(scores.labels)
    }
    return {
        "confidence": confidence,
        "resamples": RESAMPLES,
        "metrics": {name: _interval(values, confidence, size) for name, values in resampled.metrics.items()},
        "labels": labels,
    }


def _interval(values: Floats, confidence: float, size: int) -> list[float] | None:
    one_sided = (1 + confidence) / 2
    low, high = lower_bound(values, one_sided, size), upper_bound(values, one_sided, size)
    return [round(low, 6), round(high, 6)] if math.isfinite(low) else None
