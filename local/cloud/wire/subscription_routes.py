"""What belongs to a subscription: its regions, resource providers, and Azure ML's sizes and quotas in a region."""

from __future__ import annotations

from local.cloud.rules.computes import Computes
from local.cloud.rules.ids import ML_PROVIDER
from local.cloud.rules.providers import Providers
from local.cloud.rules.quotas import usages
from local.cloud.rules.regions import REGIONS, Region, require_listed
from local.cloud.rules.virtual_machines import sizes_in
from local.cloud.wire.http import Reply, Request, Route
from local.cloud.wire.lists import list_reply
from local.config import StackConfig

SUBSCRIPTION = "/subscriptions/{subscription}"
_LOCATION = f"{SUBSCRIPTION}/providers/{ML_PROVIDER}/locations/{{location}}"
# In this version the list of sizes has another name (azure-mgmt-machinelearningservices, VirtualMachineSizeListResult).
_OLD_API_VERSION = "2020-08-01"


def subscription_routes(computes: Computes, providers: Providers, config: StackConfig) -> list[Route]:
    base = config.arm_url

    def region_of(request: Request, what: str) -> Region:
        return require_listed(request.params["location"], f"locations/{what}", request.query["api-version"])

    async def list_locations(request: Request) -> Reply:
        return list_reply(request, base, [region.document(request.params["subscription"]) for region in REGIONS])

    async def get_provider(request: Request) -> Reply:
        return Reply(providers.document(request.params["subscription"], request.params["namespace"]))

    async def register(request: Request) -> Reply:
        return Reply(providers.register(request.params["subscription"], request.params["namespace"], "Registered"))

    async def unregister(request: Request) -> Reply:
        return Reply(providers.register(request.params["subscription"], request.params["namespace"], "Unregistered"))

    async def list_sizes(request: Request) -> Reply:
        sizes = [size.document() for size in sizes_in(region_of(request, "vmSizes"))]
        return Reply({"amlCompute" if request.query["api-version"] <= _OLD_API_VERSION else "value": sizes})

    async def list_usages(request: Request) -> Reply:
        subscription, region = request.params["subscription"], region_of(request, "usages")
        return list_reply(request, base, usages(subscription, region, computes.in_region(subscription, region)))

    provider = f"{SUBSCRIPTION}/providers/{{namespace}}"
    ml = "azure-ai-ml"
    return [
        Route("GET", f"{SUBSCRIPTION}/locations", list_locations, "regions", "REST"),
        Route("GET", provider, get_provider, "a resource provider and its registration", "REST"),
        Route("POST", f"{provider}/register", register, "register a resource provider", "az provider register"),
        Route("POST", f"{provider}/unregister", unregister, "unregister it", "az provider unregister"),
        Route("GET", f"{_LOCATION}/vmSizes", list_sizes, "VM sizes of a region", f"{ml} compute.list_sizes"),
        Route("GET", f"{_LOCATION}/usages", list_usages, "quotas and their use", f"{ml} compute.list_usage"),
    ]
