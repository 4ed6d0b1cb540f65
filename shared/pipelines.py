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
from shared.manifests import manifest_folder
from shared.settings import Settings

MINI_BATCH_TIMEOUT_SECONDS = 1800
# The SDK collects a pipeline's nodes in a global stack: two threads that build at once get each other's.
_building = threading.Lock()


def training_pipeline(
    name: str,
    data_set: DataSet,
    asset: str,
    settings: Settings,
    *,
    account_url: str,
    checkpoint_run: str = "",
    weighted_loss: int = 0,
) -> PipelineJob:
    """The training of one data set (`asset` is its `name:version`): AutoML, then `register_model`.

    `checkpoint_run`: the run whose model is trained further. `weighted_loss`: 0, 1 (by the square root of the classes'
    weights) or 2.
    """
    folder = data_set.uri(settings.work_container)
    with _building:
        register_model = _register_model_step()

        @dsl.pipeline(name=name, default_compute=settings.compute_name)  # type: ignore[untyped-decorator] # SDK
        def pipeline(training_data: Input, validation_data: Input, data: Input) -> Any:
            train = _automl_step(training_data, validation_data, settings, checkpoint_run, weighted_loss)
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
                promote_always=str(settings.promote_always).lower(),
                threshold_objective=settings.threshold_objective,
                threshold_min_precision=settings.threshold_min_precision,
                onnx_normalization=str(settings.onnx_normalization).lower(),
                random_seed=settings.random_seed,
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
            model=Input(type="custom_model", path=f"azureml:{batch.model}"),
        )
    return _named(job, name, settings)


def _named(job: PipelineJob, name: str, settings: Settings) -> PipelineJob:
    job.name = name
    job.display_name = name
    job.experiment_name = settings.experiment_name
    return job


def _automl_step(
    training_data: Any, validation_data: Any, settings: Settings, checkpoint_run: str, weighted_loss: int
) -> Any:
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
    parameters: dict[str, Any] = {"random_seed": settings.random_seed}
    if len(settings.base_models) == 1:
        parameters["model_name"] = settings.base_models[0]
    if settings.training_batch_size:
        parameters["training_batch_size"] = settings.training_batch_size
    if settings.validation_batch_size:
        parameters["validation_batch_size"] = settings.validation_batch_size
    if settings.onnx_normalization:
        parameters["enable_onnx_normalization"] = True
    if checkpoint_run:
        parameters["checkpoint_run_id"] = checkpoint_run
    if weighted_loss:
        parameters["weighted_loss"] = weighted_loss
    train.set_training_parameters(**parameters)
    # Several trials without a search space are AutoMode.
    if trials > 1 and settings.base_models:
        train.extend_search_space([_search_space(settings)])
        train.set_sweep(
            sampling_algorithm="random",
            early_termination=BanditPolicy(evaluation_interval=2, slack_factor=0.2, delay_evaluation=6),
        )
    return train


def _search_space(settings: Settings) -> SearchSpace:
    rate = Uniform(0.005, 0.05)
    if len(settings.base_models) == 1:
        return SearchSpace(learning_rate=rate)
    return SearchSpace(model_name=Choice(list(settings.base_models)), learning_rate=rate)


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
            " --promote-always ${{inputs.promote_always}} --threshold-objective ${{inputs.threshold_objective}}"
            " --threshold-min-precision ${{inputs.threshold_min_precision}}"
            " --onnx-normalization ${{inputs.onnx_normalization}} --random-seed ${{inputs.random_seed}}"
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
            "promote_always": Input(type="string"),
            "threshold_objective": Input(type="string"),
            "threshold_min_precision": Input(type="number"),
            "onnx_normalization": Input(type="string"),
            "random_seed": Input(type="integer"),
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
        # A try that was lost with its node counts, too; each goes on where the one before it was.
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
