"""The pipelines as they go over the wire."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from shared.datasets import DataSet
from shared.ledger import Batch
from shared.pipelines import scoring_pipeline, training_pipeline
from tests.support import make_settings

ACCOUNT = "https://acct.blob.core.windows.net/"
DATA_SET = DataSet("abc123", {}, ("a", "b"), {}, ())
BATCH = Batch(
    "b1",
    "claimed",
    "cluster",
    "many",
    "multilabel",
    "3",
    "models/m/3",
    "2026-11-24",
    images=90,
    shards=3,
    folder="batches/b1/0a1b/",
)


def train(*, checkpoint_run: str = "", weighted_loss: int = 0, **settings: object) -> dict[str, Any]:
    job = training_pipeline(
        "train-1",
        DATA_SET,
        "multilabel-data:abc123",
        make_settings(**settings),
        account_url=ACCOUNT,
        checkpoint_run=checkpoint_run,
        weighted_loss=weighted_loss,
    )
    # What the SDK writes as YAML is the same that it sends.
    return dict(job._to_dict())


def score(**changes: Any) -> dict[str, Any]:
    batch = dataclasses.replace(BATCH, **changes)
    return dict(scoring_pipeline("score-b1", batch, make_settings(), account_url=ACCOUNT)._to_dict())


def test_training_is_automl_then_register_model_on_the_same_data() -> None:
    job = train()
    assert (job["name"], job["experiment_name"]) == ("train-1", "labelloop")
    assert job["settings"]["default_compute"] == "azureml:gpu-cluster"
    assert set(job["jobs"]) == {"train", "register_model"}
    assert job["inputs"]["training_data"]["path"] == "azureml://datastores/labelloop/paths/datasets/abc123/train/"
    assert job["inputs"]["training_data"]["type"] == "mltable"
    assert job["inputs"]["data"]["path"] == "azureml:multilabel-data:abc123"
    register = job["jobs"]["register_model"]["inputs"]
    assert register["best_model"]["path"] == "${{parent.jobs.train.outputs.best_model}}"
    assert register["data_set"] == "abc123"


def test_one_model_is_one_trial_and_the_timeout_is_set() -> None:
    node = train(base_models="vits16r224", train_timeout_minutes=90)["jobs"]["train"]
    assert node["task"] == "image_classification_multilabel"
    assert node["primary_metric"] == "iou"
    assert node["limits"]["max_trials"] == 1
    assert node["limits"]["timeout_minutes"] == 90
    assert node["training_parameters"]["model_name"] == "vits16r224"


@pytest.mark.parametrize(("models", "trials", "expected"), [("vits16r224,resnet50", 1, 2), ("vits16r224", 8, 8)])
def test_several_models_or_trials_are_a_sweep_that_stops_early(models: str, trials: int, expected: int) -> None:
    node = train(base_models=models, max_trials=trials, compute_max_nodes=3)["jobs"]["train"]
    assert node["limits"]["max_trials"] == expected
    assert node["limits"]["max_concurrent_trials"] == min(3, expected)
    assert node["sweep"]["sampling_algorithm"] == "random"
    assert node["sweep"]["early_termination"]["type"] == "bandit"
    assert len(node["search_space"]) == 1


def test_auto_mode_is_several_trials_without_a_model_or_a_search_space() -> None:
    node = train(base_models="auto", max_trials=10)["jobs"]["train"]
    assert node["limits"]["max_trials"] == 10
    assert "model_name" not in node["training_parameters"]
    assert not node.get("search_space")
    assert not node.get("sweep")


def test_training_parameters_are_given_only_where_they_differ_from_automls_own() -> None:
    plain = train()["jobs"]["train"]["training_parameters"]
    assert plain.keys() == {"model_name", "random_seed"}
    given = train(
        checkpoint_run="HD_1_best",
        weighted_loss=1,
        onnx_normalization="true",
        training_batch_size=8,
        validation_batch_size=16,
    )
    parameters = given["jobs"]["train"]["training_parameters"]
    assert parameters["checkpoint_run_id"] == "HD_1_best"
    assert parameters["weighted_loss"] == 1
    assert parameters["enable_onnx_normalization"] is True
    assert (parameters["training_batch_size"], parameters["validation_batch_size"]) == (8, 16)


def test_what_the_registering_step_must_know_is_given_to_it() -> None:
    given = train(
        promote_metric="micro_f1",
        promote_min_gain="0.02",
        promote_always="true",
        threshold_objective="precision",
        threshold_min_precision="0.8",
        onnx_normalization="true",
        random_seed="5",
        model_name="fish",
        work_container="work",
    )["jobs"]["register_model"]
    inputs = given["inputs"]
    assert (inputs["promote_metric"], inputs["promote_min_gain"]) == ("micro_f1", 0.02)
    assert (inputs["promote_always"], inputs["onnx_normalization"]) == ("true", "true")
    assert (inputs["threshold_objective"], inputs["threshold_min_precision"]) == ("precision", 0.8)
    assert inputs["random_seed"] == 5
    assert (inputs["model_name"], inputs["work_container"], inputs["account_url"]) == ("fish", "work", ACCOUNT)


def test_jobs_are_in_their_experiment_and_on_their_cluster() -> None:
    job = train(experiment_name="reefs", compute_name="a100", random_seed=7)
    assert (job["experiment_name"], job["settings"]["default_compute"]) == ("reefs", "azureml:a100")
    assert job["jobs"]["train"]["training_parameters"]["random_seed"] == 7


def test_scoring_is_one_parallel_node_over_the_manifest_shards() -> None:
    job = score()
    node = job["jobs"]["score_images"]
    assert node["mini_batch_size"] == "1"
    assert node["resources"]["instance_count"] == 3
    assert node["mini_batch_error_threshold"] == -1
    assert node["retry_settings"] == {"max_retries": 3, "timeout": 1800}
    assert job["inputs"]["manifest"]["path"] == "azureml://datastores/labelloop/paths/batches/b1/0a1b/manifest/"
    assert job["inputs"]["model"]["path"] == "azureml:multilabel:3"


def test_no_more_nodes_than_shards_or_than_the_cluster_has() -> None:
    assert score(shards=1)["jobs"]["score_images"]["resources"]["instance_count"] == 1
    assert score(shards=100)["jobs"]["score_images"]["resources"]["instance_count"] == 4
