"""Workspaces, their deployment, and datastores."""

from __future__ import annotations

import functools

from local.cloud.resources import Json, Resource, ResourceStore
from local.cloud.rules.datastores import Datastores
from local.cloud.rules.deployments import WORKSPACE_TYPE, Deployments
from local.cloud.rules.ids import ML_PROVIDER
from local.cloud.rules.listing import paginate
from local.cloud.rules.providers import Providers
from local.cloud.rules.workspaces import Workspaces
from local.cloud.wire.http import Reply, Request, Route
from local.cloud.wire.lists import list_reply
from local.cloud.wire.operations import Operations
from local.config import StackConfig

GROUP = "/subscriptions/{subscription}/resourceGroups/{group}"
WORKSPACES = f"{GROUP}/providers/{ML_PROVIDER}/workspaces"
WORKSPACE = f"{WORKSPACES}/{{workspace}}"


def workspace_routes(
    store: ResourceStore,
    workspaces: Workspaces,
    deployments: Deployments,
    datastores: Datastores,
    providers: Providers,
    operations: Operations,
    config: StackConfig,
) -> list[Route]:
    """Workspaces are made and deleted after the answer; clients poll the operation."""
    base = config.arm_url

    async def get_group(request: Request) -> Reply:
        body: Json = {"id": request.group.id, "name": request.params["group"], "location": config.location}
        return Reply({**body, "properties": {"provisioningState": "Succeeded"}})

    async def deploy(request: Request) -> Reply:
        providers.require(request.params["subscription"], ML_PROVIDER)
        deployment = deployments.begin(request.group, request.params["deployment"], request.document)
        headers = operations.start(
            request,
            "Microsoft.Resources",
            deployment.id,
            functools.partial(deployments.carry_out, deployment.id),
            functools.partial(deployments.fail, deployment.id),
        )
        return Reply(_deployment(deployment), 201, headers)

    async def get_deployment(request: Request) -> Reply:
        return Reply(_deployment(store.get(_deployment_id(request))))

    async def deployment_operations(request: Request) -> Reply:
        return list_reply(request, base, store.get(_deployment_id(request)).body["operations"])

    async def put_workspace(request: Request) -> Reply:
        providers.require(request.params["subscription"], ML_PROVIDER)
        scope, body = request.workspace, request.document
        if store.find(scope.id) is not None:
            return Reply(workspaces.current(await workspaces.create(scope, body)))
        workspaces.check(scope, body)
        work = functools.partial(workspaces.create, scope, body)
        headers = operations.start(request, ML_PROVIDER, scope.id, work)
        properties = {**(body.get("properties") or {}), "provisioningState": "Creating"}
        answer = {**body, "id": scope.id, "name": scope.workspace, "type": WORKSPACE_TYPE, "properties": properties}
        return Reply(answer, 202, headers)

    async def patch_workspace(request: Request) -> Reply:
        return Reply(workspaces.current(workspaces.update(request.workspace, request.document)))

    async def get_workspace(request: Request) -> Reply:
        return Reply(workspaces.current(store.get(request.workspace.id)))

    async def delete_workspace(request: Request) -> Reply:
        scope = request.workspace
        if not workspaces.exists(scope):
            return Reply(status=204)
        permanently = request.query.get("forceToPurge", "").lower() == "true"

        async def delete() -> None:
            workspaces.delete(scope, permanently=permanently)

        return Reply(status=202, headers=operations.start(request, ML_PROVIDER, scope.id, delete))

    async def list_in_group(request: Request) -> Reply:
        found = store.children(request.group.provider(WORKSPACE_TYPE))
        return list_reply(request, base, [workspaces.current(resource) for resource in found])

    async def list_in_subscription(request: Request) -> Reply:
        below = store.below(f"/subscriptions/{request.params['subscription']}")
        found = [resource for resource in below if resource.type.lower() == WORKSPACE_TYPE.lower()]
        return list_reply(request, base, [workspaces.current(resource) for resource in found])

    async def list_keys(request: Request) -> Reply:
        workspace = store.get(request.workspace.id)
        storage = workspace.properties.get("storageAccount")
        return Reply({"userStorageKey": config.account_key, "userStorageResourceId": storage})

    async def put_datastore(request: Request) -> Reply:
        is_new = store.find(request.workspace.child(f"datastores/{request.params['datastore']}")) is None
        resource = datastores.put(request.workspace, request.params["datastore"], request.document)
        return Reply(resource.document(), 201 if is_new else 200)

    async def get_datastore(request: Request) -> Reply:
        return Reply(store.get(request.workspace.child(f"datastores/{request.params['datastore']}")).document())

    async def list_datastores(request: Request) -> Reply:
        found = store.children(request.workspace.child("datastores"))
        if request.query.get("isDefault", "").lower() == "true":
            found = [resource for resource in found if resource.properties.get("isDefault")]
        page = paginate(found, request.query, "createdtime asc")
        return list_reply(request, base, [resource.document() for resource in page.items], page)

    async def delete_datastore(request: Request) -> Reply:
        deleted = store.delete(request.workspace.child(f"datastores/{request.params['datastore']}"))
        return Reply(status=200 if deleted else 204)

    async def datastore_secrets(request: Request) -> Reply:
        return Reply(datastores.secrets(request.workspace, request.params["datastore"]))

    deployment = f"{GROUP}/providers/Microsoft.Resources/deployments/{{deployment}}"
    datastore = f"{WORKSPACE}/datastores/{{datastore}}"
    ml = "azure-ai-ml"
    return [
        Route("GET", GROUP, get_group, "resource group (exists always)", ml),
        Route("PUT", deployment, deploy, "deploy azure-ai-ml's workspace template", f"{ml} workspaces.begin_create"),
        Route("GET", deployment, get_deployment, "deployment", f"{ml} workspaces.begin_create"),
        Route(
            "GET",
            f"{GROUP}/deployments/{{deployment}}/operations",
            deployment_operations,
            "a deployment's operations",
            f"{ml} workspaces.begin_create",
        ),
        Route("GET", WORKSPACES, list_in_group, "workspaces of a group", f"{ml} workspaces.list"),
        Route(
            "GET",
            f"/subscriptions/{{subscription}}/providers/{ML_PROVIDER}/workspaces",
            list_in_subscription,
            "workspaces of a subscription",
            f"{ml} workspaces.list",
        ),
        Route("PUT", WORKSPACE, put_workspace, "create a workspace", "Bicep, REST"),
        Route("PATCH", WORKSPACE, patch_workspace, "update a workspace", f"{ml} workspaces.begin_update"),
        Route("GET", WORKSPACE, get_workspace, "workspace", f"{ml} workspaces.get"),
        Route("DELETE", WORKSPACE, delete_workspace, "delete a workspace", f"{ml} workspaces.begin_delete"),
        Route("POST", f"{WORKSPACE}/listKeys", list_keys, "storage key of a workspace", f"{ml} workspaces.get_keys"),
        Route("PUT", datastore, put_datastore, "create or update a datastore", f"{ml} datastores.create_or_update"),
        Route("GET", datastore, get_datastore, "datastore", f"{ml} datastores.get"),
        Route("GET", f"{WORKSPACE}/datastores", list_datastores, "datastores", f"{ml} datastores.list, get_default"),
        Route("DELETE", datastore, delete_datastore, "delete a datastore", f"{ml} datastores.delete"),
        Route("POST", f"{datastore}/listSecrets", datastore_secrets, "account key, if kept", f"{ml} datastores.get"),
    ]


def _deployment_id(request: Request) -> str:
    return request.group.provider(f"Microsoft.Resources/deployments/{request.params['deployment']}")


def _deployment(resource: Resource) -> Json:
    document = resource.document()
    del document["operations"]
    return document
