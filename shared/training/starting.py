"""From a landed export to a decision: train, wait, or say why not. Once per content and settings.

One worker decides at a time. Every step can be carried out again: what is made is named by the data set and the
settings, and whoever trains is noted before the job is submitted.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared import datasets
from shared.cluster import ENDED_STATUSES, find_job, status_of
from shared.datasets import Findings
from shared.errors import ExportError
from shared.events import TrainingStarted, announce
from shared.labels import IncompleteExportError
from shared.locations import read_datastores
from shared.training.changes import Labelling, count_changes, labelling_of, load_labelling, save_labelling
from shared.training.checks import check_training
from shared.training.ending import settle_line
from shared.training.exports import FoundExport, LandedExport, announce_export, find_export
from shared.training.line import Line, Running, Waiting, read_line, training_lock, write_line
from shared.training.reading import read_data_set
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
    close_request,
    note_sharing,
    read_report,
    write_report,
)
from shared.training.shapes import decision_shape, model_shape
from shared.training.submission import find_attempts, submit_training

if TYPE_CHECKING:
    from azure.ai.ml.entities import Job

    from shared.clients import Clients
    from shared.datasets import DataSet
    from shared.locations import Datastores

# How long another worker's decision is waited for, and how often files that are missing are.
BUSY_SECONDS = 5
MAX_WAITS = 10

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
        logger.info("label export %s is not there any more", landed.asked_name)
        close_request(clients, landed)
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


class Start:
    """One decision about one export. The caller has the lock."""

    def __init__(self, clients: Clients, landed: LandedExport, found: FoundExport) -> None:
        self._clients = clients
        self._landed = landed
        self._found = found
        self._settings = clients.settings.with_changes(landed.changes)
        self._shape = model_shape(self._settings)
        self._decision_shape = decision_shape(self._settings)
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
            data_set = read_data_set(self._clients, self._found, self._settings, datastores, self._findings)
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
        same = (report.get("content"), report.get("shape")) == (self._found.content, self._decision_shape)
        return same and report["state"] not in OPEN_STATES

    def _told(
        self, state: str, job: str = "", *, created: bool = False, problems: tuple[str, ...] = ()
    ) -> TrainingOutcome:
        if state == TRAINING:
            note_sharing(self._clients, job, self._found.name)
        write_report(
            self._clients,
            self._found,
            self._findings,
            self._decision_shape,
            state=state,
            job=job,
            problems=problems,
            created=created,
            by_hand=self._landed.by_hand,
        )
        return TrainingOutcome(state, self._found.name, job, created, problems)

    def _decide(self, data_set: DataSet, datastores: Datastores) -> TrainingOutcome:
        line = settle_line(self._clients, read_line(self._clients))
        name, job, latest = find_attempts(self._clients, data_set, self._settings)
        if latest is not None and self._may_be_unannounced(latest):
            self._announce_start(str(latest.name), data_set)
        running = Running(name, self._found.name, data_set.id, self._shape, self._modified)
        if job is not None:
            state = TRAINING_STATES.get(status_of(job), TRAINING)
            if state == TRAINING and line.running is None:
                line = write_line(self._clients, line, running=running)
            self._forget_waiting(line)
            return self._told(state, name)
        check_training(self._settings, self._findings.figures, self._findings)
        if refusals := self._findings.texts("refusal"):
            raise ExportError(self._found.name, refusals)
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
        submit_training(self._clients, name, self._found.name, data_set, self._settings, self._findings)
        self._announce_start(name, data_set)
        return self._told(TRAINING, name, created=True)

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
