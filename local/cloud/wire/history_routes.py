"""Run history: the data plane that azure-ai-ml reads child runs from, and changes tags through.

Shapes: azure-ai-ml, `_restclient/runhistory`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from local.cloud.clock import duration_text, utc_text
from local.cloud.errors import NotFoundError
from local.cloud.jobs.locations import artifacts_uri
from local.cloud.jobs.runs import Run, RunStore
from local.cloud.rules.ids import ML_PROVIDER, WorkspaceScope
from local.cloud.rules.jobs import Jobs
from local.cloud.wire.http import Json, Reply, Request, Route

_WORKSPACE = f"subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{ML_PROVIDER}/workspaces/{{workspace}}"
_HISTORY = f"/history/v1.0/{_WORKSPACE}"
_RESOLVE = f"/data/v1.0/{_WORKSPACE}/dataversion/batchGetResolvedUris"


def history_routes(runs: RunStore, jobs: Jobs, log_url: Callable[[str], str]) -> list[Route]:
    """Reading runs and their children; changing display name, description, tags and archived state."""

    def find(request: Request) -> Run:
        run = runs.get(request.params["run"])
        if run.workspace.lower() != request.workspace.id.lower():
            raise NotFoundError(f"The run '{run.run_id}' is not in workspace '{request.params['workspace']}'.")
        return run

    async def get(request: Request) -> Reply:
        return Reply(run_document(find(request)))

    async def children(request: Request) -> Reply:
        found = runs.children(find(request).run_id)
        top = request.query.get("$top")
        return Reply({"value": [run_document(run) for run in found[: int(top) if top else None]]})

    async def details(request: Request) -> Reply:
        return Reply(run_details(find(request), log_url))

    async def modify(request: Request) -> Reply:
        run, body = find(request), request.document
        tags = {**run.tags, **(body.get("tags") or {})}
        if run.parent_run_id is not None:
            properties = {**run.properties, **(body.get("properties") or {})}
            return Reply(run_document(runs.annotate(run.run_id, tags=tags, properties=properties)))
        changed: Json = {"tags": tags}
        names = {"displayName": "displayName", "description": "description", "hidden": "isArchived"}
        changed.update({names[key]: body[key] for key in names if body.get(key) is not None})
        if body.get("properties"):
            stored = jobs.get(request.workspace, run.run_id)["properties"].get("properties") or {}
            changed["properties"] = {**stored, **body["properties"]}
        jobs.annotate(request.workspace, run.run_id, changed)
        return Reply(run_document(runs.get(run.run_id)))

    async def run_data(request: Request) -> Reply:
        run = runs.get(str(request.document.get("runId")))
        return Reply({"runMetadata": run_document(run)})

    async def resolve_uris(request: Request) -> Reply:
        # A run's outputs are named by their URIs here; Azure ML names them by ids of its own.
        wanted = request.document.get("values") or []
        return Reply({"values": {uri: {"uri": uri, "type": "uri_folder"} for uri in wanted}})

    run = f"{_HISTORY}/runs/{{run}}"
    by_experiment = f"{_HISTORY}/experiments/{{experiment}}/runs/{{run}}"
    sdk = "azure-ai-ml jobs"
    return [
        Route("GET", run, get, "run", f"{sdk}.get of a child"),
        Route("GET", f"{run}/children", children, "child runs", f"{sdk}.list(parent_job_name=…)"),
        Route("GET", f"{run}/details", details, "run with its log's URL", f"{sdk}.stream"),
        Route("PATCH", run, modify, "tags, display name, archived", "REST"),
        Route("PATCH", by_experiment, modify, "tags, display name, archived", f"{sdk}.update, archive, restore"),
        Route("POST", f"{_HISTORY}/rundata", run_data, "run with its outputs", f"{sdk}.download"),
        Route("POST", _RESOLVE, resolve_uris, "where outputs lie", f"{sdk}.download"),
    ]


def run_document(run: Run) -> Json:
    """A run as run history answers it."""
    scope = WorkspaceScope.of(run.workspace)
    document: Json = {
        "runId": run.run_id,
        "runUuid": run.run_id,
        "runNumber": run.number,
        "rootRunId": run.root_run_id,
        "parentRunId": run.parent_run_id,
        "experimentId": scope.experiment_id(run.experiment),
        "dataContainerId": f"dcid.{run.run_id}",
        "displayName": run.display_name,
        "description": run.description,
        "status": run.status,
        "runType": run.run_type,
        "hidden": run.hidden,
        "tags": run.tags,
        "properties": run.properties,
        "target": run.compute,
        "compute": {"target": run.compute, "targetType": "amlcompute"} if run.compute else None,
        "createdUtc": utc_text(run.created),
        "createdBy": {"userName": "local"},
        "startTimeUtc": utc_text(run.started) if run.started else None,
        "endTimeUtc": utc_text(run.ended) if run.ended else None,
        "duration": duration_text((run.ended or time.time()) - run.started) if run.started else None,
        "services": {},
        "outputs": {name: {"assetId": value["uri"], "type": value["type"]} for name, value in run.outputs.items()},
    }
    if run.error:
        document["error"] = {"error": {"code": "UserError", "message": run.error}}
    return document


def run_details(run: Run, log_url: Callable[[str], str]) -> Json:
    """A run's details; its log is in the run's artifacts once the node has ended."""
    document = run_document(run)
    return {
        "runId": run.run_id,
        "target": run.compute,
        "status": run.status,
        "startTimeUtc": document["startTimeUtc"],
        "endTimeUtc": document["endTimeUtc"],
        "error": document.get("error"),
        "warnings": [],
        "properties": run.properties,
        "artifacts": artifacts_uri(run.run_id),
        "logFiles": {"user_logs/std_log.txt": log_url(run.run_id)} if run.ended and run.node else {},
    }
