"""The step's command line."""

from __future__ import annotations

import pytest

from components.register_model.__main__ import argument_parser

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


@pytest.mark.parametrize(
    "wrong",
    ["--promote-always yes", "--promote-confidence 1", "--threshold-objective recall", "--threshold-min-precision 2"],
)
def test_a_value_that_can_not_be_is_refused(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        argument_parser().parse_args([*GIVEN, *wrong.split()])
    assert wrong.split(maxsplit=1)[0] in capsys.readouterr().err
