"""Runs one node of a pipeline: folder, code, inputs, process, outputs, logs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from local.cloud.errors import CloudError, UserError
from local.cloud.faults import Faults
from local.cloud.identity import IdentityProvider, Principal
from local.cloud.jobs.bindings import NodeOutput, ParentInput, ParentOutput
from local.cloud.jobs.locations import Locations
from local.cloud.jobs.nodes import Values, automl_command, automl_spec, code_of, command_of
from local.cloud.jobs.plan import InputValue, Node, Plan
from local.cloud.jobs.process import REPOSITORY, in_folder, log_tail, node_environment, run_process
from local.cloud.jobs.runs import AUTOML_RUN, COMPLETED, FAILED, QUEUED, RUNNING, TRIAL_RUN, Run, RunStore
from local.cloud.jobs.transfer import FILE_TYPES, MountedOutput, NodeFolder, Transfer, output_uri
from local.cloud.resources import Resource
from local.cloud.rules.datastores import Datastores
from local.cloud.rules.ids import WorkspaceScope
from local.cloud.storage.blobs import Blobs
from local.config import StackConfig

LITERAL_TYPES = ("literal", "string", "integer", "number", "boolean")


class NodeFailedError(Exception):
    """A node did not succeed; `message` ends with the tail of its log."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NodeRunner:
    """Runs nodes of any job."""

    def __init__(
        self,
        config: StackConfig,
        runs: RunStore,
        locations: Locations,
        datastores: Datastores,
        blobs: Blobs,
        identity: IdentityProvider,
        faults: Faults,
    ) -> None:
        self._config = config
        self._runs = runs
        self._locations = locations
        self._datastores = datastores
        self._blobs = blobs
        self._identity = identity
        self._faults = faults

    def folder(self, run_id: str) -> NodeFolder:
        return NodeFolder(self._config.state / "cloud" / "runs" / run_id)

    async def run(self, scope: WorkspaceScope, job: str, plan: Plan, node: Node, run: Run, compute: Resource) -> None:
        """Run a node to its end; its run is then Completed or Failed. Raises NodeFailedError when it failed."""
        folder = self.folder(run.run_id)
        transfer = Transfer(scope, self._locations, self._blobs)
        trial = self._start_trial(run) if run.run_type == AUTOML_RUN else None
        try:
            await asyncio.to_thread(folder.reset)
            outputs = await self._execute(scope, job, plan, node, run, compute, folder, transfer, trial)
        except (NodeFailedError, CloudError) as error:
            message = str(error.message)
            await self._upload_log(transfer, run.run_id, folder)
            if trial is not None:
                self._runs.move(trial.run_id, FAILED, error=message)
            self._runs.move(run.run_id, FAILED, error=message)
            raise NodeFailedError(message) from error
        await self._upload_log(transfer, run.run_id, folder)
        self._runs.move(run.run_id, COMPLETED, outputs=outputs)

    def _start_trial(self, run: Run) -> Run:
        trial = self._runs.create(
            Run(
                run_id=f"{run.run_id}_0",
                workspace=run.workspace,
                root_run_id=run.root_run_id,
                parent_run_id=run.run_id,
                experiment=run.experiment,
                display_name=f"{run.display_name}_0",
                run_type=TRIAL_RUN,
                compute=run.compute,
            )
        )
        self._runs.move(trial.run_id, QUEUED)
        return self._runs.move(trial.run_id, RUNNING)

    async def _execute(
        self,
        scope: WorkspaceScope,
        job: str,
        plan: Plan,
        node: Node,
        run: Run,
        compute: Resource,
        folder: NodeFolder,
        transfer: Transfer,
        trial: Run | None,
    ) -> dict[str, dict[str, str]]:
        """Everything between an empty folder and uploaded outputs; answers the outputs' URIs and types."""
        code = code_of(node)
        if code is not None:
            await transfer.download_code(code, folder)
        values = await self._values(scope, job, plan, node, transfer, folder)
        uris = {
            name: output_uri(run.run_id, name, target, plan.outputs.get(target.parent or ""), job)
            for name, target in node.outputs.items()
        }
        mounted = [
            MountedOutput(transfer, uris[name], folder.output(name))
            for name, target in node.outputs.items()
            if _is_mounted(target.mode) and target.type not in FILE_TYPES
        ]
        for output in mounted:
            await output.start()

        async def sync() -> None:
            for output in mounted:
                await output.sync()

        command = self._command(scope, node, run, folder, values, trial)
        fault = self._faults.find("compute", node.name, job)
        if fault is not None and fault.exit_code is not None:
            script = f"echo node failure by fault; sleep {fault.delay:g}; exit {fault.exit_code}"
            command = in_folder(folder.code, ["/bin/sh", "-c", script])
        system, users = _identities(compute)
        environment = node_environment(
            self._config,
            self._identity,
            scope,
            run,
            node.environment_variables,
            [*system, *users],
            users[0].client_id if users else None,
        )
        code_number = await run_process(command, folder.log, environment, sync)
        await sync()
        if node.type != "automl":
            # What a script writes to ./outputs and ./logs is kept with the run, as on Azure ML compute.
            for name in ("outputs", "logs"):
                if (folder.code / name).is_dir():
                    await transfer.upload_artifacts(run.run_id, folder.code / name, f"{name}/")
        if code_number != 0:
            raise NodeFailedError(f"'{node.name}' ended with exit code {code_number}.\n{log_tail(folder.log)}")
        if trial is not None:
            await self._finish_trial(run, trial, folder, transfer)
        return await self._upload_outputs(node, folder, transfer, uris)

    def _command(
        self,
        scope: WorkspaceScope,
        node: Node,
        run: Run,
        folder: NodeFolder,
        values: Values,
        trial: Run | None,
    ) -> list[str]:
        if trial is None:
            return command_of(node, folder, values, self._faults.find("node", node.name, run.root_run_id))
        spec = automl_spec(
            node,
            trial=trial.run_id,
            parent=run.run_id,
            inputs=values.inputs,
            datastores=self._datastores.containers(scope),
            account_url=self._config.storage_url("blob"),
        )
        spec_file = folder.root / "automl.json"
        spec_file.write_text(json.dumps(spec, indent=2))
        return in_folder(REPOSITORY, automl_command(spec_file, _automl_out(folder)))

    async def _values(
        self, scope: WorkspaceScope, job: str, plan: Plan, node: Node, transfer: Transfer, folder: NodeFolder
    ) -> Values:
        inputs: dict[str, str] = {}
        literals: set[str] = set()
        for name, given in node.inputs.items():
            text, kind = self._given(scope, job, plan, given)
            if kind in LITERAL_TYPES:
                inputs[name] = text
                literals.add(name)
                continue
            declared = InputValue(text, kind, given.mode)
            inputs[name] = str(await transfer.download_input(name, text, declared, folder))
        outputs: dict[str, str] = {}
        for name, target in node.outputs.items():
            path = folder.output(name)
            (path.parent if target.type in FILE_TYPES else path).mkdir(parents=True, exist_ok=True)
            outputs[name] = str(path)
        return Values(inputs, outputs, frozenset(literals))

    def _given(self, scope: WorkspaceScope, job: str, plan: Plan, given: InputValue) -> tuple[str, str]:
        """The text behind an input (a literal, or a URI) and its type."""
        match given.value:
            case ParentInput(name):
                parent = plan.inputs[name]
                kind = parent.type if given.type in LITERAL_TYPES else given.type
                return str(parent.value), parent.type if parent.type in LITERAL_TYPES else kind
            case NodeOutput(other, name):
                produced = self._runs.get(scope.child_run_id(job, other)).outputs.get(name)
                if produced is None:
                    raise UserError(f"The node '{other}' has produced no output '{name}'.")
                return produced["uri"], produced["type"] if given.type in LITERAL_TYPES else given.type
            case ParentOutput(name):
                raise UserError(f"The pipeline's output '{name}' cannot be an input.")
            case str(text):
                return text, given.type

    async def _upload_outputs(
        self, node: Node, folder: NodeFolder, transfer: Transfer, uris: dict[str, str]
    ) -> dict[str, dict[str, str]]:
        results: dict[str, dict[str, str]] = {}
        for name, target in node.outputs.items():
            path = _automl_out(folder) / "best_model" if node.type == "automl" else folder.output(name)
            if not _is_mounted(target.mode) or target.type in FILE_TYPES:
                await transfer.upload_output(uris[name], path)
            results[name] = {"uri": uris[name], "type": target.type}
        return results

    async def _finish_trial(self, run: Run, trial: Run, folder: NodeFolder, transfer: Transfer) -> None:
        """The trial's artifacts to their place, its tags, properties and metrics to its run; Azure ML's tag of the best
        child to the AutoML run. Raises NodeFailedError when AutoML left no result."""
        out = _automl_out(folder)
        try:
            result: dict[str, Any] = json.loads((out / "run.json").read_text())
        except (FileNotFoundError, ValueError) as error:
            raise NodeFailedError(f"AutoML left no readable run.json: {error}.\n{log_tail(folder.log)}") from error
        await transfer.upload_artifacts(trial.run_id, out / "artifacts")
        await self._upload_log(transfer, trial.run_id, folder)
        self._runs.move(
            trial.run_id,
            COMPLETED,
            tags=_texts(result.get("tags")),
            properties=_texts(result.get("properties")),
            metrics=result.get("metrics") or {},
        )
        self._runs.annotate(
            run.run_id,
            tags={**run.tags, "automl_best_child_run_id": trial.run_id},
            metrics=result.get("metrics") or {},
        )

    async def _upload_log(self, transfer: Transfer, run_id: str, folder: NodeFolder) -> None:
        if folder.log.is_file():
            await transfer.upload_artifacts(run_id, folder.log, "user_logs/std_log.txt")


def _automl_out(folder: NodeFolder) -> Path:
    return folder.root / "automl"


def _is_mounted(mode: str | None) -> bool:
    return (mode or "").replace("_", "").lower() in ("rwmount", "readwritemount")


def _texts(values: dict[str, Any] | None) -> dict[str, str]:
    return {str(key): str(value) for key, value in (values or {}).items()}


def _identities(compute: Resource) -> tuple[list[Principal], list[Principal]]:
    """A cluster's system-assigned identity and its user-assigned ones. ARM does not show the former's client id."""
    identity = compute.body.get("identity") or {}
    own = identity.get("principalId")
    users = (identity.get("userAssignedIdentities") or {}).values()
    return [Principal(own, own)] if own else [], [Principal(each["clientId"], each["principalId"]) for each in users]
