"""From a label export to a running training pipeline, once per content."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared import datasets
from shared.cluster import CODE_ROOT, KIND_TAG, cluster_environment, find_job, submit_once
from shared.errors import ExportError, NotFoundError
from shared.labels import read_coco
from shared.ledger import normalised_etag
from shared.locations import datastore_name, read_datastores

if TYPE_CHECKING:
    from azure.ai.ml.entities import PipelineJob

    from shared.clients import Clients
    from shared.datasets import DataSet
    from shared.settings import Settings

QUEUE = "label-exports"
EXPORTS_FOLDER = "Labeling/export/"
REPORTS_FOLDER = "exports"
TRAINING = "training"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LandedExport:
    """A label export's file as an event told it."""

    container: str
    path: str
    etag: str

    def to_message(self) -> str:
        return json.dumps({"container": self.container, "path": self.path, "etag": self.etag})

    @classmethod
    def from_message(cls, message: str) -> LandedExport:
        return cls(**json.loads(message))


@dataclass(frozen=True)
class TrainingOutcome:
    """What became of an export: the job, or the reasons why there is none. `waits` means that it is still changing."""

    job: str = ""
    created: bool = False
    problems: tuple[str, ...] = ()
    waits: bool = False


def announce_export(clients: Clients, export: LandedExport) -> None:
    """Put an export on the queue; it is looked at when EXPORT_QUIET_SECONDS have passed."""
    clients.queue(QUEUE).send_message(export.to_message(), visibility_timeout=clients.settings.export_quiet_seconds)


def train_on_export(clients: Clients, export: LandedExport) -> TrainingOutcome:
    """Read, check, split and register a label export, and submit its training pipeline.

    An export that changed while it waited goes back to the queue. A refused export starts nothing; either way a
    report is written to `exports/<container>/<path>.json` in the work container. Everything is named by the export's
    content, so that the same export again leads to the same job.
    """
    from azure.core.exceptions import ResourceNotFoundError

    blob = clients.blobs.get_blob_client(export.container, export.path)
    try:
        download = blob.download_blob()
    except ResourceNotFoundError:
        raise NotFoundError(f"label export {export.container}/{export.path} does not exist") from None
    etag = normalised_etag(str(download.properties.etag))
    if export.etag and etag != normalised_etag(export.etag):
        announce_export(clients, LandedExport(export.container, export.path, etag))
        return TrainingOutcome(waits=True)
    name = f"{export.container}/{export.path}"
    datastores = read_datastores(clients.ml, clients.settings, clients.account_name)
    try:
        import tempfile

        with tempfile.SpooledTemporaryFile(max_size=8_000_000) as file:
            download.readinto(file)
            file.seek(0)
            data_set = datasets.make_data_set(
                read_coco(file, name), name, datastores, str(clients.blobs.url), clients.settings
            )
    except ExportError as refusal:
        logger.warning("refused: %s", refusal)
        _write_report(clients, name, datasets.report(None, name, problems=refusal.reasons))
        return TrainingOutcome(problems=tuple(refusal.reasons))
    job, created = _train(clients, data_set, name, datastores)
    _write_report(clients, name, datasets.report(data_set, name, job=job))
    return TrainingOutcome(job=job, created=created)


def job_name(data_set: DataSet, settings: Settings) -> str:
    """Name of the training of a data set with the settings that shape it."""
    shape = json.dumps(
        [data_set.id, settings.base_models, settings.max_trials, settings.random_seed, settings.model_name]
    )
    return f"train-{hashlib.sha256(shape.encode()).hexdigest()[:16]}"


def _train(clients: Clients, data_set: DataSet, export: str, datastores: Any) -> tuple[str, bool]:
    settings = clients.settings
    name = job_name(data_set, settings)
    if find_job(clients, name) is not None:
        return name, False
    datasets.write_data_set(clients.blobs, data_set, datastores, settings.work_container)
    assets = datasets.register_data_assets(clients.ml, data_set, export, settings)
    pipeline = build_pipeline(name, data_set, assets, settings, account_url=str(clients.blobs.url))
    pipeline.tags = {KIND_TAG: TRAINING, "export": export, "data_set": data_set.id}
    submit_once(clients, pipeline)
    logger.info("submitted training %s for label export %s", name, export)
    return name, True


def _write_report(clients: Clients, export: str, report: dict[str, Any]) -> None:
    content = json.dumps(report, indent=2, ensure_ascii=False).encode()
    path = f"{REPORTS_FOLDER}/{export}.json"
    clients.blobs.get_blob_client(clients.settings.work_container, path).upload_blob(content, overwrite=True)


def build_pipeline(
    name: str, data_set: DataSet, assets: dict[str, str], settings: Settings, *, account_url: str
) -> PipelineJob:
    """The training pipeline: AutoML, then `register_model`. Needs neither network nor credentials."""
    from azure.ai.ml import Input, Output, command, dsl
    from azure.ai.ml.entities import ManagedIdentityConfiguration

    register_model = command(
        name="register_model",
        display_name="Register model",
        code=str(CODE_ROOT),
        command=(
            "python -m components.register_model --best-model ${{inputs.best_model}} --data ${{inputs.data}}"
            " --account-url ${{inputs.account_url}} --work-container ${{inputs.work_container}}"
            " --model-name ${{inputs.model_name}} --job ${{inputs.job}} --data-set ${{inputs.data_set}}"
            " --promote-metric ${{inputs.promote_metric}} --promote-min-gain ${{inputs.promote_min_gain}}"
        ),
        environment=cluster_environment(),
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

    @dsl.pipeline(name=name, default_compute=settings.compute_name)  # type: ignore[untyped-decorator] # SDK is untyped
    def training_pipeline(training_data: Input, validation_data: Input, data: Input) -> dict[str, Output]:
        train = _automl_node(training_data, validation_data, settings)
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

    folder = f"azureml://datastores/{datastore_name(settings.work_container)}/paths/{data_set.folder}/"
    pipeline: PipelineJob = training_pipeline(
        training_data=Input(type="mltable", path=f"azureml:{assets['train']}"),
        validation_data=Input(type="mltable", path=f"azureml:{assets['validation']}"),
        data=Input(type="uri_folder", path=folder),
    )
    pipeline.name = name
    pipeline.display_name = name
    pipeline.experiment_name = settings.experiment_name
    return pipeline


def _automl_node(training_data: Any, validation_data: Any, settings: Settings) -> Any:
    from azure.ai.ml import Output, automl
    from azure.ai.ml.automl import SearchSpace
    from azure.ai.ml.sweep import BanditPolicy, Choice, Uniform

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
    else:
        train.set_training_parameters(random_seed=settings.random_seed)
        train.extend_search_space(
            [SearchSpace(model_name=Choice(list(settings.base_models)), learning_rate=Uniform(0.005, 0.05))]
        )
        train.set_sweep(
            sampling_algorithm="random",
            early_termination=BanditPolicy(evaluation_interval=2, slack_factor=0.2, delay_evaluation=6),
        )
    return train
