"""AmlCompute clusters. What changes them goes on after its answer."""

from __future__ import annotations

from local.cloud.resources import Resource, ResourceStore
from local.cloud.rules.computes import Computes
from local.cloud.rules.ids import ML_PROVIDER
from local.cloud.wire.http import Reply, Request, Route
from local.cloud.wire.lists import list_reply
from local.cloud.wire.operations import Operations
from local.cloud.wire.workspace_routes import WORKSPACE
from local.config import StackConfig


def compute_routes(
    store: ResourceStore, computes: Computes, operations: Operations, config: StackConfig
) -> list[Route]:
    def compute_id(request: Request) -> str:
        return request.workspace.child(f"computes/{request.params['compute']}")

    def followed(request: Request, compute: Resource, status: int) -> Reply:
        async def settle() -> None:
            computes.settle(compute.id)

        headers = operations.start(
            request, ML_PROVIDER, compute.id, settle, lambda error: computes.settle(compute.id, error)
        )
        return Reply(compute.document(), status, headers)

    async def put(request: Request) -> Reply:
        is_new = store.find(compute_id(request)) is None
        compute = computes.put(request.workspace, request.params["compute"], request.document)
        return followed(request, compute, 201 if is_new else 200)

    async def patch(request: Request) -> Reply:
        return followed(request, computes.patch(request.workspace, request.params["compute"], request.document), 200)

    async def get(request: Request) -> Reply:
        return Reply(store.get(compute_id(request)).document())

    async def list_all(request: Request) -> Reply:
        found = store.children(f"{store.get(request.workspace.id).id}/computes")
        return list_reply(request, config.arm_url, [compute.document() for compute in found])

    async def delete(request: Request) -> Reply:
        compute = computes.begin_delete(request.workspace, request.params["compute"])
        if compute is None:
            return Reply(status=204)
        return Reply(None, 202, followed(request, compute, 202).headers)

    async def list_nodes(request: Request) -> Reply:
        store.get(compute_id(request))
        return Reply({"nodes": []})

    compute = f"{WORKSPACE}/computes/{{compute}}"
    ml, mgmt = "azure-ai-ml", "azure-mgmt-machinelearningservices"
    return [
        Route("PUT", compute, put, "create or update AmlCompute", f"{ml} compute.begin_create_or_update"),
        Route("PATCH", compute, patch, "scale settings of AmlCompute", f"{mgmt} begin_update"),
        Route("GET", compute, get, "cluster", f"{ml} compute.get"),
        Route("GET", f"{WORKSPACE}/computes", list_all, "clusters", f"{ml} compute.list"),
        Route("DELETE", compute, delete, "delete a cluster", f"{ml} compute.begin_delete"),
        Route("POST", f"{compute}/listNodes", list_nodes, "nodes (always none)", f"{ml} compute.list_nodes"),
    ]
