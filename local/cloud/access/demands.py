"""What a management request needs: its action and scope, from its method and path alone, and what its body links to.

Names: https://learn.microsoft.com/azure/role-based-access-control/resource-provider-operations
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from local.cloud.resources import Json

ML_WORKSPACE = "Microsoft.MachineLearningServices/workspaces"
_VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}
_DATA_PLANE = re.compile(r"^/(history|data)/v1\.0(/subscriptions/.+?/workspaces/[^/]+)/.+$", re.IGNORECASE)
_PROVIDERS = re.compile(r"(.*)/providers/([^/]+)/?(.*)", re.IGNORECASE)


@dataclass(frozen=True)
class Demand:
    """An action that the caller must be allowed at a scope."""

    action: str
    scope: str


def demand_of(method: str, path: str) -> Demand | None:
    """What a request needs; None for what anyone with a token may do. Raises ValueError for a path that is not ARM's.

    The state of a long-running operation is open to all: its URL says nothing, and cannot be guessed.
    """
    path = path.rstrip("/")
    if match := _DATA_PLANE.match(path):
        return _data_plane(method, *match.groups())
    if not path.lower().startswith("/subscriptions/"):
        raise ValueError(f"'{path}' is not a path of Azure Resource Manager")
    match = _PROVIDERS.fullmatch(path)
    if match is None:
        return _of_types("Microsoft.Resources", "", ["subscriptions", *path.split("/")[2:]], method)
    base, namespace, rest = match.groups()
    if not rest:
        return Demand(f"Microsoft.Resources/subscriptions/providers/{_VERBS[method]}", base)
    parts = rest.split("/")
    if parts[0].lower() == "locations" and len(parts) > 2 and parts[2].lower().startswith("operation"):
        return None
    return _of_types(namespace, base, parts, method)


def _of_types(namespace: str, base: str, parts: list[str], method: str) -> Demand:
    """`parts` are types and names in turn; what a POST ends in is its verb, what a list ends in is its type."""
    verb = _VERBS.get(method)
    if verb is None:
        *parts, name = parts
        verb = f"{name}/action"
    named = parts if len(parts) % 2 == 0 else parts[:-1]
    prefix = f"{base}/providers/{namespace}" if base else ""
    scope = "/".join([prefix, *named]) if named else base
    return Demand("/".join([namespace, *parts[0::2], verb]), scope)


def _data_plane(method: str, service: str, workspace: str) -> Demand:
    """Azure ML's data planes. Which of the documented actions they ask for is not documented; the names say it."""
    if service.lower() == "data":
        return Demand(f"{ML_WORKSPACE}/data/versions/read", workspace)
    # A POST here is a question with a body.
    verb = "read" if method == "POST" else _VERBS[method]
    return Demand(f"{ML_WORKSPACE}/experiments/runs/{verb}", workspace)


def linked_demands(demand: Demand, body: Any) -> Iterator[Demand]:
    """What a PUT or PATCH needs at other resources, which its body names."""
    if not isinstance(body, dict):
        return
    properties = _dict(body, "properties")
    for identity in _dict(_dict(body, "identity"), "userAssignedIdentities"):
        yield Demand("Microsoft.ManagedIdentity/userAssignedIdentities/assign/action", identity)
    subnet = _dict(_dict(properties, "properties"), "subnet").get("id")
    if subnet:
        yield Demand("Microsoft.Network/virtualNetworks/subnets/join/action", str(subnet))
    if demand.action.lower().endswith("/eventsubscriptions/write"):
        # "Write access to that resource", for any but a webhook:
        # https://learn.microsoft.com/azure/event-grid/security-authorization#permissions-for-event-subscriptions
        destination = _dict(properties, "destination") or _dict(
            _dict(properties, "deliveryWithResourceIdentity"), "destination"
        )
        if destination.get("endpointType") == "AzureFunction":
            function = str(_dict(destination, "properties").get("resourceId"))
            yield Demand("Microsoft.Web/sites/functions/write", function)


def template_demands(demand: Demand, body: Any) -> Iterator[Demand]:
    """What a deployment needs besides: to make the workspace that its template makes."""
    if demand.action.lower() != "microsoft.resources/deployments/write" or not isinstance(body, dict):
        return
    name = _dict(_dict(_dict(body, "properties"), "parameters"), "workspaceName").get("value")
    if name:
        group = _PROVIDERS.fullmatch(demand.scope)
        yield Demand(f"{ML_WORKSPACE}/write", f"{group[1] if group else ''}/providers/{ML_WORKSPACE}/{name}")


def _dict(body: Json, key: str) -> Json:
    found = body.get(key)
    return found if isinstance(found, dict) else {}
