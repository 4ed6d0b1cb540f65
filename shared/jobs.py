"""The trainings and batches that run on Azure ML, as plain values."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from shared.cluster import KIND_TAG, find_job, status_of
from shared.errors import NotFoundError

if TYPE_CHECKING:
    from azure.ai.ml.entities import Job

    from shared.clients import Clients

MAX_JOBS = 1000


def list_jobs(clients: Clients, *, kind: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
    """LabelLoop's jobs, newest first; `kind` is training or scoring. MAX_JOBS jobs of the workspace are looked at."""
    found = []
    for job in islice(clients.ml.jobs.list(), MAX_JOBS):
        if job is None:  # The SDK gives None for a job of a kind that it can't parse.
            continue
        described = describe_job(job)
        if described["kind"] and kind in {None, described["kind"]}:
            found.append(described)
        if len(found) == limit:
            break
    return found


def get_job(clients: Clients, name: str) -> dict[str, Any]:
    """One job with its steps. Raises NotFoundError."""
    job = find_job(clients, name)
    if job is None:
        raise NotFoundError(f"there is no job {name}")
    steps = [
        {"name": child.display_name or child.name, "job": child.name, "status": status_of(child)}
        for child in clients.ml.jobs.list(parent_job_name=name)
        if child is not None
    ]
    return {**describe_job(job), "steps": steps}


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
