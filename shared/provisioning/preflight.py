"""What would make provisioning fail in the middle, asked before anything is made."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from shared.provisioning.access import allows, grant_command, permissions_at
from shared.provisioning.check import PASSED, REFUSED, UNCHECKED, Check
from shared.provisioning.machine_sizes import MachineSize, Quota, check_quota, check_size, find_size
from shared.provisioning.resource import CREATE, EXISTS, UNREADABLE, PlannedResource, same

if TYPE_CHECKING:
    from shared.clients import Clients

RESOURCES_API_VERSION, LOCATIONS_API_VERSION, ML_API_VERSION = "2021-04-01", "2022-12-01", "2024-10-01"
ML_PROVIDER = "Microsoft.MachineLearningServices"
NAMESPACES = (ML_PROVIDER, "Microsoft.EventGrid")
PERMISSIONS = "permissions"
# So many of the nearest regions are asked whether they offer a size that the wanted one does not.
NEAREST_REGIONS = 6

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Need:
    """Something that the app must be allowed to do, and the role that allows it."""

    action: str
    role: str
    scope: str


def preflight(clients: Clients, plan: Sequence[PlannedResource]) -> list[Check]:
    """All checks, for what the plan is going to do. Raises azure.core.exceptions.AzureError when Azure does not answer.

    What the app may not ask is unchecked: a managed identity often has no rights on the subscription.
    """
    checks: dict[str, Iterable[Check]] = {
        "resource group": _resource_group(clients),
        **{name: _provider(clients, name) for name in NAMESPACES},
        PERMISSIONS: _permissions(clients, {each.id: each.action for each in plan}),
        "vm size and quota": _machine(clients, plan),
    }
    return [check for name, found in checks.items() for check in _asked(name, found)]


def _asked(name: str, checks: Iterable[Check]) -> Iterator[Check]:
    from azure.core.exceptions import HttpResponseError

    try:
        yield from checks
    except HttpResponseError as error:
        if error.status_code not in {401, 403, 404}:
            raise
        yield Check(name, UNCHECKED, f"Azure does not let the app ask ({error.status_code}): {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _resource_group(clients: Clients) -> Iterator[Check]:
    from azure.core.exceptions import HttpResponseError

    settings = clients.settings
    try:
        clients.ask_resource_manager("GET", settings.resource_group_id, RESOURCES_API_VERSION)
    except HttpResponseError as error:
        if error.status_code != 404:
            raise
        yield Check(
            "resource group",
            REFUSED,
            f"there is no resource group {settings.azure_resource_group} in {settings.azure_subscription_id}",
            f"az group create --name {settings.azure_resource_group} --location {settings.azure_location}",
        )
    else:
        yield Check("resource group", PASSED, f"{settings.azure_resource_group} exists")


def _provider(clients: Clients, namespace: str) -> Iterator[Check]:
    """https://learn.microsoft.com/azure/azure-resource-manager/management/resource-providers-and-types"""
    path = f"/subscriptions/{clients.settings.azure_subscription_id}/providers/{namespace}"
    state = clients.ask_resource_manager("GET", path, RESOURCES_API_VERSION).get("registrationState")
    if state == "Registered":
        yield Check(namespace, PASSED, "the resource provider is registered")
    else:
        yield Check(
            namespace,
            REFUSED,
            f"the resource provider is {state or 'not registered'} in the subscription",
            f"az provider register --namespace {namespace} --wait",
        )


def _permissions(clients: Clients, actions: Mapping[str, str]) -> Iterator[Check]:
    if clients.settings.provisioning == "disabled":
        return  # It only looks, and needs no right to make anything.
    by_scope: dict[str, list[Need]] = {}
    for need in needed_permissions(clients, actions):
        by_scope.setdefault(need.scope, []).append(need)
    found = [check for scope, needs in by_scope.items() for check in _permissions_at(clients, scope, needs)]
    yield from found or [Check(PERMISSIONS, PASSED, "the app's identity may do all that it has to")]


def _permissions_at(clients: Clients, scope: str, needs: Sequence[Need]) -> Iterator[Check]:
    """What is lacking at one scope, role by role."""
    from azure.core.exceptions import HttpResponseError

    try:
        granted = permissions_at(clients, scope)
    except HttpResponseError as error:
        if error.status_code not in {403, 404}:
            raise
        if error.status_code == 404 or scope != clients.settings.resource_group_id:
            yield Check(PERMISSIONS, UNCHECKED, f"the app may not ask what it may do at {scope}: {_first_line(error)}")
            return
        granted = []  # At the resource group each role that the app has to have would let it ask.
    missing = [need for need in needs if not allows(granted, need.action)]
    for role in dict.fromkeys(need.role for need in missing):
        principal = clients.principal
        what = ", ".join(need.action for need in missing if need.role == role)
        yield Check(
            PERMISSIONS,
            REFUSED,
            f"the app's identity {principal.object_id} lacks the role {role} at {scope}: it may not {what}",
            grant_command(role, scope, principal.object_id, principal.kind),
        )


def needed_permissions(clients: Clients, actions: Mapping[str, str]) -> Iterator[Need]:
    """What the app must be allowed to do to carry out a plan (resource id → action), and to work after that.

    https://learn.microsoft.com/azure/machine-learning/how-to-assign-roles,
    https://learn.microsoft.com/azure/event-grid/security-authorization
    """
    settings = clients.settings
    group, workspace, app = settings.resource_group_id, settings.workspace_id, clients.function_app_id
    for kind in (
        f"{ML_PROVIDER}/workspaces",
        "Microsoft.EventGrid/systemTopics",
        "Microsoft.Authorization/roleAssignments",
    ):
        yield Need(f"{kind}/read", "Reader", group)
    found = actions[f"workspace:{settings.azureml_workspace_name}"]
    if found == CREATE:
        for action in (f"{ML_PROVIDER}/workspaces/write", "Microsoft.Resources/deployments/write"):
            yield Need(action, "Contributor", group)
    if found in {CREATE, UNREADABLE}:
        workspace = group  # Nobody has a role at what is not there.
    for part in ("datastores", "environments/versions", "data/versions", "jobs", "models/versions"):
        yield Need(f"{ML_PROVIDER}/workspaces/{part}/write", "AzureML Data Scientist", workspace)
    if actions[f"compute:{settings.compute_name}"] != EXISTS:
        yield Need(f"{ML_PROVIDER}/workspaces/computes/write", "AzureML Compute Operator", workspace)
        if settings.compute_identity != "SystemAssigned":
            assign = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"
            yield Need(assign, "Managed Identity Operator", settings.compute_identity)
        if settings.compute_subnet_resource_id:
            join = "Microsoft.Network/virtualNetworks/subnets/join/action"
            yield Need(join, "Network Contributor", settings.compute_subnet_resource_id)
    for kind in ("systemTopics", "systemTopics/eventSubscriptions"):
        yield Need(f"Microsoft.EventGrid/{kind}/write", "EventGrid Contributor", group)
    account, registry = clients.account_resource_id, settings.container_registry_resource_id
    yield Need("Microsoft.EventGrid/eventSubscriptions/write", "EventGrid Contributor", _group_of(account))
    for elsewhere in (account, registry):
        if elsewhere and not same(_group_of(elsewhere), group):
            yield Need("Microsoft.Authorization/roleAssignments/read", "Reader", elsewhere)
    for action in ("host/listKeys/action", "functions/write"):
        yield Need(f"Microsoft.Web/sites/{action}", "Website Contributor", app)


def _group_of(resource_id: str) -> str:
    """ARM id of a resource's resource group."""
    return "/".join(resource_id.split("/")[:5])


def _machine(clients: Clients, plan: Sequence[PlannedResource]) -> Iterator[Check]:
    """Size and quota matter where a cluster is to be made; one that is there has both."""
    from azure.core.exceptions import HttpResponseError

    settings = clients.settings
    cluster = next(each for each in plan if each.type == "compute")
    if cluster.action != CREATE:
        return
    wanted, location = settings.compute_size, settings.cluster_location
    try:
        offered = _offered(clients, location)
    except HttpResponseError as error:
        if error.status_code != 400:
            raise
        yield Check(
            "region",
            REFUSED,
            f"Azure ML has no clusters in {location}: {_first_line(error)}",
            "set COMPUTE_LOCATION to a region where it has (az account list-locations --output table)",
        )
        return
    nearby = partial(_regions_offering, clients, wanted, location)
    check = check_size(wanted, location, offered, nearby, dt.datetime.now(dt.UTC).date())
    yield check
    size = find_size(offered, wanted)
    if size is None or check.state == REFUSED:
        return
    # The list also has what is set aside for single workspaces and used by single clusters.
    usages = _in_region(clients, location, "usages")
    quotas = [Quota.from_json(each) for each in usages if "/workspaces/" not in str(each.get("id")).lower()]
    least, most = settings.compute_min_nodes, settings.compute_max_nodes
    yield check_quota(size, location, settings.compute_priority, quotas, least=least, most=most)


def _offered(clients: Clients, location: str) -> list[MachineSize]:
    return [MachineSize.from_json(each) for each in _in_region(clients, location, "vmSizes")]


def _regions_offering(clients: Clients, wanted: str, location: str) -> list[str]:
    """The regions nearest to one that offer a size; none when the app may not ask."""
    from azure.core.exceptions import HttpResponseError

    path = f"/subscriptions/{clients.settings.azure_subscription_id}/locations"
    try:
        regions = clients.ask_resource_manager("GET", path, LOCATIONS_API_VERSION)["value"]
    except HttpResponseError as error:
        logger.warning("regions that offer %s can't be looked up: %s", wanted, _first_line(error))
        return []
    found = []
    for name in _nearest(regions, location)[:NEAREST_REGIONS]:
        with contextlib.suppress(HttpResponseError):  # Azure ML is not in every region.
            if find_size(_offered(clients, name), wanted) is not None:
                found.append(name)
    return found


def _nearest(regions: Sequence[dict[str, Any]], location: str) -> list[str]:
    """The names of the other physical regions, nearest first."""
    places = {}
    for region in regions:
        metadata = region.get("metadata") or {}
        if metadata.get("regionType") == "Physical" and metadata.get("latitude"):
            latitude, longitude = math.radians(float(metadata["latitude"])), math.radians(float(metadata["longitude"]))
            across = math.cos(latitude)
            places[region["name"]] = (across * math.cos(longitude), across * math.sin(longitude), math.sin(latitude))
    here = places.pop(location, None)
    return sorted(places, key=lambda name: math.dist(places[name], here)) if here else []


def _in_region(clients: Clients, location: str, what: str) -> list[dict[str, Any]]:
    """All items of one of Azure ML's lists for a region."""
    path = (
        f"/subscriptions/{clients.settings.azure_subscription_id}/providers/{ML_PROVIDER}/locations/{location}/{what}"
    )
    return list(clients.list_from_resource_manager(path, ML_API_VERSION))
