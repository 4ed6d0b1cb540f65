"""Workspaces: what may be made, what is made with them, and what is left when they are deleted."""

from __future__ import annotations

import re
import time
from typing import Any, Protocol

from local.cloud.errors import BadRequestError, ConflictError
from local.cloud.resources import Json, Resource, ResourceStore
from local.cloud.rules.datastores import Datastores
from local.cloud.rules.identities import answered_identity
from local.cloud.rules.ids import ML_PROVIDER, GroupScope, WorkspaceScope
from local.cloud.rules.regions import region_name, require_region
from local.config import StackConfig

# azure-rest-api-specs, Microsoft.MachineLearningServices, parameter `workspaceName`.
_NAME = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9_-]{2,32}$")
# https://learn.microsoft.com/azure/machine-learning/concept-soft-delete
SOFT_DELETED_SECONDS = 14 * 24 * 3600


class Containers(Protocol):
    """Makes blob containers; existing ones stay."""

    async def ensure(self, names: list[str]) -> None: ...


class Workspaces:
    """Creates, changes and deletes workspaces with their datastores and containers."""

    def __init__(
        self, store: ResourceStore, datastores: Datastores, containers: Containers, config: StackConfig
    ) -> None:
        self._store = store
        self._datastores = datastores
        self._containers = containers
        self._config = config

    def check(self, scope: WorkspaceScope, body: Json) -> None:
        """Raises BadRequestError for a bad name, an unknown region, a storage account that does not exist, or a name
        that a soft-deleted workspace holds; ConflictError for a workspace that exists in another region.
        """
        if not _NAME.match(scope.workspace):
            raise BadRequestError(
                f"The workspace name '{scope.workspace}' is invalid. It must have 3 to 33 characters, which are "
                "letters, digits, hyphens and underscores, and start with a letter or a digit.",
                code="InvalidWorkspaceName",
            )
        region = require_region(self._location(body), f"{ML_PROVIDER}/workspaces")
        existing = self._store.find(scope.id)
        if existing is None:
            self._require_not_soft_deleted(scope)
        elif region_name(existing.body["location"]) != region.name:
            raise ConflictError(
                f"The resource '{scope.workspace}' already exists in location '{existing.body['location']}' in "
                f"resource group '{scope.group}'. A resource with the same name cannot be created in location "
                f"'{region.name}'. Please select a new resource name.",
                code="InvalidResourceLocation",
            )
        account = str((body.get("properties") or {}).get("storageAccount") or "").rsplit("/", 1)[-1]
        if account != self._config.account_name:
            raise BadRequestError(
                f"The storage account '{account}' does not exist; the local cloud has '{self._config.account_name}'.",
                code="ValidationError",
            )

    async def create(self, scope: WorkspaceScope, body: Json) -> Resource:
        """Create or replace a workspace; its datastores and containers exist when this returns. Raises as `check`."""
        self.check(scope, body)
        existing = self._store.find(scope.id)
        properties = dict(body.get("properties") or {})
        if existing is not None:
            # "The enableDataIsolation flag can only be set at the workspace creation phase and can't be updated."
            properties["enableDataIsolation"] = bool(existing.properties.get("enableDataIsolation"))
        isolated = bool(properties.get("enableDataIsolation"))
        await self._containers.ensure(self._datastores.default_containers(scope, isolated=isolated))
        properties.update(self._answered(scope))
        resource = self._store.put(
            scope.id,
            {
                "location": region_name(self._location(body)),
                "tags": body.get("tags") or {},
                "kind": body.get("kind") or "Default",
                "sku": body.get("sku") or {"name": "Basic", "tier": "Basic"},
                "identity": self._identity(scope, body.get("identity") or {}),
                "properties": properties,
            },
        )
        if existing is None:
            self._datastores.create_defaults(
                scope, isolated=isolated, with_key=properties.get("systemDatastoresAuthMode") == "accessKey"
            )
        return resource

    def update(self, scope: WorkspaceScope, patch: Json) -> Resource:
        """Merge a PATCH's tags, identity and properties. Raises NotFoundError."""
        resource = self._store.get(scope.id)
        body = dict(resource.body)
        if patch.get("tags") is not None:
            body["tags"] = patch["tags"]
        if patch.get("identity") is not None:
            body["identity"] = self._identity(scope, {**body["identity"], **patch["identity"]})
        changed = {name: value for name, value in (patch.get("properties") or {}).items() if value is not None}
        changed.pop("enableDataIsolation", None)
        body["properties"] = {**resource.properties, **changed, **self._answered(scope)}
        return self._store.put(scope.id, body)

    def delete(self, scope: WorkspaceScope, *, permanently: bool) -> None:
        """Delete a workspace with all that is in it. Unless permanently, its name is held for two weeks."""
        existed = self._store.delete(scope.id)
        if permanently:
            self._store.delete(_soft_deleted_id(scope))
        elif existed:
            self._store.put(_soft_deleted_id(scope), {"properties": {"deleted": time.time()}})

    def exists(self, scope: WorkspaceScope) -> bool:
        """Whether there is a workspace, or one that is soft-deleted."""
        return any(self._store.find(each) is not None for each in (scope.id, _soft_deleted_id(scope)))

    def current(self, resource: Resource) -> Json:
        """A workspace's document with this start's URLs."""
        document = resource.document()
        document["properties"] = {**resource.properties, **self._answered(WorkspaceScope.of(resource.id))}
        return document

    def _location(self, body: Json) -> str:
        return str(body.get("location") or self._config.location)

    def _require_not_soft_deleted(self, scope: WorkspaceScope) -> None:
        held = self._store.find(_soft_deleted_id(scope))
        if held is not None and time.time() < held.properties["deleted"] + SOFT_DELETED_SECONDS:
            raise BadRequestError(
                "Soft-deleted workspace exists. Please purge or recover it. https://aka.ms/wsoftdelete"
            )

    def _identity(self, scope: WorkspaceScope, given: Json) -> Json:
        kind = given.get("type") or "SystemAssigned"
        answered = answered_identity({**given, "type": kind}, scope.id, self._config.tenant_id)
        if "principalId" in answered:
            answered["principalId"] = scope.guid
        return answered

    def _answered(self, scope: WorkspaceScope) -> dict[str, Any]:
        """The properties that the service sets; ports may differ from one start of the stack to the next."""
        return {
            "provisioningState": "Succeeded",
            "workspaceId": scope.guid,
            "discoveryUrl": f"{self._config.arm_url}/discovery",
            "mlFlowTrackingUri": f"azureml:{self._config.arm_url}/mlflow/v1.0{scope.id}",
        }


def _soft_deleted_id(scope: WorkspaceScope) -> str:
    group = GroupScope(scope.subscription, scope.group)
    return group.provider(f"{ML_PROVIDER}/softDeletedWorkspaces/{scope.workspace}")
