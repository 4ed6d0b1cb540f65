"""The step's command line."""

from __future__ import annotations

from typing import Any

import pytest

from components.register_model.__main__ import argument_parser, step_of
from components.register_model.gate import Gate
from components.register_model.thresholds import Objective

GIVEN = [
    *("--best-model", "m", "--data", "d", "--account-url", "u", "--work-container", "w", "--model-name", "n"),
    *("--job", "j", "--data-set", "s", "--promote-metric", "macro_f1", "--promote-min-gain", "0.01"),
]


def test_what_a_pipeline_does_not_pass_has_a_default() -> None:
    given = argument_parser().parse_args(GIVEN)
    assert (given.promote_always, given.promote_confidence) == ("false", 0.9)
    assert (given.threshold_objective, given.threshold_min_precision) == ("f1", 0.9)
    assert (given.onnx_normalization, given.random_seed) == ("auto", 1)


def test_booleans_are_taken_as_pipelines_write_them() -> None:
    given = argument_parser().parse_args([*GIVEN, "--promote-always", "True", "--onnx-normalization", "False"])
    assert (given.promote_always, given.onnx_normalization) == ("true", "false")


def test_every_argument_reaches_what_it_is_about() -> None:
    more = [
        *("--promote-always", "true", "--promote-confidence", "0.8"),
        *("--threshold-objective", "precision", "--threshold-min-precision", "0.7"),
        *("--onnx-normalization", "true", "--random-seed", "5"),
    ]
    nothing: Any = None
    step = step_of(argument_parser().parse_args([*GIVEN, *more]), nothing, nothing)
    assert step.gate == Gate("macro_f1", 0.01, 0.8, always=True)
    assert step.measuring.objective == Objective("precision", 0.7)
    assert (step.measuring.normalization, step.measuring.seed) == ("true", 5)
    assert (step.store.container, step.store.model_name) == ("w", "n")
    assert (step.job, step.data_set) == ("j", "s")


@pytest.mark.parametrize(
    "wrong",
    ["--promote-always yes", "--promote-confidence 1", "--threshold-objective recall", "--threshold-min-precision 2"],
)
def test_a_value_that_can_not_be_is_refused(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        argument_parser().parse_args([*GIVEN, *wrong.split()])
    assert wrong.split(maxsplit=1)[0] in capsys.readouterr().err
