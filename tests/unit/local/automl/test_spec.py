"""The run's specification and its search space."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from local.automl import search_space
from local.automl.errors import SpecError
from local.automl.spec import parse_spec, read_spec
from local.automl.trials import plan_trials

GOOD: dict[str, Any] = {
    "run_id": "trial",
    "parent_run_id": "parent",
    "task": "image_classification_multilabel",
    "primary_metric": "iou",
    "target_column_name": "label",
    "training_data": "train",
    "validation_data": None,
    "limits": {"max_trials": 1, "max_concurrent_trials": 1, "timeout_minutes": 60},
    "training_parameters": {"model_name": "vitb16r224"},
    "search_space": None,
    "sweep": None,
    "datastores": {"photos": "photos"},
    "account_url": "https://127.0.0.1/account",
}


def test_a_specification_is_read(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(GOOD))
    spec = read_spec(path)
    assert (spec.training_data, spec.validation_data, spec.max_trials) == (Path("train"), None, 1)
    assert not spec.normalize_inside


@pytest.mark.parametrize("value", [True, "True", "true"])
def test_normalisation_inside_the_file_can_be_asked_for(value: object) -> None:
    assert parse_spec({**GOOD, "training_parameters": {"enable_onnx_normalization": value}}).normalize_inside


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"task": "image_object_detection"}, "task 'image_object_detection' is not trained here"),
        ({"primary_metric": "accuracy"}, "primary_metric 'accuracy'.*only 'iou'"),
        ({"training_parameters": {"model_name": "alexnet"}}, "model_name 'alexnet' is not offered.*vitb16r224"),
        ({"limits": {"max_trials": 0}}, r"limits\.max_trials is 0.*1 to 1000"),
        ({"limits": {"timeout_minutes": "soon"}}, r"limits\.timeout_minutes is 'soon'"),
        ({"run_id": ""}, "run_id is ''"),
        ({"datastores": ["photos"]}, "datastores is"),
        ({"search_space": {"model_name": "x"}}, "search_space is not a list"),
    ],
)
def test_what_automl_would_not_take_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        parse_spec({**GOOD, **change})


def test_a_specification_that_is_not_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text("{")
    with pytest.raises(SpecError, match=r"spec\.json is not JSON"):
        read_spec(tmp_path / "spec.json")
    with pytest.raises(SpecError, match="cannot be read"):
        read_spec(tmp_path / "missing.json")


def test_values_are_drawn_from_the_search_space() -> None:
    space = [{"model_name": "choice('vitb16r224','seresnext')", "learning_rate": "uniform(0.005,0.05)", "epochs": 15}]
    search_space.check(space)
    drawn = [search_space.sample(space, trial, random.Random(trial)) for trial in range(20)]  # noqa: S311
    assert {values["model_name"] for values in drawn} == {"vitb16r224", "seresnext"}
    assert all(0.005 <= values["learning_rate"] <= 0.05 for values in drawn)
    assert {values["epochs"] for values in drawn} == {15}


@pytest.mark.parametrize(
    "expression", ["uniform(1)", "exp(1,2)", "choice()", "uniform('a','b')", "choice(__import__('os'))", "uniform(1,2"]
)
def test_expressions_that_are_not_understood_are_refused(expression: str) -> None:
    with pytest.raises(SpecError, match="learning_rate"):
        search_space.check([{"learning_rate": expression}, {}])


def test_unknown_model_names_in_the_search_space_are_refused() -> None:
    with pytest.raises(SpecError, match="alexnet"):
        search_space.check([{"model_name": "choice('vitb16r224','alexnet')"}])


def test_trials_differ_and_are_the_same_for_the_same_seed() -> None:
    space = [{"model_name": "choice('vitb16r224','seresnext')"}, {"model_name": "resnet50"}]
    spec = parse_spec({**GOOD, "limits": {"max_trials": 5}, "search_space": space})
    plans = plan_trials(spec, 0.03)
    assert plans == plan_trials(spec, 0.03)
    assert plans[0].strength == 0.03
    assert len({plan.strength for plan in plans}) == 5
    assert [plan.model_name for plan in plans[1::2]] == ["resnet50", "resnet50"]
