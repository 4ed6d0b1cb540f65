"""Runs pipeline jobs: nodes in the order of their needs, on the nodes of clusters, resumed after a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from local.cloud.errors import CloudError
from local.cloud.jobs.cluster import Cluster
from local.cloud.jobs.plan import Node, Plan
from local.cloud.jobs.runner import NodeFailedError, NodeRunner
from local.cloud.jobs.runs import (
    AUTOML_RUN,
    CANCEL_REQUESTED,
    CANCELED,
    COMPLETED,
    FAILED,
    NOT_STARTED,
    PIPELINE_RUN,
    QUEUED,
    RUNNING,
    STEP_RUN,
    Run,
    RunStore,
)
from local.cloud.resources import Resource
from local.cloud.rules.computes import Computes
from local.cloud.rules.ids import WorkspaceScope

logger = logging.getLogger(__name__)

Replan = Callable[[WorkspaceScope, str], Plan]


class JobEngine:
    """Starts, resumes and cancels jobs. `replan` makes the plan of a stored job again, after a restart."""

    def __init__(self, runs: RunStore, runner: NodeRunner, computes: Computes, replan: Replan) -> None:
        self._runs = runs
        self._runner = runner
        self._computes = computes
        self._replan = replan
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._clusters: dict[str, Cluster] = {}
        self._closing = False

    def start(self) -> None:
        """Resume the jobs that had not ended when the cloud last stopped."""
        for run in self._runs.unfinished_jobs():
            scope = WorkspaceScope.of(run.workspace)
            if run.status == CANCEL_REQUESTED:
                self._cancel_runs(run.run_id)
                continue
            try:
                plan = self._replan(scope, run.run_id)
            except CloudError as error:
                self._runs.move(run.run_id, FAILED, error=error.message)
                continue
            self._begin(scope, run.run_id, plan)

    def submit(
        self, scope: WorkspaceScope, job: str, experiment: str, display_name: str, tags: dict[str, str], plan: Plan
    ) -> None:
        """Create the runs of a new job and start it."""
        self._runs.create(
            Run(
                run_id=job,
                workspace=scope.id,
                root_run_id=job,
                parent_run_id=None,
                experiment=experiment,
                display_name=display_name,
                run_type=PIPELINE_RUN,
                tags=tags,
                properties={"azureml.runsource": PIPELINE_RUN, "runSource": "MFE", "azureml.DevPlatv2": "true"},
            )
        )
        for node in plan.nodes:
            self._runs.create(
                Run(
                    run_id=scope.child_run_id(job, node.name),
                    workspace=scope.id,
                    root_run_id=job,
                    parent_run_id=job,
                    experiment=experiment,
                    display_name=node.display_name,
                    run_type=AUTOML_RUN if node.type == "automl" else STEP_RUN,
                    node=node.name,
                    compute=node.compute.rsplit("/", 1)[-1],
                    properties={"azureml.runsource": STEP_RUN, "azureml.pipelinerunid": job},
                )
            )
        self._runs.move(job, QUEUED)
        self._begin(scope, job, plan)

    def cancel(self, job: str) -> None:
        """Ask a job to stop; its processes are ended and its runs become Canceled. Nothing for one that has ended."""
        if self._runs.move(job, CANCEL_REQUESTED).is_terminal:
            return
        task = self._tasks.get(job)
        if task is None:
            self._cancel_runs(job)
        else:
            task.cancel()

    async def close(self) -> None:
        """End all processes, and leave the runs as they are, so that the next start resumes them."""
        self._closing = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def running(self) -> list[str]:
        """The jobs that have not ended."""
        return sorted(self._tasks)

    def _begin(self, scope: WorkspaceScope, job: str, plan: Plan) -> None:
        task = asyncio.create_task(self._run(scope, job, plan), name=f"job {job}")
        self._tasks[job] = task
        task.add_done_callback(lambda _: self._tasks.pop(job, None))

    def _cancel_runs(self, job: str) -> None:
        for run in reversed(self._runs.of_job(job)):
            self._runs.move(run.run_id, CANCELED)

    async def _run(self, scope: WorkspaceScope, job: str, plan: Plan) -> None:
        try:
            await self._run_nodes(scope, job, plan)
        except asyncio.CancelledError:
            if not self._closing:
                self._cancel_runs(job)
            raise
        except Exception as error:
            logger.exception("Job %s broke", job)
            for run in reversed(self._runs.of_job(job)):
                self._runs.move(run.run_id, FAILED, error=f"Internal error of the local cloud: {error!r}")

    async def _run_nodes(self, scope: WorkspaceScope, job: str, plan: Plan) -> None:
        """Start every node as soon as what it needs is completed; end when nothing can start any more."""
        active: dict[asyncio.Task[None], Node] = {}
        done, failed = self._settled(scope, job, plan)
        try:
            while True:
                if not (failed and not plan.continue_on_failure):
                    busy = {node.name for node in active.values()}
                    for node in plan.nodes:
                        if node.name not in done | failed.keys() | busy and node.needs <= done:
                            active[asyncio.create_task(self._run_node(scope, job, plan, node))] = node
                if not active:
                    break
                ended, _ = await asyncio.wait(active, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    node = active.pop(task)
                    try:
                        task.result()
                        done.add(node.name)
                    except NodeFailedError as error:
                        failed[node.name] = error.message
        finally:
            for task in active:
                task.cancel()
            await asyncio.gather(*active, return_exceptions=True)
        self._finish(scope, job, plan, failed)

    def _settled(self, scope: WorkspaceScope, job: str, plan: Plan) -> tuple[set[str], dict[str, str]]:
        """The nodes that an earlier process of the cloud has completed, and those that failed."""
        done: set[str] = set()
        failed: dict[str, str] = {}
        for node in plan.nodes:
            run = self._runs.get(scope.child_run_id(job, node.name))
            if run.status == COMPLETED:
                done.add(node.name)
            elif run.is_terminal:
                failed[node.name] = run.error or run.status
        return done, failed

    async def _run_node(self, scope: WorkspaceScope, job: str, plan: Plan, node: Node) -> None:
        run = self._runs.move(scope.child_run_id(job, node.name), QUEUED)
        try:
            compute = self._computes.require(scope, node.compute)
        except CloudError as error:
            # The cluster was there at submission and is gone now.
            self._runs.move(run.run_id, FAILED, error=error.message)
            raise NodeFailedError(error.message) from error
        async with self._cluster(compute).node():
            self._runs.move(job, RUNNING)
            run = self._runs.move(run.run_id, RUNNING)
            await self._runner.run(scope, job, plan, node, run, compute)

    def _cluster(self, compute: Resource) -> Cluster:
        key = compute.id.lower()
        if key not in self._clusters:
            scope, name = WorkspaceScope.of(compute.id), compute.name

            def limit() -> int:
                inner = self._computes.require(scope, name).properties["properties"]
                return int(inner["scaleSettings"]["maxNodeCount"])

            self._clusters[key] = Cluster(limit)
        return self._clusters[key]

    def _finish(self, scope: WorkspaceScope, job: str, plan: Plan, failed: dict[str, str]) -> None:
        for node in plan.nodes:
            run = self._runs.get(scope.child_run_id(job, node.name))
            if run.status in (NOT_STARTED, QUEUED):
                self._runs.move(run.run_id, CANCELED)
        if failed:
            message = "\n".join(failed.values())
            properties = {**self._runs.get(job).properties, "error": message}
            self._runs.move(job, FAILED, error=message, properties=properties)
            return
        outputs: dict[str, dict[str, str]] = {}
        for name in plan.outputs:
            source = plan.source_of(name)
            if source is not None:
                node_run = self._runs.get(scope.child_run_id(job, source[0]))
                outputs[name] = node_run.outputs[source[1]]
        self._runs.move(job, COMPLETED, outputs=outputs)
