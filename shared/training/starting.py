"""From a landed export to a decision: train, wait, or say why not. Once per content and settings.

One worker decides at a time. Every step can be carried out again: what is made is named by the data set and the
settings, and whoever trains is noted before the job is submitted.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared import datasets
from shared.cluster import ENDED_STATUSES, KIND_TAG, find_job, status_of, submit_once
from shared.datasets import BlobImages, DataSetOptions, Findings
from shared.errors import ExportError
from shared.events import TrainingStarted, announce
from shared.labels import IncompleteExportError, open_export
from shared.locations import read_datastores
from shared.models import model_store
from shared.training.changes import Labelling, count_changes, labelling_of, load_labelling, save_labelling
from shared.training.ending import JOB_PREFIX, settle_line
from shared.training.exports import FoundExport, LandedExport, announce_export, find_export
from shared.training.line import Line, Running, Waiting, read_line, training_lock, write_line
from shared.training.reports import (
    FAILED,
    INCOMPLETE,
    OPEN_STATES,
    REFUSED,
    SUPERSEDED,
    TRAINING,
    TRAINING_STATES,
    UNCHANGED,
    WAITING,
    change_report,
    read_report,
    write_report,
)

if TYPE_CHECKING:
    from azure.ai.ml.entities import Job

    from shared.clients import Clients
    from shared.datasets import DataSet
    from shared.locations import Datastores
    from shared.settings import Settings

# How long another worker's decision is waited for, and how often files that are missing are.
BUSY_SECONDS = 5
MAX_WAITS = 10
# Settings that make another model of the same data set.
SHAPING = (
    "base_models",
    "max_trials",
    "random_seed",
    "model_name",
    "train_incremental",
    "onnx_normalization",
    "threshold_objective",
    "threshold_min_precision",
)
# From such a ratio between the most and the least frequent label on, the loss is weighted.
IMBALANCE = 10.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingOutcome:
    """What became of an export: `state` as in its report, or `landing` (it is still changing, and is looked at again),
    `busy` (another is being read, likewise) or `gone`. `job` is there where one was started (`created`) or found.
    """

    state: str
    export: str = ""
    job: str = ""
    created: bool = False
    problems: tuple[str, ...] = ()


def train_on_export(clients: Clients, landed: LandedExport) -> TrainingOutcome:
    """What the queue's message about an export asks for. What is not to be decided now goes back to the queue."""
    found = find_export(clients, landed)
    if found is None:
        logger.info("label export %s/%s is not there any more", landed.container, landed.path)
        return TrainingOutcome("gone")
    rest = clients.settings.export_quiet_seconds - found.quiet_seconds
    if rest > 0 and not landed.by_hand:
        announce_export(clients, landed, math.ceil(rest))
        return TrainingOutcome("landing", found.name)
    with training_lock(clients) as is_mine:
        if not is_mine:
            announce_export(clients, landed, BUSY_SECONDS)
            return TrainingOutcome("busy", found.name)
        return Start(clients, landed, found).carry_out()


def settings_shape(settings: Settings) -> str:
    """A hash of the settings that shape a model."""
    values = [getattr(settings, name) for name in SHAPING]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def job_name(data_set: str, settings: Settings) -> str:
    """Name of the training of a data set with the settings that shape it."""
    name = f"{data_set} {settings_shape(settings)}"
    return f"{JOB_PREFIX}{hashlib.sha256(name.encode()).hexdigest()[:16]}"


class Start:
    """One decision about one export. The caller has the lock."""

    def __init__(self, clients: Clients, landed: LandedExport, found: FoundExport) -> None:
        self._clients = clients
        self._landed = landed
        self._found = found
        self._settings = clients.settings.with_changes(landed.changes)
        self._shape = settings_shape(self._settings)
        self._findings = Findings()
        self._modified = (found.now if landed.by_hand else found.modified).isoformat()

    def carry_out(self) -> TrainingOutcome:
        """Raises what keeps it from being decided now, after noting it in the report."""
        from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

        report = None if self._landed.by_hand else read_report(self._clients, self._found.name)
        if report is not None and self._is_decided(report):
            # One of several messages about the same files.
            return TrainingOutcome(report["state"], report["export"], report["job"])
        try:
            datastores = read_datastores(self._clients.ml, self._clients.account_name)
            data_set = self._read(datastores)
            return self._decide(data_set, datastores)
        except IncompleteExportError as refusal:
            if self._landed.waits >= MAX_WAITS or self._landed.by_hand:
                return self._told(REFUSED, problems=tuple(refusal.reasons))
            again = dataclasses.replace(self._landed, waits=self._landed.waits + 1)
            announce_export(self._clients, again, max(self._settings.export_quiet_seconds, 1))
            return self._told(INCOMPLETE, problems=tuple(refusal.reasons))
        except ExportError as refusal:
            logger.warning("refused: %s", refusal)
            return self._told(REFUSED, problems=tuple(refusal.reasons))
        except Exception as error:
            current = find_export(self._clients, self._landed)
            if isinstance(error, ResourceModifiedError | ResourceNotFoundError) and (
                current is None or current.content != self._found.content
            ):
                announce_export(self._clients, self._landed)
                return TrainingOutcome("landing", self._found.name)
            # It will be tried again, and set aside when that fails too; whoever exported must be able to see why.
            self._told(FAILED, problems=(str(error),))
            raise

    def _is_decided(self, report: Mapping[str, Any]) -> bool:
        same = (report.get("content"), report.get("shape")) == (self._found.content, self._shape)
        return same and report["state"] not in OPEN_STATES

    def _told(
        self, state: str, job: str = "", *, created: bool = False, problems: tuple[str, ...] = ()
    ) -> TrainingOutcome:
        write_report(self._clients, self._found, self._findings, self._shape, state=state, job=job, problems=problems)
        return TrainingOutcome(state, self._found.name, job, created, problems)

    def _read(self, datastores: Datastores) -> DataSet:
        clients, settings = self._clients, self._settings
        store = model_store(clients)
        champion = store.champion()
        options = DataSetOptions(
            settings.train_ratio,
            settings.random_seed,
            settings.min_images_per_label,
            settings.on_duplicate,
            settings.min_label_confidence,
            settings.unlabelled,
        )
        with self._found.opened(clients) as files:
            export = open_export(
                self._found.name,
                files,
                container_url=f"{clients.account_url.rstrip('/')}/{self._found.container}",
                known_labels=store.labels(champion.path) if champion else (),
            )
            self._findings.figures["format"] = export.format.value
            try:
                return datasets.build_data_set(
                    export,
                    self._found.name,
                    datastores,
                    clients.account_url,
                    options,
                    self._findings,
                    store=BlobImages(clients.blobs, settings.work_container),
                    resolve=export.resolve,
                )
            finally:
                self._findings.add_rows(export.problems)

    def _decide(self, data_set: DataSet, datastores: Datastores) -> TrainingOutcome:
        line = settle_line(self._clients, read_line(self._clients))
        name, job, latest = self._attempts(data_set)
        if latest is not None and self._may_be_unannounced(latest):
            self._announce_start(str(latest.name), data_set)
        running = Running(name, self._found.name, data_set.id, self._shape, self._modified)
        if job is not None:
            state = TRAINING_STATES.get(status_of(job), TRAINING)
            if state == TRAINING and line.running is None:
                line = write_line(self._clients, line, running=running)
            self._forget_waiting(line)
            return self._told(state, name)
        labelling = labelling_of(data_set)
        if unchanged := self._unchanged(line, labelling):
            self._forget_waiting(line)
            return self._told(UNCHANGED, line.last.job if line.last else "", problems=(unchanged,))
        if line.running is not None and line.running.job != name:
            if self._modified < line.running.modified:
                return self._superseded_by(line.running.export)
            if self._settings.on_newer_export == "queue":
                return self._queue_up(line)
            self._cancel(line.running.job)
            line = write_line(self._clients, line, unsettled=(*line.unsettled, line.running.job))
        line = write_line(self._clients, line, running=running)
        self._forget_waiting(line)
        datasets.write_data_set(self._clients.blobs, data_set, datastores, self._settings.work_container)
        save_labelling(self._clients.blobs, self._settings.work_container, data_set.id, labelling)
        self._submit(name, data_set)
        self._announce_start(name, data_set)
        return self._told(TRAINING, name, created=True)

    def _attempts(self, data_set: DataSet) -> tuple[str, Job | None, Job | None]:
        """The name to train under; its job, if it is there; and the latest job there is. An export that is sent again
        after its training failed is trained again.
        """
        base = name = job_name(data_set.id, self._settings)
        attempt, latest = 1, None
        while (job := find_job(self._clients, name)) is not None:
            latest = job
            if status_of(job) not in {"Failed", "Canceled"}:
                break
            attempt += 1
            name = f"{base}-{attempt}"
        return name, job, latest

    def _unchanged(self, line: Line, labelling: Labelling) -> str:
        """Why there is too little that is new, or nothing."""
        last, wanted = line.last, self._settings.min_new_labels
        if self._landed.by_hand or last is None or last.shape != self._shape:
            return ""
        before = load_labelling(self._clients.blobs, self._settings.work_container, last.data_set)
        if before is None:
            return ""
        changed = count_changes(before, labelling)
        self._findings.figures["changed images"] = changed
        if changed >= wanted:
            return ""
        return (
            f"{changed} images are new, gone or labelled anew since training {last.job}; at least {wanted} are wanted"
            " (MIN_NEW_LABELS)"
        )

    def _forget_waiting(self, line: Line) -> None:
        if line.waiting is not None and line.waiting.export == self._found.name:
            write_line(self._clients, line, waiting=None)

    def _superseded_by(self, export: str) -> TrainingOutcome:
        return self._told(SUPERSEDED, problems=(f"the newer export {export} takes its place",))

    def _queue_up(self, line: Line) -> TrainingOutcome:
        """Wait for the end of the running training, in place of an older export that waits."""
        earlier = line.waiting
        if earlier is not None and earlier.export != self._found.name:
            if earlier.modified > self._modified:
                return self._superseded_by(earlier.export)
            report = read_report(self._clients, earlier.export)
            if report is not None and report["state"] == WAITING:
                reason = f"the newer export {self._found.name} takes its place"
                change_report(self._clients, report, state=SUPERSEDED, problems=[reason])
        outcome = self._told(WAITING)
        message = dataclasses.replace(self._landed, waits=0).to_message()
        write_line(self._clients, line, waiting=Waiting(self._found.name, message, self._modified))
        return outcome

    def _cancel(self, job: str) -> None:
        from azure.core.exceptions import HttpResponseError

        logger.info("canceling training %s for the newer export %s", job, self._found.name)
        try:
            self._clients.ml.jobs.begin_cancel(job)
        except HttpResponseError:
            ended = find_job(self._clients, job)
            if ended is not None and status_of(ended) not in ENDED_STATUSES:
                raise

    def _submit(self, name: str, data_set: DataSet) -> None:
        from shared.pipelines import training_pipeline

        settings, export = self._settings, self._found.name
        asset = datasets.register_data_asset(self._clients.ml, data_set, export, settings)
        pipeline = training_pipeline(
            name,
            data_set,
            asset,
            settings,
            account_url=self._clients.account_url,
            checkpoint_run=self._checkpoint_run(),
            weighted_loss=self._weighted_loss(data_set),
        )
        pipeline.tags = {
            KIND_TAG: TRAINING,
            "export": export,
            "data_set": data_set.id,
            "base_models": ",".join(settings.base_models),
        }
        submit_once(self._clients, pipeline)
        logger.info("submitted training %s for label export %s", name, export)

    def _checkpoint_run(self) -> str:
        """The champion's run, where training goes on from it. Weights fit only the same base model."""
        if not self._settings.train_incremental:
            return ""
        store = model_store(self._clients)
        champion = store.champion()
        job = find_job(self._clients, champion.job) if champion else None
        if champion is None or job is None:
            self._findings.add("incremental", "note", "training starts anew, since there is no champion to go on from")
            return ""
        trained, wanted = (job.tags or {}).get("base_models", ""), ",".join(self._settings.base_models)
        if trained != wanted:
            text = (
                f"training starts anew, since the champion was trained from {trained or 'another model'}, not {wanted}"
            )
            self._findings.add("incremental", "note", text)
            return ""
        run = str(store.card(champion.path)["run"])
        self._findings.figures["trained on from run"] = run
        return run

    def _weighted_loss(self, data_set: DataSet) -> int:
        """1 (weighted by the roots) for labels of very different frequency, else 0."""
        counts = dict.fromkeys(data_set.labels, 0)
        for example in data_set.splits["train"]:
            for label in example.labels:
                counts[label] += 1
        most, least = max(counts.values()), max(min(counts.values()), 1)
        if most < IMBALANCE * least:
            return 0
        text = (
            f"the loss is weighted, since the most frequent label has {most} images for training and the rarest {least}"
        )
        self._findings.add("imbalance", "note", text)
        return 1

    def _announce_start(self, job: str, data_set: DataSet) -> None:
        images = {split: len(examples) for split, examples in data_set.splits.items()}
        announce(self._clients, TrainingStarted(job, self._found.name, data_set.id, images, len(data_set.labels)))

    def _may_be_unannounced(self, job: Job) -> bool:
        """Whether the worker that submitted a job for this export died before the report, which is written after the
        announcement. A job that another export of the same content started is that one's matter.
        """
        if not self._settings.events_topic_endpoint or (job.tags or {}).get("export") != self._found.name:
            return False
        report = read_report(self._clients, self._found.name)
        return report is None or report["job"] != job.name
