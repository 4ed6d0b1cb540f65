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
from shared.events import ModelPromoted, ModelRegistered, TrainingFailed, TrainingStarted, announce
from shared.jobs import get_job
from shared.labels import read_coco
from shared.ledger import normalised_etag
from shared.locations import read_datastores
from shared.models import list_versions, model_store
from shared.queues import LABEL_EXPORTS

if TYPE_CHECKING:
    from azure.ai.ml.entities import Job
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
    attempt, latest = 1, None
    while (job := find_job(clients, name)) is not None:
        latest = job
        if status_of(job) not in {"Failed", "Canceled"}:
            break
        # An export that is sent again after its training failed is trained again.
        attempt += 1
        name = f"{job_name(data_set, settings)}-{attempt}"
    if latest is not None and _may_be_unannounced(clients, latest, export):
        _announce_start(clients, str(latest.name), data_set, export)
    if job is not None:
        return name, TRAINING_STATES.get(status_of(job), TRAINING)
    datasets.write_data_set(clients.blobs, data_set, datastores, settings.work_container)
    asset = datasets.register_data_asset(clients.ml, data_set, export, settings)
    from shared.pipelines import training_pipeline

    pipeline = training_pipeline(name, data_set, asset, settings, account_url=clients.account_url)
    pipeline.tags = {KIND_TAG: TRAINING, "export": export, "data_set": data_set.id}
    submit_once(clients, pipeline)
    logger.info("submitted training %s for label export %s", name, export)
    _announce_start(clients, name, data_set, export)
    return name, None


def _announce_start(clients: Clients, job: str, data_set: DataSet, export: str) -> None:
    images = {split: len(examples) for split, examples in data_set.splits.items()}
    announce(clients, TrainingStarted(job, export, data_set.id, images, len(data_set.labels)))


def _may_be_unannounced(clients: Clients, job: Job, export: str) -> bool:
    """Whether the worker that submitted a job for this export died before the report, which is written after the
    announcement. A job that another export of the same content started is that one's matter.
    """
    if not clients.settings.events_topic_endpoint or (job.tags or {}).get("export") != export:
        return False
    report = _read_report(clients, export)
    return report is None or report["job"] != job.name


def settle_training(clients: Clients, job_id: str) -> None:
    """Announce how a training ended, and note it in the export's report. No effect while it runs."""
    if not job_id.startswith(JOB_PREFIX):
        return
    job = find_job(clients, job_id)
    state = job and TRAINING_STATES.get(status_of(job))
    export = job and (job.tags or {}).get("export")
    if not job or not state or not export:
        return
    report = _read_report(clients, export)
    if report is not None and report["job"] != job_id:
        report = None
    if report is not None and report.get("settled"):
        return
    if clients.settings.events_topic_endpoint:
        _announce_end(clients, job)
    if report is not None:
        _write_report(clients, export, {**report, "state": state, "settled": True})


def _announce_end(clients: Clients, job: Job) -> None:
    """A training can fail after its model was registered, and even promoted: then all of it is announced."""
    name, status, tags = str(job.name), status_of(job), dict(job.tags or {})
    data_set = str(tags.get("data_set", ""))
    if status != "Completed":
        steps = tuple(each["name"] for each in get_job(clients, name)["steps"] if each["status"] == "Failed")
        error = f"training {name} ended as {status}" + (f"; failed steps: {', '.join(steps)}" if steps else "")
        url = str(job.studio_url or "")
        announce(clients, TrainingFailed(name, str(tags["export"]), data_set, status, steps, error, url))
    store = model_store(clients)
    found = next((each for each in list_versions(clients.ml, store) if each["tags"].get("job") == name), None)
    if found is None:
        if status == "Completed":
            logger.warning("training %s has completed, but model %s has no version of it", name, store.model_name)
        return
    path = store.bundle_path(name)
    card = store.card(path)
    promoted = found["champion"] or found["tags"].get("promoted") == "True"
    told: dict[str, Any] = {
        "model": store.model_name,
        "version": found["version"],
        "job": name,
        "data_set": data_set,
        "container": store.container,
        "path": path,
        "labels": len(card["labels"]),
        "metrics": {metric: value for metric, value in card["metrics"].items() if metric != "labels"},
        "reason": str(found["tags"].get("reason", "")),
    }
    announce(clients, ModelRegistered(**told, promoted=promoted))
    if promoted:
        announce(clients, ModelPromoted(**told))


def _read_report(clients: Clients, export: str) -> dict[str, Any] | None:
    from azure.core.exceptions import ResourceNotFoundError

    blob = clients.blobs.get_blob_client(clients.settings.work_container, _report_path(export))
    try:
        report: dict[str, Any] = json.loads(blob.download_blob().readall())
    except ResourceNotFoundError:
        return None
    return report


def _report_path(export: str) -> str:
    return f"{REPORTS_FOLDER}/{export}.json"


def _write_report(clients: Clients, export: str, report: dict[str, Any]) -> None:
    content = json.dumps(report, indent=2, ensure_ascii=False).encode()
    blob = clients.blobs.get_blob_client(clients.settings.work_container, _report_path(export))
    blob.upload_blob(content, overwrite=True)
