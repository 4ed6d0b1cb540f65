"""The two Azure ML pipelines: training and scoring. Building one needs neither network nor credentials.

The only module of `shared` that imports the Azure ML SDK at its top: the SDK looks up the annotations of a pipeline's
parameters at run time. Import it where a pipeline is built.
"""

# No `from __future__ import annotations` here, for the same reason.
import threading
from typing import Any

from azure.ai.ml import Input, Output, automl, command, dsl
from azure.ai.ml.automl import SearchSpace
from azure.ai.ml.entities import ManagedIdentityConfiguration, PipelineJob
from azure.ai.ml.parallel import RunFunction, parallel_run_function
from azure.ai.ml.sweep import BanditPolicy, Choice, Uniform

from shared.cluster import code_folder, environment_reference
from shared.datasets import DataSet
from shared.ledger import Batch
from shared.locations import datastore_name
from shared.scoring import manifest_folder
from shared.settings import Settings

MINI_BATCH_TIMEOUT_SECONDS = 1800
# The SDK collects a pipeline's nodes in a global stack: two threads that build at once get each other's.
_building = threading.Lock()


def training_pipeline(name: str, data_set: DataSet, asset: str, settings: Settings, *, account_url: str) -> PipelineJob:
    """The training of one data set (`asset` is its `name:version`): AutoML, then `register_model`."""
    folder = data_set.uri(settings.work_container)
    with _building:
        register_model = _register_model_step()

        @dsl.pipeline(name=name, default_compute=settings.compute_name)  # type: ignore[untyped-decorator] # SDK
        def pipeline(training_data: Input, validation_data: Input, data: Input) -> Any:
            train = _automl_step(training_data, validation_data, settings)
            register_model(
                best_model=train.outputs.best_model,
                data=data,
                account_url=account_url,
                work_container=settings.work_container,
                model_name=settings.model_name,
                job=name,
                data_set=data_set.id,
                promote_metric=settings.promote_metric,
                promote_min_gain=settings.promote_min_gain,
            )
            return {"best_model": train.outputs.best_model}

        job: PipelineJob = pipeline(
            training_data=Input(type="mltable", path=f"{folder}train/"),
            validation_data=Input(type="mltable", path=f"{folder}validation/"),
            data=Input(type="uri_folder", path=f"azureml:{asset}"),
        )
    return _named(job, name, settings)


def scoring_pipeline(name: str, batch: Batch, settings: Settings, *, account_url: str) -> PipelineJob:
    """The scoring of one batch: one parallel node, whose mini-batches are the batch's manifest shards."""
    folder = f"azureml://datastores/{datastore_name(settings.work_container)}/paths/{manifest_folder(batch.folder)}"
    with _building:
        score_images = _score_images_step(nodes=min(settings.compute_max_nodes, batch.shards))

        @dsl.pipeline(name=name, default_compute=settings.compute_name)  # type: ignore[untyped-decorator] # SDK
        def pipeline(manifest: Input, model: Input) -> None:
            score_images(
                manifest=manifest,
                model=model,
                folder=batch.folder,
                account_url=account_url,
                work_container=settings.work_container,
            )

        job: PipelineJob = pipeline(
            manifest=Input(type="uri_folder", path=folder),
            model=Input(type="custom_model", path=f"azureml:{batch.model_name}:{batch.model_version}"),
        )
    return _named(job, name, settings)


def _named(job: PipelineJob, name: str, settings: Settings) -> PipelineJob:
    job.name = name
    job.display_name = name
    job.experiment_name = settings.experiment_name
    return job


def _automl_step(training_data: Any, validation_data: Any, settings: Settings) -> Any:
    train = automl.image_classification_multilabel(
        training_data=training_data,
        validation_data=validation_data,
        target_column_name="label",
        # The only metric that AutoML takes for this task:
        # https://learn.microsoft.com/azure/machine-learning/how-to-auto-train-image-models
        primary_metric="iou",
        outputs={"best_model": Output(type="mlflow_model")},
    )
    trials = max(settings.max_trials, len(settings.base_models))
    train.set_limits(
        timeout_minutes=settings.train_timeout_minutes,
        max_trials=trials,
        max_concurrent_trials=min(trials, settings.compute_max_nodes, 100),
    )
    if trials == 1:
        train.set_training_parameters(model_name=settings.base_models[0], random_seed=settings.random_seed)
        return train
    train.set_training_parameters(random_seed=settings.random_seed)
    train.extend_search_space(
        [SearchSpace(model_name=Choice(list(settings.base_models)), learning_rate=Uniform(0.005, 0.05))]
    )
    train.set_sweep(
        sampling_algorithm="random",
        early_termination=BanditPolicy(evaluation_interval=2, slack_factor=0.2, delay_evaluation=6),
    )
    return train


def _register_model_step() -> Any:
    return command(
        name="register_model",
        display_name="Register model",
        code=str(code_folder()),
        command=(
            "python -m components.register_model --best-model ${{inputs.best_model}} --data ${{inputs.data}}"
            " --account-url ${{inputs.account_url}} --work-container ${{inputs.work_container}}"
            " --model-name ${{inputs.model_name}} --job ${{inputs.job}} --data-set ${{inputs.data_set}}"
            " --promote-metric ${{inputs.promote_metric}} --promote-min-gain ${{inputs.promote_min_gain}}"
        ),
        environment=environment_reference(),
        inputs={
            "best_model": Input(type="mlflow_model"),
            "data": Input(type="uri_folder"),
            "account_url": Input(type="string"),
            "work_container": Input(type="string"),
            "model_name": Input(type="string"),
            "job": Input(type="string"),
            "data_set": Input(type="string"),
            "promote_metric": Input(type="string"),
            "promote_min_gain": Input(type="number"),
        },
        identity=ManagedIdentityConfiguration(),
        is_deterministic=False,
    )


def _score_images_step(*, nodes: int) -> Any:
    return parallel_run_function(
        name="score_images",
        display_name="Score images",
        inputs={
            "manifest": Input(type="uri_folder"),
            "model": Input(type="custom_model"),
            "folder": Input(type="string"),
            "account_url": Input(type="string"),
            "work_container": Input(type="string"),
        },
        input_data="${{inputs.manifest}}",
        instance_count=nodes,
        max_concurrency_per_instance=1,
        mini_batch_size="1",
        # A failed mini-batch must not take the others with it. What it leaves out is found when the parts are
        # checked against the manifest, and goes into a later batch.
        mini_batch_error_threshold=-1,
        retry_settings={"max_retries": 3, "timeout": MINI_BATCH_TIMEOUT_SECONDS},
        logging_level="INFO",
        task=RunFunction(
            code=str(code_folder()),
            entry_script="components/score_images/entry.py",
            environment=environment_reference(),
            program_arguments=(
                "--model ${{inputs.model}} --folder ${{inputs.folder}} --account-url ${{inputs.account_url}}"
                " --work-container ${{inputs.work_container}}"
            ),
        ),
        identity=ManagedIdentityConfiguration(),
        is_deterministic=False,
    )
