"""The trainings and batches that run on Azure ML, as plain values."""

from __future__ import annotations

import datetime as dt
from itertools import islice
from typing import TYPE_CHECKING, Any

from shared.cluster import ENDED_STATUSES, KIND_TAG, find_job, status_of
from shared.errors import ConflictError, InvalidRequestError, NotFoundError

if TYPE_CHECKING:
    from azure.ai.ml._restclient.runhistory.models import Run
    from azure.ai.ml.entities import Job

    from shared.clients import Clients

MAX_JOBS = 1000
# By the statuses of https://learn.microsoft.com/azure/machine-learning/reference-yaml-job-pipeline; else it runs.
STATES = {
    "NotStarted": "waiting",
    "Starting": "waiting",
    "Queued": "waiting",
    "Provisioning": "waiting",
    "Preparing": "waiting",
    "CancelRequested": "canceling",
    "Completed": "completed",
    "Failed": "failed",
    "Canceled": "canceled",
}


def list_jobs(
    clients: Clients, *, kind: str | None = None, after: str | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """LabelLoop's jobs, newest first; `kind` is training or scoring, `after` the name of the job after which to begin.
    The newest MAX_JOBS jobs of the workspace are looked at, whosever they are. Raises InvalidRequestError when `after`
    is none of them.
    """
    found = []
    is_due = after is None
    for job in islice(clients.ml.jobs.list(), MAX_JOBS):
        if job is None:  # The SDK gives None for a job of a kind that it can't parse.
            continue
        if is_due:
            described = describe_job(job)
            if described["kind"] and kind in {None, described["kind"]}:
                found.append(described)
        is_due = is_due or job.name == after
        if len(found) == limit:
            break
    if not is_due:
        raise InvalidRequestError("cursor points at a job that is gone; begin anew without it", "cursor")
    return found


def get_job(clients: Clients, name: str) -> dict[str, Any]:
    """One job with its steps. Raises NotFoundError.

    `step` is the step under way, `progress` the share of steps that have ended (0 to 1), `node_hours` what nodes have
    worked for it so far (h), `error` the run's own words.
    """
    job = find_job(clients, name)
    if job is None:
        raise NotFoundError(f"there is no job {name}")
    history = RunHistory(clients)
    runs = history.children(name)
    steps = [
        {
            "name": run.display_name or run.run_id,
            "job": run.run_id,
            "status": run.status,
            "node_hours": round(history.node_seconds(run, _nodes(job, run)) / 3600, 4),
            "error": _error(run),
        }
        for run in runs
    ]
    described = describe_job(job)
    ended = sum(step["status"] in ENDED_STATUSES for step in steps)
    expected = max(len(getattr(job, "jobs", None) or {}), len(steps), 1)
    under_way = [step["name"] for step in steps if step["status"] not in ENDED_STATUSES | {"NotStarted"}]
    errors = [str(step["error"]) for step in steps if step["error"]]
    return {
        **described,
        "state": STATES.get(described["status"], "running"),
        "step": under_way[0] if under_way and described["status"] not in ENDED_STATUSES else None,
        "progress": 1.0 if described["status"] == "Completed" else round(ended / expected, 2),
        "node_hours": round(sum(step["node_hours"] for step in steps), 4),
        "error": "; ".join(dict.fromkeys(errors))
        or (_error(history.run(name)) if described["status"] == "Failed" else None),
        "steps": steps,
    }


def cancel_job(clients: Clients, name: str) -> dict[str, Any]:
    """Cancel a job; returns it as it is then. Raises NotFoundError, also for a job that is not LabelLoop's, and
    ConflictError for one that has ended.
    """
    from azure.core.exceptions import HttpResponseError

    job = find_job(clients, name)
    if job is None or not describe_job(job)["kind"]:
        raise NotFoundError(f"there is no job {name} of LabelLoop")
    if status_of(job) not in ENDED_STATUSES:
        try:
            clients.ml.jobs.begin_cancel(name)
            return get_job(clients, name)
        except HttpResponseError:
            job = find_job(clients, name)
            if job is None or status_of(job) not in ENDED_STATUSES:
                raise
    raise ConflictError(f"job {name} has ended already: {status_of(job)}")


class RunHistory:
    """What Azure ML's run history tells of runs: their times and errors, which jobs themselves don't have.

    The SDK has a client for it, but lets nobody see more of its answers than jobs.
    """

    def __init__(self, clients: Clients) -> None:
        ml = clients.ml
        self._runs = ml.jobs._runs_operations._operation
        self._scope = (ml.subscription_id, ml.resource_group_name, ml.workspace_name)

    def run(self, name: str) -> Run:
        run: Run = self._runs.get(*self._scope, name)
        return run

    def children(self, name: str) -> list[Run]:
        """A run's own children."""
        return [run for run in self._runs.get_child(*self._scope, name) if run.parent_run_id in {name, None}]

    def node_seconds(self, run: Run, nodes: int) -> float:
        """For how long nodes have worked for a run (s). The trials of a sweep work, not the sweep."""
        trials = self.children(run.run_id)
        if trials:
            return sum(self.node_seconds(trial, nodes) for trial in trials)
        if run.start_time_utc is None:
            return 0.0
        until = run.end_time_utc or dt.datetime.now(dt.UTC)
        return float(max((until - run.start_time_utc).total_seconds(), 0.0) * nodes)


def _nodes(job: Job, run: Run) -> int:
    """How many nodes a step may use at once."""
    step = (getattr(job, "jobs", None) or {}).get(run.display_name or "")
    resources = getattr(step, "resources", None)
    return int(getattr(resources, "instance_count", None) or 1)


def _error(run: Run) -> str | None:
    """A run's error in its own words."""
    inner = run.error.error if run.error else None
    return str(inner.message) if inner and inner.message else None


def describe_job(job: Job) -> dict[str, Any]:
    """A job's name, kind (empty when it is not LabelLoop's), status, times and tags."""
    tags = dict(job.tags or {})
    context = job.creation_context
    created = context.created_at if context else None
    return {
        "name": job.name,
        "kind": tags.pop(KIND_TAG, ""),
        "status": status_of(job),
        "created_at": created.isoformat() if created else None,
        "studio_url": job.studio_url,
        "tags": tags,
    }
