"""Trials: what each one tries, and which is best by the primary metric on the validation images."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from local.automl import head, metrics, search_space
from local.automl.efficientnet import LinearLayer
from local.automl.spec import DEFAULT_MODEL_NAME, PRIMARY_METRIC, TrainingSpec, check_model_name


@dataclass(frozen=True)
class TrialPlan:
    """What one trial tries. `strength` is C; `hyperparameters` are the values drawn from the search space."""

    number: int
    model_name: str
    strength: float
    hyperparameters: Mapping[str, Any]


@dataclass(frozen=True)
class Trial:
    """A trained trial and its validation metrics (none without validation images)."""

    plan: TrialPlan
    layer: LinearLayer
    metrics: Mapping[str, float]


def plan_trials(spec: TrainingSpec, strength: float) -> list[TrialPlan]:
    """The run's trials: the first with the cross-validated C, the others spread over head.TRIAL_RANGE.

    Model names and other values are drawn from the search space, with the run's seed. Raises SpecError.
    """
    generator = random.Random(spec.random_seed)  # noqa: S311 - sampling hyperparameters, not secrets
    default = spec.training_parameters.get("model_name") or DEFAULT_MODEL_NAME
    strengths = [strength, *np.geomspace(*head.TRIAL_RANGE, spec.max_trials - 1).tolist()]
    plans = []
    for number in range(spec.max_trials):
        values = search_space.sample(spec.search_space, number, generator)
        name = check_model_name(values.get("model_name", default))
        plans.append(TrialPlan(number, name, strengths[number], values))
    return plans


def run_trial(
    plan: TrialPlan,
    training: tuple[head.Features, head.Targets],
    validation: tuple[head.Features, head.Targets],
) -> Trial:
    """Train the head with the plan's C and measure it; each pair is (features, targets)."""
    layer = head.train(*training, plan.strength)
    features, targets = validation
    if not len(features):
        return Trial(plan, layer, {})
    return Trial(plan, layer, metrics.evaluate(targets, features @ layer.weights + layer.bias))


def best(trials: Sequence[Trial]) -> Trial:
    """The trial with the highest primary metric; of equals the first."""
    return max(trials, key=lambda trial: trial.metrics.get(PRIMARY_METRIC, 0.0))
