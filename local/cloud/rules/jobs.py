"""Jobs as ARM resources: submission, idempotent names, tags and archiving, cancellation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

from local.cloud.errors import BadRequestError, NotFoundError, NotImplementedByLocalCloudError, UserError
from local.cloud.jobs.plan import Plan, plan_pipeline
from local.cloud.jobs.runs import Run, RunStore
from local.cloud.resources import Json, Resource, ResourceStore
from local.cloud.rules.assets import KINDS, Assets
from local.cloud.rules.computes import Computes
from local.cloud.rules.ids import WorkspaceScope
from local.cloud.rules.listing import Page, by_tags, by_view, paginate
from local.config import StackConfig

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,254}$")
# What a second PUT of a job may change; everything else makes it another job.
_MUTABLE = ("displayName", "description", "tags", "isArchived", "properties")
_ANSWERED = ("status", "services", "provisioningState")


class Engine(Protocol):
    """Starts and cancels jobs."""

    def submit(
        self, scope: WorkspaceScope, job: str, experiment: str, display_name: str, tags: dict[str, str], plan: Plan
    ) -> None: ...

    def cancel(self, job: str) -> None: ...


class Jobs:
    """Reads and writes jobs."""

    def __init__(
        self,
        store: ResourceStore,
        runs: RunStore,
        assets: Assets,
        computes: Computes,
        config: StackConfig,
    ) -> None:
        self._store = store
        self._runs = runs
        self._assets = assets
        self._computes = computes
        self._config = config
        self.engine: Engine | None = None

    def put(self, scope: WorkspaceScope, name: str, body: Json) -> tuple[Json, bool]:
        """Submit a job; or, when that name exists, change what is mutable. Answers the document and whether it is new.

        Raises UserError for a job that cannot run as written, and for another job under an existing name.
        """
        self._store.get(scope.id)
        properties = dict(body.get("properties") or {})
        for answered in _ANSWERED:
            properties.pop(answered, None)
        job_id = scope.child(f"jobs/{name}")
        existing = self._store.find(job_id)
        if existing is not None:
            return self._update(existing, properties), False
        if not _NAME.match(name) or self._runs.find(name) is not None:
            raise UserError(f"'{name}' is not a valid name for a new job.")
        plan = self._plan(scope, properties)
        for node in plan.nodes:
            self._computes.require(scope, node.compute)
        for key in ("tags", "properties"):
            properties[key] = properties.get(key) or {}
        properties["isArchived"] = bool(properties.get("isArchived"))
        properties.setdefault("experimentName", "Default")
        properties["displayName"] = properties.get("displayName") or name
        if self.engine is None:
            raise RuntimeError("the job engine is not connected")
        tags = _texts(properties["tags"])
        # A job without its runs would neither run nor be refused the next time.
        with self._store.transaction():
            self._store.put(job_id, {"properties": properties})
            self.engine.submit(scope, name, properties["experimentName"], properties["displayName"], tags, plan)
        return self.get(scope, name), True

    def _update(self, existing: Resource, properties: Json) -> Json:
        for key, value in properties.items():
            if key in _MUTABLE or _plain(value) == _plain(existing.properties.get(key)):
                continue
            raise UserError(
                f"A job with the name '{existing.name}' already exists, and its '{key}' cannot be changed. To create a "
                "new job, use another name. Of an existing job, only description, displayName, tags and isArchived "
                "can be changed."
            )
        changed = {key: properties[key] for key in _MUTABLE if properties.get(key) is not None}
        if "properties" in changed:
            changed["properties"] = {**changed["properties"], **(existing.properties.get("properties") or {})}
        return self.annotate(WorkspaceScope.of(existing.id), existing.name, changed)

    def annotate(self, scope: WorkspaceScope, name: str, changed: Json) -> Json:
        """Change displayName, description, tags, properties or isArchived, in the job and in its run."""
        resource = self._store.get(scope.child(f"jobs/{name}"))
        properties = {**resource.properties, **changed}
        self._store.put(resource.id, {**resource.body, "properties": properties})
        self._runs.annotate(
            name,
            display_name=properties["displayName"],
            description=properties.get("description"),
            tags=_texts(properties.get("tags")),
            hidden=bool(properties.get("isArchived")),
        )
        return self.get(scope, name)

    def _plan(self, scope: WorkspaceScope, properties: Json) -> Plan:
        kind = properties.get("jobType")
        if kind != "Pipeline":
            raise NotImplementedByLocalCloudError(f"The local cloud runs pipeline jobs, not jobs of type '{kind}'.")

        def component(reference: str) -> Json:
            match = re.search(r"/components/([^/]+)/versions/([^/]+)$", reference)
            if match is None:
                raise UserError(f"The component '{reference}' is not named by its id.")
            try:
                found = self._assets.get_version(scope, KINDS["components"], match.group(1), match.group(2))
            except NotFoundError as error:
                raise UserError(f"The component '{reference}' does not exist.") from error
            spec: Json = found.properties["componentSpec"]
            return spec

        return plan_pipeline(properties, component)

    def replan(self, scope: WorkspaceScope, name: str) -> Plan:
        """The plan of a stored job. Raises CloudError when it can no longer be made."""
        return self._plan(scope, self._store.get(scope.child(f"jobs/{name}")).properties)

    def get(self, scope: WorkspaceScope, name: str) -> Json:
        """A job's document; a pipeline's child is answered without properties, as Azure ML does.

        Raises NotFoundError.
        """
        resource = self._store.find(scope.child(f"jobs/{name}"))
        if resource is not None:
            return self._document(resource)
        run = self._runs.find(name)
        if run is None or run.workspace.lower() != scope.id.lower():
            raise NotFoundError(f"The job '{name}' was not found in workspace '{scope.workspace}'.", code="UserError")
        return {"id": scope.child(f"jobs/{name}"), "name": name, "type": "jobs", "properties": None}

    def _document(self, resource: Resource) -> Json:
        run = self._runs.get(resource.name)
        document = resource.document()
        properties = dict(resource.properties)
        properties["status"] = run.status
        properties["properties"] = {**run.properties, **(properties.get("properties") or {})}
        properties["tags"] = {**run.tags, **(properties.get("tags") or {})}
        properties["services"] = {
            "Tracking": {"jobServiceType": "Tracking", "endpoint": f"azureml:{self._config.arm_url}{resource.id}"},
            "Studio": {"jobServiceType": "Studio", "endpoint": f"{self._config.arm_url}/admin/runs/{resource.name}"},
        }
        properties["outputs"] = {
            name: {**(value or {}), "uri": (value or {}).get("uri") or run.outputs.get(name, {}).get("uri")}
            for name, value in (properties.get("outputs") or {}).items()
        }
        document["properties"] = properties
        return document

    def list(self, scope: WorkspaceScope, query: Mapping[str, str]) -> tuple[list[Json], Page]:
        """The newest first, unless `$orderBy` says otherwise."""
        jobs = self._store.children(scope.child("jobs"))
        if query.get("jobType"):
            jobs = [job for job in jobs if job.properties.get("jobType") == query["jobType"]]
        page = paginate(by_tags(by_view(jobs, query), query), query)
        return [self._document(job) for job in page.items], page

    def cancel(self, scope: WorkspaceScope, name: str) -> Run:
        """Ask a job to stop. Raises NotFoundError, UserError for a child run, BadRequestError for an ended job."""
        if self.get(scope, name)["properties"] is None:
            raise UserError(f"'{name}' is a child run; cancel its pipeline job.")
        run = self._runs.get(name)
        if run.is_terminal:
            raise BadRequestError(f"The job '{name}' has ended with status {run.status}; it cannot be canceled.")
        if self.engine is None:
            raise RuntimeError("the job engine is not connected")
        self.engine.cancel(name)
        return self._runs.get(name)

    def delete(self, scope: WorkspaceScope, name: str) -> bool:
        """Raises BadRequestError for a job that has not ended."""
        run = self._runs.find(name)
        if run is not None and not run.is_terminal:
            raise BadRequestError(f"The job '{name}' is {run.status}; cancel it before it is deleted.")
        return self._store.delete(scope.child(f"jobs/{name}"))


def _plain(value: Any) -> Any:
    """Without nulls and read-only decoration, so that what the SDK read and sends back is the same."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _texts(values: dict[str, Any] | None) -> dict[str, str]:
    return {str(key): str(value) for key, value in (values or {}).items()}
