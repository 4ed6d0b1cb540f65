"""A threshold for each label, tuned on images that the model was not fitted to.

**What is cross-validated.** AutoML hands over one fitted model. It was fitted to the training images: there its
probabilities lie near the truth whatever they are worth, nearly every threshold separates them, and one tuned on them
says nothing about new images. Out-of-fold probabilities of training images would take a model for each fold, each as
dear as the training itself. So the training images are not scored, and thresholds come from the validation images,
which the weights have not seen (AutoML only chooses checkpoints and trials by them). What is cross-validated there is
the tuning: how far each label may follow its own few positives. In repeated folds each image is decided by thresholds
that were tuned without it. The test images are never looked at.

**Shrinkage.** A label's best threshold is averaged over bootstrap samples, then drawn toward one that all labels share,
and that toward 0.5: weight p / (p + strength) for p positives. The folds choose among STRENGTHS, which begin with 0.5
for all labels. Thresholds tuned freely on small sets are worse than 0.5; bench/thresholds.py measures these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.register_model.evaluation import DEFAULT_THRESHOLD, Bools, Floats, Scores

OBJECTIVES = ("f1", "precision")
GRID: Floats = np.linspace(0.05, 0.95, 91)
# In positives; the first is "0.5 for all labels".
STRENGTHS = (np.inf, 100.0, 50.0, 20.0)
FOLDS, REPEATS, SAMPLES = 5, 4, 40
SAFE = 0.8
# Images that follow each other by address are often frames of one scene: whole runs of them go to one fold.
RUNS = 20
# More images hardly move a threshold, but tuning takes time in proportion.
MAX_IMAGES = 4000


@dataclass(frozen=True)
class Objective:
    """What a threshold is to achieve: `f1`, the best F1; or `precision`, the most recall of those with at least
    `min_precision` (0..1).
    """

    name: str = "f1"
    min_precision: float = 0.9

    def utility(self, found: Floats, decided: Floats, positives: Floats) -> Floats:
        """How good decisions are, from counts of true positives, positive decisions and true labels (they broadcast):
        F1; or recall where the precision is reached, and below 0, by what it lacks, where not.
        """
        if self.name == "f1":
            result: Floats = 2 * found / np.maximum(decided + positives, 1)
        else:
            precision = np.where(decided > 0, found / np.maximum(decided, 1), 1.0)
            recall = found / np.maximum(positives, 1)
            result = np.where(precision >= self.min_precision, recall, precision - self.min_precision)
        return result

    def chosen(self, thresholds: Floats) -> float:
        """One threshold from those of the bootstrap samples: their mean; or, as a floor is to be kept on new images
        too, one above most of them.
        """
        return float(np.mean(thresholds) if self.name == "f1" else np.quantile(thresholds, SAFE))


@dataclass(frozen=True)
class Tuned:
    """Thresholds by label, and how they were found: the `strength` of the shrinkage (None: all are 0.5), and the
    utility in cross-validation of each strength that was tried.
    """

    thresholds: Mapping[str, float]
    strength: float | None
    cross_validation: Mapping[str, float]

    def to_json(self, objective: Objective, images: int) -> dict[str, Any]:
        """For the card."""
        floor = {"min_precision": objective.min_precision} if objective.name == "precision" else {}
        return {
            "objective": objective.name,
            **floor,
            "validation_images": images,
            "strength": self.strength,
            "cross_validation": dict(self.cross_validation),
        }


def tune_thresholds(scores: Scores, objective: Objective | None = None, seed: int = 1) -> Tuned:
    """Tune on the validation images of `scores`, whose rows are in the order of their addresses.

    With fewer images than two a fold, or none with a label, every threshold is 0.5.
    """
    objective = objective or Objective()
    size = len(scores.truth)
    if size < 2 * FOLDS or not scores.truth.any():
        return Tuned(dict.fromkeys(scores.labels, DEFAULT_THRESHOLD), None, {})
    generator = np.random.default_rng(seed)
    kept = np.sort(generator.choice(size, min(size, MAX_IMAGES), replace=False))
    truth, probabilities = scores.truth[kept], scores.probabilities[kept]
    utilities = _cross_validate(truth, probabilities, objective, generator)
    # Of equals the first: the strongest shrinkage.
    strength = STRENGTHS[int(np.argmax(np.round(utilities, 9)))]
    thresholds = _Fitted.to(truth, probabilities, objective, generator).shrunk(strength)
    return Tuned(
        {label: round(float(each), 4) for label, each in zip(scores.labels, thresholds, strict=True)},
        None if np.isinf(strength) else strength,
        {_name(each): round(float(utility), 6) for each, utility in zip(STRENGTHS, utilities, strict=True)},
    )


def _name(strength: float) -> str:
    return "0.5 for all" if np.isinf(strength) else f"{strength:g}"


def _cross_validate(
    truth: Bools, probabilities: Floats, objective: Objective, generator: np.random.Generator
) -> Floats:
    """The mean utility of each strength over the labels that occur, on images that the tuning did not see."""
    occurs = truth.any(axis=0)
    utilities = np.zeros((REPEATS, len(STRENGTHS)))
    for repeat in range(REPEATS):
        folds = _folds(len(truth), generator)
        decided = np.zeros((len(STRENGTHS), *truth.shape), dtype=bool)
        for fold in range(FOLDS):
            held = folds == fold
            fitted = _Fitted.to(truth[~held], probabilities[~held], objective, generator)
            for index, strength in enumerate(STRENGTHS):
                decided[index, held] = probabilities[held] >= fitted.shrunk(strength)
        found = (decided & truth).sum(axis=1).astype(np.float64)
        counts = decided.sum(axis=1).astype(np.float64)
        by_label = objective.utility(found, counts, truth.sum(axis=0).astype(np.float64))
        utilities[repeat] = by_label[:, occurs].mean(axis=1)
    result: Floats = utilities.mean(axis=0)
    return result


def _folds(size: int, generator: np.random.Generator) -> NDArray[np.intp]:
    runs = min(RUNS, size)
    dealt: NDArray[np.intp] = generator.permutation(np.arange(runs) % FOLDS)
    return dealt[np.arange(size) * runs // size]


@dataclass(frozen=True)
class _Fitted:
    """Unshrunk thresholds: each label's `own` (labels,), the `shared` one, and the positives they rest on (labels,)."""

    own: Floats
    shared: float
    positives: Floats

    @classmethod
    def to(cls, truth: Bools, probabilities: Floats, objective: Objective, generator: np.random.Generator) -> _Fitted:
        size, labels = truth.shape
        weights = generator.multinomial(size, np.full(size, 1 / size), size=SAMPLES).astype(np.float64)
        positives = weights @ truth
        utilities = np.zeros((SAMPLES, len(GRID), labels))
        for label in range(labels):
            below = np.searchsorted(GRID, probabilities[:, label], side="right")
            found, decided = _decided(below, weights * truth[:, label]), _decided(below, weights)
            utilities[:, :, label] = objective.utility(found, decided, positives[:, label, None])
        known = truth.any(axis=0)
        shared = objective.chosen(_best(utilities[:, :, known].mean(axis=2))) if known.any() else DEFAULT_THRESHOLD
        own = np.full(labels, shared)
        for label in np.flatnonzero(known).tolist():
            own[label] = objective.chosen(_best(utilities[positives[:, label] > 0, :, label]))
        return cls(own, shared, truth.sum(axis=0).astype(np.float64))

    def shrunk(self, strength: float) -> Floats:
        """Each label's threshold, (labels,)."""
        if np.isinf(strength):
            return np.full(len(self.own), DEFAULT_THRESHOLD)
        shared = _blend(self.shared, DEFAULT_THRESHOLD, float(self.positives.sum()), strength)
        result: Floats = (self.own * self.positives + shared * strength) / (self.positives + strength)
        return result


def _blend(own: float, prior: float, positives: float, strength: float) -> float:
    return (own * positives + prior * strength) / (positives + strength)


def _decided(below: NDArray[np.intp], weights: Floats) -> Floats:
    """The weight of the images at or above each threshold of GRID, (samples, grid), for images whose probability lies
    above `below` thresholds (n,), and their weights (samples, n).
    """
    cells = len(GRID) + 1
    at = below + cells * np.arange(len(weights))[:, None]
    counts = np.bincount(at.ravel(), weights.ravel(), minlength=cells * len(weights)).reshape(-1, cells)
    result: Floats = counts[:, ::-1].cumsum(axis=1)[:, -2::-1]
    return result


def _best(utilities: Floats) -> Floats:
    """The best threshold of each sample (samples, grid), of equals the middle one."""
    best = [GRID[row >= row.max() - 1e-9] for row in utilities]
    return np.array([each[len(each) // 2] for each in best] or [DEFAULT_THRESHOLD])
