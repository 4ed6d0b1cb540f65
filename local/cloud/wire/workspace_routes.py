"""Workspaces, their deployment, clusters, sizes and quotas, datastores."""

from __future__ import annotations

from local.cloud.resources import Json, Resource, ResourceStore
from local.cloud.rules import virtual_machines
from local.cloud.rules.computes import Computes
from local.cloud.rules.datastores import Datastores
from local.cloud.rules.ids import ML_PROVIDER
from local.cloud.rules.listing import paginate
from local.cloud.rules.workspaces import Workspaces
from local.cloud.wire.http import Reply, Request, Route
from local.cloud.wire.lists import list_reply
from local.config import StackConfig

GROUP = "/subscriptions/{subscription}/resourceGroups/{group}"
WORKSPACES = f"{GROUP}/providers/{ML_PROVIDER}/workspaces"
WORKSPACE = f"{WORKSPACES}/{{workspace}}"
_LOCATION = f"/subscriptions/{{subscription}}/providers/{ML_PROVIDER}/locations/{{location}}"


def workspace_routes(
    store: ResourceStore, workspaces: Workspaces, computes: Computes, datastores: Datastores, config: StackConfig
) -> list[Route]:
    """The routes for everything that provisioning makes in Azure ML."""
    base = config.arm_url

    async def get_group(request: Request) -> Reply:
        body: Json = {"id": request.group.id, "name": request.params["group"], "location": config.location}
        return Reply({**body, "properties": {"provisioningState": "Succeeded"}})

    async def deploy(request: Request) -> Reply:
        resource = await workspaces.deploy(request.group, request.params["deployment"], request.document)
        return Reply(_deployment(resource), 201)

    async def get_deployment(request: Request) -> Reply:
        return Reply(_deployment(store.get(_deployment_id(request))))

    async def deployment_operations(request: Request) -> Reply:
        return list_reply(request, base, store.get(_deployment_id(request)).body["operations"])

    async def put_workspace(request: Request) -> Reply:
        resource = await workspaces.create(request.workspace, request.document)
        return Reply(workspaces.current(resource), 201)

    async def patch_workspace(request: Request) -> Reply:
        return Reply(workspaces.current(workspaces.update(request.workspace, request.document)))

    async def get_workspace(request: Request) -> Reply:
        return Reply(workspaces.current(store.get(request.workspace.id)))

    async def delete_workspace(request: Request) -> Reply:
        return Reply(status=200 if store.delete(request.workspace.id) else 204)

    async def list_in_group(request: Request) -> Reply:
        found = store.children(request.group.provider(f"{ML_PROVIDER}/workspaces"))
        return list_reply(request, base, [workspaces.current(resource) for resource in found])

    async def list_in_subscription(request: Request) -> Reply:
        wanted = f"{ML_PROVIDER}/workspaces".lower()
        below = store.below(f"/subscriptions/{request.params['subscription']}")
        found = [resource for resource in below if resource.type.lower() == wanted]
        return list_reply(request, base, [workspaces.current(resource) for resource in found])

    async def list_keys(request: Request) -> Reply:
        workspace = store.get(request.workspace.id)
        storage = workspace.properties.get("storageAccount")
        return Reply({"userStorageKey": config.account_key, "userStorageResourceId": storage})

    async def put_compute(request: Request) -> Reply:
        is_new = store.find(request.workspace.child(f"computes/{request.params['compute']}")) is None
        resource = computes.put(request.workspace, request.params["compute"], request.document)
        return Reply(_compute(resource), 201 if is_new else 200)

    async def patch_compute(request: Request) -> Reply:
        return Reply(_compute(computes.patch(request.workspace, request.params["compute"], request.document)))

    async def get_compute(request: Request) -> Reply:
        return Reply(_compute(store.get(request.workspace.child(f"computes/{request.params['compute']}"))))

    async def list_computes(request: Request) -> Reply:
        return list_reply(request, base, [_compute(r) for r in store.children(request.workspace.child("computes"))])

    async def delete_compute(request: Request) -> Reply:
        deleted = store.delete(request.workspace.child(f"computes/{request.params['compute']}"))
        return Reply(status=200 if deleted else 204)

    async def list_nodes(request: Request) -> Reply:
        store.get(request.workspace.child(f"computes/{request.params['compute']}"))
        return Reply({"nodes": []})

    async def list_sizes(request: Request) -> Reply:
        del request
        return Reply({"value": [size.document() for size in virtual_machines.SIZES]})

    async def list_usages(request: Request) -> Reply:
        subscription, location = request.params["subscription"], request.params["location"]
        wanted = f"{ML_PROVIDER}/workspaces/computes".lower()
        clusters = [r.properties for r in store.below(f"/subscriptions/{subscription}") if r.type.lower() == wanted]
        return list_reply(request, base, virtual_machines.usages(subscription, location, clusters))

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
    compute, datastore = f"{WORKSPACE}/computes/{{compute}}", f"{WORKSPACE}/datastores/{{datastore}}"
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
        Route("PUT", compute, put_compute, "create or update AmlCompute", f"{ml} compute.begin_create_or_update"),
        Route("PATCH", compute, patch_compute, "scale settings of AmlCompute", "REST"),
        Route("GET", compute, get_compute, "cluster", f"{ml} compute.get"),
        Route("GET", f"{WORKSPACE}/computes", list_computes, "clusters", f"{ml} compute.list"),
        Route("DELETE", compute, delete_compute, "delete a cluster", f"{ml} compute.begin_delete"),
        Route("POST", f"{compute}/listNodes", list_nodes, "nodes (always none)", f"{ml} compute.list_nodes"),
        Route("GET", f"{_LOCATION}/vmSizes", list_sizes, "VM sizes of the region", f"{ml} compute.list_sizes"),
        Route("GET", f"{_LOCATION}/usages", list_usages, "vCPU quota and use", f"{ml} compute.list_usage"),
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


def _compute(resource: Resource) -> Json:
    return resource.document()
