"""The local cloud's own routes: what it has counted and delivered, whether it is idle, logs, faults."""

from __future__ import annotations

import hmac

from local.cloud.errors import BadRequestError, ForbiddenError, NotFoundError
from local.cloud.eventgrid.events import EventLog
from local.cloud.faults import Faults
from local.cloud.jobs.engine import JobEngine
from local.cloud.jobs.runner import NodeRunner
from local.cloud.jobs.runs import RunStore
from local.cloud.storage.counts import OperationCounts
from local.cloud.wire.history_routes import run_document
from local.cloud.wire.http import Guard, Reply, Request, Route
from local.config import StackConfig

DEFAULT_EVENTS, MOST_EVENTS = 100, 1000


def admin_guard(config: StackConfig) -> Guard:
    """Requires the header `x-admin-key` to be the stack's identity header."""

    def guard(request: Request) -> None:
        given = request.headers.get("x-admin-key", "")
        if not hmac.compare_digest(given.encode(), config.identity_header.encode()):
            raise ForbiddenError("The header x-admin-key is missing or wrong.")

    return guard


def admin_routes(
    counts: OperationCounts,
    events: EventLog,
    faults: Faults,
    runs: RunStore,
    engine: JobEngine,
    runner: NodeRunner,
) -> list[Route]:
    """Routes below /admin."""

    async def get_counts(request: Request) -> Reply:
        del request
        return Reply(counts.document())

    async def reset_counts(request: Request) -> Reply:
        del request
        counts.reset()
        return Reply(status=204)

    async def recent(request: Request) -> Reply:
        limit = request.query.get("limit", str(DEFAULT_EVENTS))
        if not limit.isdigit():
            raise BadRequestError(f"limit is '{limit}'; it must be a whole number.")
        return Reply({"value": events.recent(min(int(limit), MOST_EVENTS))})

    async def idle(request: Request) -> Reply:
        del request
        pending, running = events.pending(), engine.running()
        return Reply({"idle": not pending and not running, "pendingDeliveries": pending, "runningJobs": running})

    async def get_run(request: Request) -> Reply:
        run = runs.get(request.params["run"])
        document = run_document(run)
        document["metrics"] = run.metrics
        document["node"] = run.node
        document["children"] = [child.run_id for child in runs.children(run.run_id)]
        return Reply(document)

    async def get_log(request: Request) -> Reply:
        log = runner.folder(runs.get(request.params["run"]).run_id).log
        if not log.is_file():
            raise NotFoundError(f"The run '{request.params['run']}' has no log yet.")
        return Reply(log.read_text(errors="replace"))

    async def get_faults(request: Request) -> Reply:
        del request
        return Reply({"value": faults.document()})

    async def put_faults(request: Request) -> Reply:
        rules = request.document.get("value")
        if not isinstance(rules, list):
            raise BadRequestError('The body must be {"value": [rule, …]}.')
        faults.replace(rules)
        return Reply({"value": faults.document()})

    return [
        Route("GET", "/admin/counts", get_counts, "operations served, by service"),
        Route("DELETE", "/admin/counts", reset_counts, "start counting again"),
        Route("GET", "/admin/events", recent, "recent events and their deliveries; ?limit="),
        Route("GET", "/admin/idle", idle, "pending deliveries and running jobs"),
        Route("GET", "/admin/runs/{run}", get_run, "a run with its metrics"),
        Route("GET", "/admin/runs/{run}/log", get_log, "a node's log, also while it runs"),
        Route("GET", "/admin/faults", get_faults, "the faults in force"),
        Route("PUT", "/admin/faults", put_faults, "set the faults"),
    ]
