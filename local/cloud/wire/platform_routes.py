"""The function app and the storage account as resources; cloud metadata, discovery and managed identity."""

from __future__ import annotations

from local.cloud.errors import NotFoundError
from local.cloud.eventgrid.destinations import Destinations
from local.cloud.host_admin import HostAdmin
from local.cloud.identity import IdentityProvider
from local.cloud.wire.http import Json, Reply, Request, Route
from local.cloud.wire.workspace_routes import GROUP
from local.config import StackConfig

SITE = f"{GROUP}/providers/Microsoft.Web/sites/{{site}}"
ACCOUNT = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/{{account}}"


def platform_routes(config: StackConfig, destinations: Destinations, host: HostAdmin) -> list[Route]:
    """Resources that Bicep makes in Azure, and that exist here from the start."""

    def site_id(request: Request) -> str:
        if request.params["site"].lower() != config.function_app_name.lower():
            raise NotFoundError(f"The function app '{request.params['site']}' was not found.")
        return request.group.provider(f"Microsoft.Web/sites/{config.function_app_name}")

    async def get_site(request: Request) -> Reply:
        host = f"127.0.0.1:{config.ports['functions']}"
        body: Json = {
            "id": site_id(request),
            "name": config.function_app_name,
            "type": "Microsoft.Web/sites",
            "kind": "functionapp,linux",
            "location": config.location,
            "properties": {"state": "Running", "defaultHostName": host, "hostNames": [host], "enabled": True},
        }
        return Reply(body)

    async def list_host_keys(request: Request) -> Reply:
        site_id(request)
        keys = destinations.host_keys()
        return Reply(
            {
                "masterKey": keys["master"],
                "functionKeys": {"default": keys["function"]},
                "systemKeys": keys["system"],
            }
        )

    async def get_function(request: Request) -> Reply:
        name = request.params["function"]
        body: Json = {
            "id": f"{site_id(request)}/functions/{name}",
            "name": f"{config.function_app_name}/{name}",
            "type": "Microsoft.Web/sites/functions",
            "properties": {"name": name, "isDisabled": False},
        }
        return Reply(body)

    async def list_function_keys(request: Request) -> Reply:
        site_id(request)
        return Reply(await host.keys(request.params["function"]))

    async def set_function_key(request: Request) -> Reply:
        name = f"{request.params['function']}/keys/{request.params['key']}"
        value = (request.document.get("properties") or {}).get("value")
        status, made = await host.set_key(request.params["function"], request.params["key"], value)
        body: Json = {
            "id": f"{site_id(request)}/functions/{name}",
            "name": f"{config.function_app_name}/{name}",
            "type": "Microsoft.Web/sites/functions/keys",
            "properties": made,
        }
        return Reply(body, status=status)

    async def get_account(request: Request) -> Reply:
        if request.params["account"].lower() != config.account_name.lower():
            raise NotFoundError(f"The storage account '{request.params['account']}' was not found.")
        endpoints = {service: f"{config.storage_url(service)}/" for service in ("blob", "queue", "table")}
        body: Json = {
            "id": request.group.provider(f"Microsoft.Storage/storageAccounts/{config.account_name}"),
            "name": config.account_name,
            "type": "Microsoft.Storage/storageAccounts",
            "kind": "StorageV2",
            "sku": {"name": "Standard_LRS", "tier": "Standard"},
            "location": config.location,
            "properties": {"provisioningState": "Succeeded", "primaryEndpoints": endpoints},
        }
        return Reply(body)

    keys = "Bicep, REST; before event subscriptions are made"
    function = f"{SITE}/functions/{{function}}"
    return [
        Route("GET", SITE, get_site, "the function app and its host name", "REST"),
        Route("POST", f"{SITE}/host/default/listKeys", list_host_keys, "keys of the Functions host", keys),
        Route("GET", function, get_function, "a function (exists always)", "REST"),
        Route("POST", f"{function}/listkeys", list_function_keys, "keys of one function", "infra/hooks/postdeploy.py"),
        Route("PUT", f"{function}/keys/{{key}}", set_function_key, "a key of a function", "infra/hooks/postdeploy.py"),
        Route("GET", ACCOUNT, get_account, "the storage account and its endpoints", "REST"),
    ]


def open_routes(config: StackConfig, identity: IdentityProvider) -> list[Route]:
    """What needs no token: metadata, discovery, and the identity endpoint, which has secrets of its own."""

    # azure-ai-ml makes a datastore's URL as `https://<account>.blob.<suffix>` (`constants/_common.py`), and no name
    # below 127.0.0.1 resolves everywhere. With this suffix what it puts in front becomes the URL's user name, which
    # clients do not send when no password stands beside it.
    storage_suffix = f"@127.0.0.1:{config.ports['blob']}/{config.account_name}"

    async def metadata(request: Request) -> Reply:
        del request
        # azure-ai-ml picks this cloud by itself when resourceManager is a prefix of the metadata URL.
        return Reply(
            {
                "name": "LabelLoopLocal",
                "portal": config.arm_url,
                "authentication": {"loginEndpoint": config.arm_url, "audiences": [config.arm_url]},
                "suffixes": {"storage": storage_suffix},
                "resourceManager": f"{config.arm_url}/",
            }
        )

    async def discovery(request: Request) -> Reply:
        del request
        return Reply(dict.fromkeys(("api", "history", "experimentation", "catalog", "studio"), config.arm_url))

    async def token(request: Request) -> Reply:
        resource, headers = request.query.get("resource"), request.headers
        if "secret" in headers:
            client = request.query.get("clientid") or request.query.get("client_id")
            return Reply(identity.token_for_compute(headers["secret"], resource, client))
        client = request.query.get("client_id")
        return Reply(identity.token_for_app_service(headers.get("x-identity-header"), resource, client))

    return [
        Route("GET", "/metadata/endpoints", metadata, "cloud metadata", "azure-ai-ml, by ARM_CLOUD_METADATA_URL"),
        Route("GET", "/discovery", discovery, "data plane URLs of a workspace", "azure-ai-ml"),
        Route("GET", "/msi/token", token, "managed identity: App Service and Azure ML compute", "azure-identity"),
    ]
