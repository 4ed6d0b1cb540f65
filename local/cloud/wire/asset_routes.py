"""Models, data, environments, components and code: containers, versions, pending uploads."""

from __future__ import annotations

import uuid

from local.cloud.errors import BadRequestError
from local.cloud.rules.assets import KINDS, AssetKind, Assets
from local.cloud.storage.blobs import Blobs
from local.cloud.wire.http import Reply, Request, Route
from local.cloud.wire.lists import list_reply
from local.cloud.wire.workspace_routes import WORKSPACE
from local.config import StackConfig


def asset_routes(assets: Assets, blobs: Blobs, config: StackConfig) -> list[Route]:
    """The same routes for each kind of asset."""
    return [route for kind in KINDS.values() for route in _routes(kind, assets, blobs, config)]


def _routes(kind: AssetKind, assets: Assets, blobs: Blobs, config: StackConfig) -> list[Route]:
    base = config.arm_url

    async def list_containers(request: Request) -> Reply:
        documents, page = assets.list_containers(request.workspace, kind, request.query)
        return list_reply(request, base, documents, page)

    async def get_container(request: Request) -> Reply:
        return Reply(assets.get_container(request.workspace, kind, request.params["name"]))

    async def put_container(request: Request) -> Reply:
        return Reply(assets.put_container(request.workspace, kind, request.params["name"], request.document))

    async def delete_container(request: Request) -> Reply:
        deleted = assets.delete_container(request.workspace, kind, request.params["name"])
        return Reply(status=200 if deleted else 204)

    async def list_versions(request: Request) -> Reply:
        page = assets.list_versions(request.workspace, kind, request.params["name"], request.query)
        return list_reply(request, base, [version.document() for version in page.items], page)

    async def get_version(request: Request) -> Reply:
        found = assets.get_version(request.workspace, kind, request.params["name"], request.params["version"])
        return Reply(found.document())

    async def put_version(request: Request) -> Reply:
        name, version = request.params["name"], request.params["version"]
        return Reply(assets.put_version(request.workspace, kind, name, version, request.document).document())

    async def delete_version(request: Request) -> Reply:
        deleted = assets.delete_version(request.workspace, kind, request.params["name"], request.params["version"])
        return Reply(status=200 if deleted else 204)

    async def start_upload(request: Request) -> Reply:
        wanted = (request.body or {}).get("pendingUploadType", "TemporaryBlobReference")
        if wanted != "TemporaryBlobReference":
            raise BadRequestError(f"The pendingUploadType '{wanted}' is not known to the local cloud.")
        container = f"{kind.segment}-{uuid.uuid5(uuid.NAMESPACE_URL, request.path.lower())}"
        await blobs.ensure([container])
        url = blobs.container_sas_url(container)
        return Reply(
            {
                "pendingUploadId": str(uuid.uuid4()),
                "pendingUploadType": wanted,
                "blobReferenceForConsumption": {
                    "blobUri": url.partition("?")[0],
                    "storageAccountArmId": storage_account_id(config),
                    "credential": {"credentialType": "SAS", "sasUri": url},
                },
            }
        )

    containers = f"{WORKSPACE}/{kind.segment}"
    container, versions = f"{containers}/{{name}}", f"{containers}/{{name}}/versions"
    version = f"{versions}/{{version}}"
    sdk = f"azure-ai-ml {'_code' if kind.segment == 'codes' else kind.segment}"
    return [
        Route("GET", containers, list_containers, f"names of {kind.segment}", f"{sdk}.list"),
        Route("GET", container, get_container, "latestVersion, nextVersion", f"{sdk}.create_or_update without version"),
        Route("PUT", container, put_container, "archive, restore, describe", f"{sdk}.archive, restore"),
        Route("DELETE", container, delete_container, "delete all versions", "REST"),
        Route("GET", versions, list_versions, "versions; $orderBy, $top, $skip, listViewType", f"{sdk}.list, get"),
        Route("GET", version, get_version, "version", f"{sdk}.get"),
        Route("PUT", version, put_version, "create a version, change what is mutable", f"{sdk}.create_or_update"),
        Route("DELETE", version, delete_version, "delete a version", "REST"),
        Route("POST", f"{version}/startPendingUpload", start_upload, "container SAS to upload to", f"{sdk} upload"),
    ]


def storage_account_id(config: StackConfig) -> str:
    """The resource id of the stack's storage account."""
    group = f"/subscriptions/{config.subscription_id}/resourceGroups/{config.resource_group}"
    return f"{group}/providers/Microsoft.Storage/storageAccounts/{config.account_name}"
