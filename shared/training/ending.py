"""How a training ended: told once, noted in the export's report, and the next one's turn.

The job's event brings it about, or, where that is lost, the timer.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from shared.cluster import ENDED_STATUSES, find_job, status_of
from shared.events import ModelPromoted, ModelRegistered, TrainingFailed, announce
from shared.jobs import get_job
from shared.models import list_versions, model_store
from shared.training.exports import LandedExport, announce_export
from shared.training.line import Line, read_line, training_lock, write_line
from shared.training.reports import QUEUED, TRAINING_STATES, change_report, reports_on

if TYPE_CHECKING:
    from azure.ai.ml.entities import Job

    from shared.clients import Clients

JOB_PREFIX = "train-"
# The waiting export's message is seen when this worker has given the lock back.
NEXT_SECONDS = 1

logger = logging.getLogger(__name__)


def settle_training(clients: Clients, job_id: str) -> None:
    """What the end of a job asks for: it is told, and what waited for it starts. No effect while it runs."""
    if job_id.startswith(JOB_PREFIX):
        _tell_end(clients, job_id)
        look_after_trainings(clients)


def look_after_trainings(clients: Clients) -> None:
    """Settle the trainings that have ended, and let the export that waits have its turn. No effect before provisioning.

    One request while nothing trains. Another worker that decides just now leaves the rest to the next tick.
    """
    if read_line(clients).is_idle:
        return
    with training_lock(clients) as is_mine:
        if not is_mine:
            return
        line = settle_line(clients, read_line(clients))
        if line.running is None and line.waiting is not None:
            announce_export(clients, LandedExport.from_message(line.waiting.message), NEXT_SECONDS)
            write_line(clients, line, waiting=None)


def settle_line(clients: Clients, line: Line) -> Line:
    """The line without the trainings that have ended, which are told first. The caller has the lock."""
    unsettled = tuple(job for job in line.unsettled if not _has_ended(clients, job))
    for job in line.unsettled:
        if job not in unsettled:
            _tell_end(clients, job)
    changes: dict[str, Any] = {"unsettled": unsettled} if unsettled != line.unsettled else {}
    running = line.running
    if running is not None and _has_ended(clients, running.job):
        _tell_end(clients, running.job)
        changes["running"] = None
        ended = find_job(clients, running.job)
        if ended is not None and status_of(ended) == "Completed":
            changes["last"] = running
    return write_line(clients, line, **changes) if changes else line


def _has_ended(clients: Clients, name: str) -> bool:
    """Whether a job does nothing more. One that does not exist was noted by a worker that died before submitting it."""
    job = find_job(clients, name)
    return job is None or status_of(job) in ENDED_STATUSES


def _tell_end(clients: Clients, job_id: str) -> None:
    """Once, as far as that can be: again when the worker died before it was noted in the report of the export that the
    job was submitted for.
    """
    job = find_job(clients, job_id)
    state = job and TRAINING_STATES.get(status_of(job))
    export = job and (job.tags or {}).get("export")
    if not job or not state or not export:
        return
    reports = sorted(reports_on(clients, job_id), key=lambda report: report["export"] != export)
    is_told = bool(reports) and reports[0]["export"] == export and reports[0].get("settled")
    if not is_told and clients.settings.events_topic_endpoint:
        _announce_end(clients, job)
    for report in reports:
        if not report.get("settled"):
            # One that is asked for again will be told the state when it is looked at.
            told = report["state"] if report["state"] == QUEUED else state
            change_report(clients, report, state=told, settled=True)


def _announce_end(clients: Clients, job: Job) -> None:
    """A training can fail after its model was registered, and even promoted: then all of it is announced."""
    name, status, tags = str(job.name), status_of(job), dict(job.tags or {})
    data_set = str(tags.get("data_set", ""))
    if status != "Completed":
        described = get_job(clients, name)
        steps = tuple(each["name"] for each in described["steps"] if each["status"] == "Failed")
        error = f"training {name} ended as {status}" + (f"; failed steps: {', '.join(steps)}" if steps else "")
        error += f": {described['error']}" if described["error"] else ""
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
        "decision": {name: value for name, value in (card.get("decision") or {}).items() if name != "reason"},
    }
    announce(clients, ModelRegistered(**told, promoted=promoted))
    if promoted:
        announce(clients, ModelPromoted(**told))
