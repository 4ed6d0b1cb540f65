"""The trained part of the model: standardise the features, then one logistic regression per label.

Measured on photographs (aquarium, folds without shared bursts): averaged features alone do as well as with maximum
pooling beside them, and averaging mirrored images adds 0.01 to 0.02 mean average precision for twice the time. So the
network stays as it is, and the head is one matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from local.automl.efficientnet import LinearLayer
from local.automl.logistic import Coefficients, Matrix, Problems, balanced_weights, fit

# Between these the score hardly changes on the data sets measured; cross-validation picks among them.
STRENGTHS = (0.003, 0.01, 0.03, 0.1)
DEFAULT_STRENGTH = 0.03
# Trials spread over a wider range, so that they differ.
TRIAL_RANGE = (0.0005, 1.0)
FOLDS = 3
MIN_PER_FOLD = 2

Features = NDArray[np.float32]
Targets = NDArray[np.bool_]


@dataclass(frozen=True)
class Standardizer:
    """Mean and deviation of every feature over the training images."""

    mean: Matrix
    deviation: Matrix

    @classmethod
    def of(cls, features: Features) -> Standardizer:
        values = features.astype(np.float64)
        deviation = values.std(axis=0)
        # A feature that never moves in training must not explode on the first image where it does.
        floor = max(1e-3 * float(deviation.max(initial=0)), 1e-6)
        return cls(values.mean(axis=0), np.maximum(deviation, floor))

    def apply(self, features: Features) -> Matrix:
        values: Matrix = (features - self.mean) / self.deviation
        return values

    def fold_into(self, coefficients: Coefficients) -> LinearLayer:
        """One layer on the raw features that gives the same logits."""
        weights = coefficients.weights / self.deviation[:, None]
        bias = coefficients.bias - self.mean @ weights
        return LinearLayer(weights.astype(np.float32), bias.astype(np.float32))


def train(features: Features, targets: Targets, strength: float) -> LinearLayer:
    """The head for (images, 1280) features and (images, labels) targets; every label needs both kinds of images."""
    standardizer = Standardizer.of(features)
    problems = Problems(targets, balanced_weights(targets), np.full(targets.shape[1], strength))
    return standardizer.fold_into(fit(standardizer.apply(features), problems))


def choose_strength(features: Features, targets: Targets, order: Sequence[str]) -> float:
    """C with the least balanced log loss on held-out images; DEFAULT_STRENGTH where labels are too rare to tell.

    Images that follow each other in `order` (their addresses) tend to show the same scene, so a fold is a run of them
    rather than a random draw. Features are standardised once, over all rows: it uses no target.
    """
    folds = stratified_runs(targets, order)
    x = Standardizer.of(features).apply(features)
    columns: list[tuple[int, int]] = []
    for fold in range(FOLDS):
        kept, held = targets[folds != fold], targets[folds == fold]
        for label in range(targets.shape[1]):
            positives = min(kept[:, label].sum(), held[:, label].sum())
            negatives = min((~kept[:, label]).sum(), (~held[:, label]).sum())
            if min(positives, negatives) >= MIN_PER_FOLD:
                columns.append((fold, label))
    if not columns:
        return DEFAULT_STRENGTH
    truth = targets[:, [label for _, label in columns]]
    held_out = np.stack([folds == fold for fold, _ in columns], axis=1)
    kept_weights, held_weights = np.zeros(truth.shape), np.zeros(truth.shape)
    for column in range(len(columns)):
        held = held_out[:, column]
        kept_weights[~held, column] = balanced_weights(truth[~held, column : column + 1])[:, 0]
        held_weights[held, column] = balanced_weights(truth[held, column : column + 1])[:, 0]
    count = len(STRENGTHS)
    problems = Problems(
        np.tile(truth, (1, count)), np.tile(kept_weights, (1, count)), np.repeat(STRENGTHS, len(columns))
    )
    logits = fit(x, problems, tolerance=1e-2).logits(x)
    loss = np.logaddexp(0, np.where(problems.targets, -logits, logits)) * np.tile(held_weights, (1, count))
    per_image = loss.sum(axis=0) / np.tile(held_out.sum(axis=0), count)
    return STRENGTHS[int(per_image.reshape(count, -1).mean(axis=1).argmin())]


def stratified_runs(targets: Targets, order: Sequence[str]) -> NDArray[np.intp]:
    """A fold number for each image: the images of each rarest label, in order, cut into FOLDS runs."""
    frequency = np.append(targets.sum(axis=0), len(targets) + 1)
    padded = np.hstack([targets, np.ones((len(targets), 1), bool)])
    group = np.where(padded, frequency, np.iinfo(np.int64).max).argmin(axis=1)
    folds = np.zeros(len(targets), np.intp)
    for number in np.unique(group):
        members = sorted(np.flatnonzero(group == number).tolist(), key=lambda index: order[index])
        # Start with another fold for each group, so that the short ones do not all leave out the same.
        folds[members] = (np.arange(len(members)) * FOLDS // len(members) + number) % FOLDS
    return folds
