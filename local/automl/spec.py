"""What the job runner asks for: one JSON file, read strictly into one frozen value.

Azure ML's SDK validates none of it (an unknown model name or zero trials pass), and the service finds out minutes
later; here it is said before anything is downloaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.automl.errors import SpecError

TASK = "image_classification_multilabel"
PRIMARY_METRIC = "iou"
# What AutoML offers for image classification (Microsoft's list for SDK v2), and what it takes when no name is given.
MODEL_NAMES = (
    "mobilenetv2",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnest50",
    "resnest101",
    "seresnext",
    "vits16r224",
    "vitb16r224",
    "vitl16r224",
)
DEFAULT_MODEL_NAME = "vitb16r224"
# Training parameters that have a meaning for a frozen backbone with a convex head.
USED_PARAMETERS = frozenset({"model_name", "enable_onnx_normalization", "random_seed"})


@dataclass(frozen=True)
class TrainingSpec:
    """One AutoML node's run. `training_data` and `validation_data` are local folders with an MLTable file.

    `datastores` maps a datastore's name to its blob container, `account_url` is the blob service's URL.
    `search_space` is the SDK's list of hyperparameter expressions; empty when there is none.
    """

    run_id: str
    parent_run_id: str | None
    target_column_name: str
    training_data: Path
    validation_data: Path | None
    max_trials: int
    max_concurrent_trials: int
    timeout_minutes: float | None
    training_parameters: Mapping[str, Any]
    search_space: tuple[Mapping[str, Any], ...]
    datastores: Mapping[str, str]
    account_url: str

    @property
    def normalize_inside(self) -> bool:
        return str(self.training_parameters.get("enable_onnx_normalization", False)).lower() == "true"

    @property
    def random_seed(self) -> int:
        """0 unless one is given."""
        return int(self.training_parameters.get("random_seed") or 0)

    @property
    def unused_parameters(self) -> list[str]:
        """Parameters given that change nothing here."""
        return sorted(
            name
            for name, value in self.training_parameters.items()
            if name not in USED_PARAMETERS and value is not None
        )


def check_model_name(name: object) -> str:
    """`name` in AutoML's spelling. Raises SpecError for a name that AutoML does not offer."""
    text = str(name).lower()
    if text not in MODEL_NAMES:
        known = ", ".join(MODEL_NAMES)
        raise SpecError(f"model_name {name!r} is not offered by AutoML for image classification; choose from {known}")
    return text


def read_spec(path: Path) -> TrainingSpec:
    """Read and check the specification at `path`. Raises SpecError."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"the specification {path.name} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SpecError(f"the specification {path.name} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise SpecError(f"the specification {path.name} is not a JSON object")
    return parse_spec(values)


def parse_spec(values: Mapping[str, Any]) -> TrainingSpec:
    """Check the values of a specification. Raises SpecError, which names the value and what would be right."""
    if values.get("task", TASK) != TASK:
        raise SpecError(f"task {values['task']!r} is not trained here; only {TASK} is")
    metric = str(values.get("primary_metric") or PRIMARY_METRIC).lower()
    if metric != PRIMARY_METRIC:
        raise SpecError(f"primary_metric {metric!r} is not offered for {TASK}; only {PRIMARY_METRIC!r} is")
    limits = _mapping(values, "limits")
    parameters = _mapping(values, "training_parameters")
    if parameters.get("model_name"):
        check_model_name(parameters["model_name"])
    seed = parameters.get("random_seed")
    if seed is not None and not str(seed).lstrip("-").isdecimal():
        raise SpecError(f"random_seed is {seed!r}; it must be a whole number")
    space = values.get("search_space") or []
    if not isinstance(space, list) or not all(isinstance(one, dict) for one in space):
        raise SpecError("search_space is not a list of objects")
    validation = values.get("validation_data")
    return TrainingSpec(
        run_id=_text(values, "run_id"),
        parent_run_id=values.get("parent_run_id"),
        target_column_name=_text(values, "target_column_name"),
        training_data=Path(_text(values, "training_data")),
        validation_data=Path(validation) if validation else None,
        max_trials=_count(limits, "max_trials", 1000),
        max_concurrent_trials=_count(limits, "max_concurrent_trials", 100),
        timeout_minutes=_minutes(limits),
        training_parameters=parameters,
        search_space=tuple(space),
        datastores={str(name): str(container) for name, container in _mapping(values, "datastores").items()},
        account_url=_text(values, "account_url"),
    )


def _text(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    if not isinstance(value, str) or not value:
        raise SpecError(f"{key} is {value!r}; it must be a text")
    return value


def _mapping(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = values.get(key) or {}
    if not isinstance(value, dict):
        raise SpecError(f"{key} is {value!r}; it must be an object")
    return value


def _count(limits: Mapping[str, Any], key: str, most: int) -> int:
    value = limits.get(key)
    if value is None:
        return 1
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise SpecError(f"limits.{key} is {value!r}; it must be a whole number from 1 to {most}")
    return value


def _minutes(limits: Mapping[str, Any]) -> float | None:
    value = limits.get("timeout_minutes")
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        raise SpecError(f"limits.timeout_minutes is {value!r}; it must be a number above 0")
    return float(value)
