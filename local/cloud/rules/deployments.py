"""ARM template deployments, as far as azure-ai-ml makes them: `arm_templates/workspace_base.json`."""

from __future__ import annotations

import time
import uuid
from typing import Any

from local.cloud.clock import duration_text, utc_text
from local.cloud.errors import BadRequestError, CloudError, ConflictError
from local.cloud.resources import Json, Resource, ResourceStore
from local.cloud.rules.ids import ML_PROVIDER, GroupScope, WorkspaceScope
from local.cloud.rules.workspaces import Workspaces

WORKSPACE_TYPE = f"{ML_PROVIDER}/workspaces"
DEPLOYMENT_TYPE = "Microsoft.Resources/deployments"


class Deployments:
    """Deploys workspaces. A deployment is Running until `carry_out` or `fail` ends it."""

    def __init__(self, store: ResourceStore, workspaces: Workspaces) -> None:
        self._store = store
        self._workspaces = workspaces
        for deployment in store.below("/subscriptions"):
            if deployment.type == DEPLOYMENT_TYPE and deployment.properties["provisioningState"] == "Running":
                self.fail(deployment.id, CloudError("The local cloud was restarted.", code="OperationPreempted"))

    def begin(self, scope: GroupScope, name: str, body: Json) -> Resource:
        """Accept a deployment. Raises BadRequestError for any other template and for what the workspace's own rules
        refuse at once, ConflictError while a deployment of that name is running.
        """
        properties = body.get("properties") or {}
        types = [resource.get("type") for resource in (properties.get("template") or {}).get("resources", [])]
        parameters = _values(properties)
        if WORKSPACE_TYPE not in types or not parameters.get("workspaceName"):
            raise BadRequestError(
                "The local cloud deploys only the workspace template of azure-ai-ml.", code="InvalidTemplateDeployment"
            )
        deployment_id = scope.provider(f"{DEPLOYMENT_TYPE}/{name}")
        existing = self._store.find(deployment_id)
        if existing is not None and existing.properties["provisioningState"] == "Running":
            raise ConflictError(
                f"Unable to edit or replace deployment '{name}': previous deployment from "
                f"'{existing.properties['timestamp']}' is still active.",
                code="DeploymentActive",
            )
        workspace = WorkspaceScope(scope.subscription, scope.group, str(parameters["workspaceName"]))
        self._workspaces.check(workspace, workspace_body(scope, parameters))
        kept = {
            "provisioningState": "Running",
            "mode": "Incremental",
            "timestamp": utc_text(time.time()),
            "duration": duration_text(0),
            "correlationId": str(uuid.uuid4()),
            "parameters": properties.get("parameters"),
        }
        return self._store.put(deployment_id, {"properties": kept, "operations": [_operation(workspace, "Running")]})

    async def carry_out(self, deployment_id: str) -> None:
        """Make what was accepted. Raises CloudError as `Workspaces.create` does."""
        deployment = self._store.get(deployment_id)
        scope = _group_of(deployment_id)
        parameters = _values(deployment.properties)
        workspace = WorkspaceScope(scope.subscription, scope.group, str(parameters["workspaceName"]))
        await self._workspaces.create(workspace, workspace_body(scope, parameters))
        self._end(deployment, "Succeeded", outputResources=[{"id": workspace.id}])

    def fail(self, deployment_id: str, cause: CloudError) -> CloudError:
        """End a deployment that went wrong; answers the error that it then shows, in ARM's words:
        https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/overview
        """
        error = ConflictError(
            "At least one resource deployment operation failed. Please list deployment operations for details. "
            "Please see https://aka.ms/arm-deployment-operations for usage details.",
            code="DeploymentFailed",
            details=[cause],
        )
        self._end(self._store.get(deployment_id), "Failed", cause, error=error.document())
        return error

    def _end(self, deployment: Resource, state: str, cause: CloudError | None = None, **more: Any) -> None:
        parameters, scope = _values(deployment.properties), _group_of(deployment.id)
        workspace = WorkspaceScope(scope.subscription, scope.group, str(parameters["workspaceName"]))
        took = duration_text(time.time() - deployment.modified)
        kept = {**deployment.properties, "provisioningState": state, "duration": took, **more}
        operations = [_operation(workspace, state, took, cause)]
        self._store.put(deployment.id, {"properties": kept, "operations": operations})


def _operation(workspace: WorkspaceScope, state: str, took: str = "PT0S", cause: CloudError | None = None) -> Json:
    properties: Json = {
        "provisioningOperation": "Create",
        "provisioningState": state,
        "timestamp": utc_text(time.time()),
        "duration": took,
        "statusCode": {"Running": "Accepted", "Succeeded": "OK"}.get(state, "Conflict"),
        "targetResource": {"id": workspace.id, "resourceType": WORKSPACE_TYPE, "resourceName": workspace.workspace},
    }
    if cause is not None:
        properties["statusMessage"] = {"error": cause.document()}
    return {"operationId": uuid.uuid4().hex.upper()[:16], "properties": properties}


def _group_of(resource_id: str) -> GroupScope:
    parts = resource_id.split("/")
    return GroupScope(parts[2], parts[4])


def _values(properties: Json) -> dict[str, Any]:
    return {name: (value or {}).get("value") for name, value in (properties.get("parameters") or {}).items()}


def workspace_body(scope: GroupScope, parameters: dict[str, Any]) -> Json:
    """What the template would PUT, from its parameters."""

    def resource(kind: str, prefix: str) -> str | None:
        if parameters.get(f"{prefix}Option") == "none":
            return None
        group = parameters.get(f"{prefix}ResourceGroupName") or scope.group
        subscription = parameters.get(f"{prefix}SubscriptionId") or scope.subscription
        return GroupScope(subscription, group).provider(f"{kind}/{parameters.get(f'{prefix}Name')}")

    registry = parameters.get("containerRegistryOption") in ("existing", "new")
    return {
        "location": parameters.get("location"),
        "tags": parameters.get("tagValues") or {},
        "kind": str(parameters.get("kind") or "default").capitalize(),
        "identity": parameters.get("identity"),
        "properties": {
            "friendlyName": parameters.get("friendlyName"),
            "description": parameters.get("description"),
            "storageAccount": resource("Microsoft.Storage/storageAccounts", "storageAccount"),
            "keyVault": resource("Microsoft.KeyVault/vaults", "keyVault"),
            "applicationInsights": resource("Microsoft.Insights/components", "applicationInsights"),
            "containerRegistry": (
                resource("Microsoft.ContainerRegistry/registries", "containerRegistry") if registry else None
            ),
            "publicNetworkAccess": parameters.get("publicNetworkAccess") or "Enabled",
            "hbiWorkspace": _is_true(parameters.get("confidential_data")),
            "enableDataIsolation": _is_true(parameters.get("enable_data_isolation")),
            "systemDatastoresAuthMode": parameters.get("systemDatastoresAuthMode") or None,
            "managedNetwork": parameters.get("managedNetwork"),
        },
    }


def _is_true(text: object) -> bool:
    return str(text).lower() == "true"
