"""Which settings make another data set, another model, another decision."""

from __future__ import annotations

import dataclasses

import pytest

from shared.datasets import DataSetOptions
from shared.settings import Settings
from shared.training.reading import data_set_options
from shared.training.shapes import DECIDING, SHAPING, decision_shape, job_name, model_shape
from tests.support import make_settings

OTHERWISE = {
    "base_models": "resnet50",
    "max_trials": "4",
    "training_batch_size": "8",
    "validation_batch_size": "8",
    "random_seed": "5",
    "model_name": "fish",
    "train_incremental": "true",
    "onnx_normalization": "true",
    "threshold_objective": "precision",
    "threshold_min_precision": "0.8",
    "train_ratio": "0.6",
    "min_images_per_label": "3",
    "on_duplicate": "refuse",
    "min_label_confidence": "0.5",
    "unlabelled": "negative",
    "compute_size": "Standard_NC24ads_A100_v4",
}
PLAIN = make_settings()


def test_every_setting_of_a_data_set_is_taken_from_the_settings() -> None:
    options = data_set_options(make_settings(**OTHERWISE))
    assert options == DataSetOptions(0.6, 5, 3, "refuse", 0.5, "negative")


@pytest.mark.parametrize("name", DECIDING)
def test_a_setting_that_decides_makes_another_decision_and_one_that_shapes_another_job(name: str) -> None:
    other = make_settings(**{name: OTHERWISE[name]})
    assert decision_shape(other) != decision_shape(PLAIN)
    assert (model_shape(other) != model_shape(PLAIN)) == (name in SHAPING)
    assert (job_name("d", other) != job_name("d", PLAIN)) == (name in SHAPING)


def test_another_data_set_is_another_job_and_the_same_is_the_same() -> None:
    assert job_name("d", PLAIN) == job_name("d", make_settings()) != job_name("e", PLAIN)
    assert decision_shape(make_settings(batch_max_images="7")) == decision_shape(PLAIN)


def test_what_decides_are_settings() -> None:
    assert set(DECIDING) == OTHERWISE.keys() <= {field.name for field in dataclasses.fields(Settings)}
