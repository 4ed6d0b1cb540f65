"""Small scores for the tests of register_model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from components.register_model.evaluation import Floats, Scores, evaluate
from components.register_model.gate import Measured
from components.register_model.resampling import resample

LABELS = ("a", "b")


def scores(truth: list[list[int]], probabilities: list[list[float]], labels: tuple[str, ...] = LABELS) -> Scores:
    return Scores(labels, np.array(truth, dtype=bool), np.array(probabilities, dtype=np.float64))


def drawn(
    size: int, *, labels: int = 3, quality: float = 2.0, share: float = 0.3, seed: int = 0, model: int = 0
) -> Scores:
    """Truth of `seed`, and a model's probabilities: logits that stand `quality` deviations apart. `model` draws another
    model on the same images.
    """
    truth = np.random.default_rng(seed).random((size, labels)) < share
    noise = np.random.default_rng([seed, model, 1]).normal(size=truth.shape)
    return Scores(tuple("abcdefghij"[:labels]), truth, sigmoid((truth - 0.5) * quality + noise))


def sigmoid(logits: Floats) -> Floats:
    result: Floats = 1 / (1 + np.exp(-logits))
    return result


def measured(thresholds: Mapping[str, float] | None = None, **models: Scores) -> dict[str, Measured]:
    """Models measured on the same samples of the same images, by name."""
    resampled = resample({name: (each, thresholds or {}) for name, each in models.items()}, seed=1)
    return {name: Measured(evaluate(each, thresholds or {}), resampled[name]) for name, each in models.items()}
