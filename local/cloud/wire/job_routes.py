"""Jobs: submission, listing, cancellation."""

from __future__ import annotations

from local.cloud.errors import NotFoundError
from local.cloud.jobs.runs import RunStore
from local.cloud.rules.jobs import Jobs
from local.cloud.wire.http import Reply, Request, Route
from local.cloud.wire.lists import list_reply
from local.cloud.wire.operations import POLL_HEADERS
from local.cloud.wire.workspace_routes import WORKSPACE
from local.config import StackConfig


def job_routes(jobs: Jobs, runs: RunStore, config: StackConfig) -> list[Route]:
    """The ARM routes of jobs; children and tags are run history's."""
    base = config.arm_url

    async def put(request: Request) -> Reply:
        document, created = jobs.put(request.workspace, request.params["job"], request.document)
        return Reply(document, 201 if created else 200)

    async def get(request: Request) -> Reply:
        return Reply(jobs.get(request.workspace, request.params["job"]))

    async def list_jobs(request: Request) -> Reply:
        documents, page = jobs.list(request.workspace, request.query)
        return list_reply(request, base, documents, page)

    async def cancel(request: Request) -> Reply:
        jobs.cancel(request.workspace, request.params["job"])
        path = request.path.removesuffix("/cancel")
        location = f"{base}{path}/cancelOperation?api-version={request.query.get('api-version', '')}"
        return Reply(status=202, headers={"Location": location, **POLL_HEADERS})

    async def cancel_operation(request: Request) -> Reply:
        run = runs.find(request.params["job"])
        if run is None:
            raise NotFoundError(f"The job '{request.params['job']}' was not found.")
        if run.is_terminal:
            return Reply()
        location = f"{base}{request.path}?api-version={request.query.get('api-version', '')}"
        return Reply(status=202, headers={"Location": location, **POLL_HEADERS})

    async def delete(request: Request) -> Reply:
        return Reply(status=200 if jobs.delete(request.workspace, request.params["job"]) else 204)

    job = f"{WORKSPACE}/jobs/{{job}}"
    sdk = "azure-ai-ml jobs"
    return [
        Route("PUT", job, put, "submit a pipeline job; the same again is the same job", f"{sdk}.create_or_update"),
        Route("GET", job, get, "job with status; a child run without properties", f"{sdk}.get"),
        Route("GET", f"{WORKSPACE}/jobs", list_jobs, "jobs; listViewType, tag, jobType, $skip", f"{sdk}.list"),
        Route("POST", f"{job}/cancel", cancel, "cancel; 202 with Location", f"{sdk}.begin_cancel"),
        Route("GET", f"{job}/cancelOperation", cancel_operation, "state of a cancellation", f"{sdk}.begin_cancel"),
        Route("DELETE", job, delete, "delete a job that has ended", f"{sdk}.begin_delete"),
    ]
