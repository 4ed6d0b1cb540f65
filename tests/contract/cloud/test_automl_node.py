"""An AutoML node, with the local AutoML behind it: trial, artifacts, best model, and what the next node is given."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import numpy as np
import pytest
from azure.ai.ml import Input, MLClient, Output, automl, dsl
from azure.ai.ml.entities import Data, Job
from azure.storage.blob import BlobServiceClient, ContainerClient
from PIL import Image

from tests.contract.cloud.conftest import RunningStack
from tests.contract.cloud.pipelines import await_end, children, show

Unique = Callable[[str], str]
COLOURS = {"red": (220, 20, 20), "blue": (20, 20, 220)}
ML_TABLE = """\
paths:
- file: ./train.jsonl
transformations:
- read_json_lines: {encoding: utf8, invalid_lines: error, include_path_column: false}
- convert_column_types: [{columns: image_url, column_type: stream_info}]
"""


@pytest.fixture(scope="module")
def pictures(ml: MLClient, default_container: ContainerClient) -> str:
    """An MLTable asset of twelve noisy one-coloured pictures, `pictures:1`."""
    noise = np.random.default_rng(1)
    rows = []
    for number in range(12):
        label = list(COLOURS)[number % 2]
        pixels = np.clip(noise.normal(COLOURS[label], 20, (64, 64, 3)), 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        path = f"pictures/{number}.png"
        default_container.upload_blob(path, file.getvalue(), overwrite=True)
        url = f"azureml://datastores/workspaceblobstore/paths/{path}"
        rows.append({"image_url": url, "label": [label]})
    jsonl = "".join(json.dumps(row) + "\n" for row in rows)
    default_container.upload_blob("pictures-table/train.jsonl", jsonl, overwrite=True)
    default_container.upload_blob("pictures-table/MLTable", ML_TABLE, overwrite=True)
    path = "azureml://datastores/workspaceblobstore/paths/pictures-table/"
    ml.data.create_or_update(Data(name="pictures", version="1", type="mltable", path=path))
    return "azureml:pictures:1"


@pytest.fixture(scope="module")
def trained(ml: MLClient, pictures: str) -> Job:
    """A finished pipeline: AutoML, then a node that looks at the best model."""
    component = show()

    @dsl.pipeline(name="train", default_compute="gpu-cluster")
    def build(pictures):  # type: ignore[no-untyped-def] # the SDK reads annotations and knows few
        node = automl.image_classification_multilabel(
            training_data=pictures,
            validation_data=pictures,
            target_column_name="label",
            primary_metric="iou",
            outputs={"best_model": Output(type="mlflow_model")},
        )
        node.set_limits(timeout_minutes=5, max_trials=1, max_concurrent_trials=1)
        node.set_training_parameters(model_name="vitb16r224")
        component(data=node.outputs.best_model, text="look")
        return {"model": node.outputs.best_model}

    job = build(Input(type="mltable", path=pictures))
    job.name, job.experiment_name = "automl-contract", "contract"
    ml.jobs.create_or_update(job)
    return await_end(ml, job.name, 120)


def test_the_job_completes_and_names_its_best_trial(ml: MLClient, trained: Job) -> None:
    assert trained.status == "Completed", trained.properties
    runs = children(ml, trained.name)
    node = next(run for name, run in runs.items() if name != "show")
    assert node.tags["automl_best_child_run_id"] == f"{node.name}_0"
    (trial,) = ml.jobs.list(parent_job_name=node.name)
    assert (trial.name, trial.status) == (f"{node.name}_0", "Completed")


def test_the_trials_artifacts_lie_where_azure_ml_puts_them(
    ml: MLClient, trained: Job, blobs: BlobServiceClient
) -> None:
    trial = next(run.tags["automl_best_child_run_id"] for run in children(ml, trained.name).values() if run.tags)
    prefix = f"ExperimentRun/dcid.{trial}/"
    names = [b.name.removeprefix(prefix) for b in blobs.get_container_client("azureml").list_blobs(prefix)]
    assert {"train_artifacts/model.onnx", "train_artifacts/labels.json", "outputs/mlflow-model/MLmodel"} <= set(names)


def test_the_best_model_is_an_output_of_the_job(trained: Job, default_container: ContainerClient) -> None:
    path = trained.outputs["model"].path.partition("/paths/")[2]
    names = [blob.name.removeprefix(path) for blob in default_container.list_blobs(path)]
    assert "MLmodel" in names


def test_the_trials_metrics_can_be_seen(stack: RunningStack, ml: MLClient, trained: Job) -> None:
    trial = next(run.tags["automl_best_child_run_id"] for run in children(ml, trained.name).values() if run.tags)
    assert stack.admin("GET", f"/runs/{trial}").json()["metrics"]
