"""Workspaces: made by the ARM template deployment that the SDK sends, or by a plain PUT."""

from __future__ import annotations

import time
import uuid
from typing import Any, Protocol

from local.cloud.clock import duration_text, utc_text
from local.cloud.errors import BadRequestError
from local.cloud.resources import Json, Resource, ResourceStore
from local.cloud.rules.datastores import Datastores
from local.cloud.rules.ids import GroupScope, WorkspaceScope
from local.config import StackConfig


class Containers(Protocol):
    """Makes blob containers; existing ones stay."""

    async def ensure(self, names: list[str]) -> None: ...


class Workspaces:
    """Creates workspaces with their datastores and containers."""

    def __init__(
        self, store: ResourceStore, datastores: Datastores, containers: Containers, config: StackConfig
    ) -> None:
        self._store = store
        self._datastores = datastores
        self._containers = containers
        self._config = config

    async def deploy(self, scope: GroupScope, deployment: str, body: Json) -> Resource:
        """Carry out the one template that azure-ai-ml deploys: `workspace_base.json`.

        Raises BadRequestError for any other template, and for a workspace on a storage account that does not exist.
        """
        properties = body.get("properties") or {}
        parameters = {name: (value or {}).get("value") for name, value in (properties.get("parameters") or {}).items()}
        types = [resource.get("type") for resource in (properties.get("template") or {}).get("resources", [])]
        name = parameters.get("workspaceName")
        if "Microsoft.MachineLearningServices/workspaces" not in types or not name:
            raise BadRequestError(
                "The local cloud deploys only the workspace template of azure-ai-ml.", code="InvalidTemplateDeployment"
            )
        started = time.time()
        workspace = WorkspaceScope(scope.subscription, scope.group, name)
        await self.create(workspace, _body_from_parameters(scope, parameters))
        operation = {
            "operationId": uuid.uuid4().hex.upper()[:16],
            "properties": {
                "provisioningOperation": "Create",
                "provisioningState": "Succeeded",
                "timestamp": utc_text(time.time()),
                "duration": duration_text(time.time() - started),
                "statusCode": "OK",
                "targetResource": {
                    "id": workspace.id,
                    "resourceType": "Microsoft.MachineLearningServices/workspaces",
                    "resourceName": name,
                },
            },
        }
        kept = {
            "provisioningState": "Succeeded",
            "mode": "Incremental",
            "timestamp": utc_text(time.time()),
            "duration": duration_text(time.time() - started),
            "correlationId": str(uuid.uuid4()),
            "parameters": properties.get("parameters"),
            "outputResources": [{"id": workspace.id}],
        }
        return self._store.put(
            scope.provider(f"Microsoft.Resources/deployments/{deployment}"),
            {"properties": kept, "operations": [operation]},
        )

    async def create(self, scope: WorkspaceScope, body: Json) -> Resource:
        """Create or replace a workspace; its datastores and containers exist when this returns."""
        properties = dict(body.get("properties") or {})
        account = str(properties.get("storageAccount") or "").rsplit("/", 1)[-1]
        if account != self._config.account_name:
            raise BadRequestError(
                f"The storage account '{account}' does not exist; the local cloud has '{self._config.account_name}'.",
                code="ValidationError",
            )
        await self._containers.ensure(self._datastores.default_containers(scope))
        properties.update(self._answered(scope))
        identity = dict(body.get("identity") or {"type": "SystemAssigned"})
        identity.update(principalId=scope.guid, tenantId=self._config.tenant_id)
        is_new = self._store.find(scope.id) is None
        resource = self._store.put(
            scope.id,
            {
                "location": body.get("location") or self._config.location,
                "tags": body.get("tags") or {},
                "kind": body.get("kind") or "Default",
                "sku": body.get("sku") or {"name": "Basic", "tier": "Basic"},
                "identity": identity,
                "properties": properties,
            },
        )
        if is_new:
            self._datastores.create_defaults(scope)
        return resource

    def update(self, scope: WorkspaceScope, patch: Json) -> Resource:
        """Merge a PATCH's tags, identity and properties. Raises NotFoundError."""
        resource = self._store.get(scope.id)
        body = dict(resource.body)
        if patch.get("tags") is not None:
            body["tags"] = patch["tags"]
        if patch.get("identity") is not None:
            body["identity"] = {**body["identity"], **patch["identity"]}
        changed = {name: value for name, value in (patch.get("properties") or {}).items() if value is not None}
        body["properties"] = {**resource.properties, **changed, **self._answered(scope)}
        return self._store.put(scope.id, body)

    def _answered(self, scope: WorkspaceScope) -> dict[str, Any]:
        """The properties that the service sets; ports may differ from one start of the stack to the next."""
        return {
            "provisioningState": "Succeeded",
            "workspaceId": scope.guid,
            "discoveryUrl": f"{self._config.arm_url}/discovery",
            "mlFlowTrackingUri": f"azureml:{self._config.arm_url}/mlflow/v1.0{scope.id}",
        }

    def current(self, resource: Resource) -> Json:
        """A workspace's document with this start's URLs."""
        document = resource.document()
        document["properties"] = {**resource.properties, **self._answered(WorkspaceScope.of(resource.id))}
        return document


def _body_from_parameters(scope: GroupScope, parameters: dict[str, Any]) -> Json:
    """What the template would PUT, from its parameters (azure-ai-ml, `arm_templates/workspace_base.json`)."""

    def resource(kind: str, name: str, prefix: str) -> str:
        group = parameters.get(f"{prefix}ResourceGroupName") or scope.group
        subscription = parameters.get(f"{prefix}SubscriptionId") or scope.subscription
        return GroupScope(subscription, group).provider(f"{kind}/{name}")

    return {
        "location": parameters.get("location"),
        "tags": parameters.get("tagValues") or {},
        "kind": str(parameters.get("kind") or "default").capitalize(),
        "identity": parameters.get("identity"),
        "properties": {
            "friendlyName": parameters.get("friendlyName"),
            "description": parameters.get("description"),
            "storageAccount": resource(
                "Microsoft.Storage/storageAccounts", str(parameters.get("storageAccountName")), "storageAccount"
            ),
            "keyVault": resource("Microsoft.KeyVault/vaults", str(parameters.get("keyVaultName")), "keyVault"),
            "applicationInsights": resource(
                "Microsoft.Insights/components",
                str(parameters.get("applicationInsightsName")),
                "applicationInsights",
            ),
            "publicNetworkAccess": parameters.get("publicNetworkAccess") or "Enabled",
            "hbiWorkspace": str(parameters.get("confidential_data")).lower() == "true",
        },
    }
