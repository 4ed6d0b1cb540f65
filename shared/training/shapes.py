"""Which settings a training depends on, as short hashes: by them it is known again."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from shared.training.ending import JOB_PREFIX

if TYPE_CHECKING:
    from shared.settings import Settings

# Settings that make another model of the same data set.
SHAPING = (
    "base_models",
    "max_trials",
    "training_batch_size",
    "validation_batch_size",
    "random_seed",
    "model_name",
    "train_incremental",
    "onnx_normalization",
    "threshold_objective",
    "threshold_min_precision",
)
# Those that, beside these, decide what becomes of an export.
DECIDING = (
    *SHAPING,
    "train_ratio",
    "min_images_per_label",
    "on_duplicate",
    "min_label_confidence",
    "unlabelled",
    "compute_size",
)


def model_shape(settings: Settings) -> str:
    """A hash of the settings that shape a model."""
    return _hash(settings, SHAPING)


def decision_shape(settings: Settings) -> str:
    """A hash of the settings that an export is looked at with."""
    return _hash(settings, DECIDING)


def job_name(data_set: str, settings: Settings) -> str:
    """Name of the training of a data set with the settings that shape it."""
    name = f"{data_set} {model_shape(settings)}"
    return f"{JOB_PREFIX}{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _hash(settings: Settings, names: tuple[str, ...]) -> str:
    values = [getattr(settings, name) for name in names]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]
