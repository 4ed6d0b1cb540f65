"""From a label export to a running training pipeline, once per content."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared import datasets
from shared.cluster import KIND_TAG, find_job, status_of, submit_once
from shared.errors import ExportError, NotFoundError
from shared.labels import read_coco
from shared.ledger import normalised_etag
from shared.locations import read_datastores
from shared.queues import LABEL_EXPORTS

if TYPE_CHECKING:
    from azure.storage.blob import StorageStreamDownloader

    from shared.clients import Clients
    from shared.datasets import DataSet
    from shared.locations import Datastores
    from shared.settings import Settings

EXPORTS_FOLDER = "Labeling/export/"
REPORTS_FOLDER = "exports"
TRAINING = "training"
JOB_PREFIX = "train-"
TRAINING_STATES = {"Completed": "trained", "Failed": "training failed", "Canceled": "training canceled"}

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
    clients.queue(LABEL_EXPORTS).send_message(
        export.to_message(), visibility_timeout=clients.settings.export_quiet_seconds
    )


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
    try:
        return _train_on(clients, name, download)
    except ExportError as refusal:
        logger.warning("refused: %s", refusal)
        _write_report(clients, name, datasets.report(None, name, state="refused", problems=refusal.reasons))
        return TrainingOutcome(problems=tuple(refusal.reasons))
    except Exception as error:
        # It will be tried again, and set aside when that fails too; whoever exported must be able to see why.
        _write_report(clients, name, datasets.report(None, name, state="failed", problems=[str(error)]))
        raise


def _train_on(clients: Clients, name: str, download: StorageStreamDownloader[bytes]) -> TrainingOutcome:
    datastores = read_datastores(clients.ml, clients.account_name)
    with tempfile.SpooledTemporaryFile(max_size=8_000_000) as file:
        download.readinto(file)
        file.seek(0)
        images = read_coco(file, name)
        data_set = datasets.make_data_set(
            images,
            name,
            datastores,
            clients.account_url,
            clients.settings,
            missing=functools.partial(datasets.find_missing, clients.blobs),
        )
    job, state = _train(clients, data_set, name, datastores)
    _write_report(clients, name, datasets.report(data_set, name, state=state or TRAINING, job=job))
    return TrainingOutcome(job=job, created=state is None)


def job_name(data_set: DataSet, settings: Settings) -> str:
    """Name of the training of a data set with the settings that shape it."""
    shape = json.dumps(
        [data_set.id, settings.base_models, settings.max_trials, settings.random_seed, settings.model_name]
    )
    return f"{JOB_PREFIX}{hashlib.sha256(shape.encode()).hexdigest()[:16]}"


def _train(clients: Clients, data_set: DataSet, export: str, datastores: Datastores) -> tuple[str, str | None]:
    """The training of a data set: its job's name, and its state if it was there before."""
    settings = clients.settings
    name = job_name(data_set, settings)
    attempt = 1
    while (job := find_job(clients, name)) is not None:
        if status_of(job) not in {"Failed", "Canceled"}:
            return name, TRAINING_STATES.get(status_of(job), TRAINING)
        # An export that is sent again after its training failed is trained again.
        attempt += 1
        name = f"{job_name(data_set, settings)}-{attempt}"
    datasets.write_data_set(clients.blobs, data_set, datastores, settings.work_container)
    asset = datasets.register_data_asset(clients.ml, data_set, export, settings)
    from shared.pipelines import training_pipeline

    pipeline = training_pipeline(name, data_set, asset, settings, account_url=clients.account_url)
    pipeline.tags = {KIND_TAG: TRAINING, "export": export, "data_set": data_set.id}
    submit_once(clients, pipeline)
    logger.info("submitted training %s for label export %s", name, export)
    return name, None


def settle_training(clients: Clients, job_id: str) -> None:
    """Note in the export's report how its training ended. No effect while it runs, or when the report is of another."""
    from azure.core.exceptions import ResourceNotFoundError

    if not job_id.startswith(JOB_PREFIX):
        return
    job = find_job(clients, job_id)
    state = job and TRAINING_STATES.get(status_of(job))
    export = job and (job.tags or {}).get("export")
    if not state or not export:
        return
    try:
        blob = clients.blobs.get_blob_client(clients.settings.work_container, _report_path(export))
        report: dict[str, Any] = json.loads(blob.download_blob().readall())
    except ResourceNotFoundError:
        return
    if report["job"] == job_id:
        _write_report(clients, export, {**report, "state": state})


def _report_path(export: str) -> str:
    return f"{REPORTS_FOLDER}/{export}.json"


def _write_report(clients: Clients, export: str, report: dict[str, Any]) -> None:
    content = json.dumps(report, indent=2, ensure_ascii=False).encode()
    blob = clients.blobs.get_blob_client(clients.settings.work_container, _report_path(export))
    blob.upload_blob(content, overwrite=True)
