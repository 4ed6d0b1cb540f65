"""Who may do what: role assignments that provisioning makes, and what the app itself may do."""

from __future__ import annotations

import re
import shlex
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.errors import ProvisioningError
from shared.provisioning.resource import Properties, Resource, same
from shared.provisioning.topics import EventTopic

if TYPE_CHECKING:
    from shared.clients import Clients

API_VERSION = "2022-04-01"
COMPUTE_API_VERSION = "2024-10-01"


@dataclass(frozen=True)
class Role:
    """A built-in role: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles"""

    name: str
    id: str


BLOB_DATA_CONTRIBUTOR = Role("Storage Blob Data Contributor", "ba92f5b4-2d11-453d-a403-e96b0029c9fe")
QUEUE_DATA_CONTRIBUTOR = Role("Storage Queue Data Contributor", "974c5e8b-45b9-4653-ba55-5f855dd0fb88")
TABLE_DATA_CONTRIBUTOR = Role("Storage Table Data Contributor", "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3")
REGISTRY_PULL = Role("AcrPull", "7f951dda-4ed3-4680-a7ca-43fe172d538d")
DATA_SCIENTIST = Role("AzureML Data Scientist", "f6c7c914-8db3-469d-8ca1-694a8f32e121")


def grant_command(role: str, scope: str, object_id: str, kind: str) -> str:
    """The Azure CLI's command that gives somebody a role."""
    return (
        f"az role assignment create --assignee-object-id {shlex.quote(object_id)} --assignee-principal-type {kind} "
        f"--role {shlex.quote(role)} --scope {shlex.quote(scope)}"
    )


class RoleAssignment(Resource):
    """A role that a managed identity must have at a scope; a broader scope does as well."""

    type = "role assignment"

    def __init__(
        self, clients: Clients, holder: Resource, principal: Callable[[], str | None], role: Role, scope: str
    ) -> None:
        super().__init__(f"{holder.name}-{role.name.lower().replace(' ', '-')}", [holder])
        self._clients = clients
        self._principal = principal
        self._role = role
        self._scope = scope

    def desired(self) -> Properties:
        return {"role": self._role.name, "scope": self._scope}

    def actual(self) -> Properties | None:
        principal = self._principal()
        if principal is None:
            return None
        found = self._clients.ask_resource_manager(
            "GET",
            f"{self._scope}/providers/Microsoft.Authorization/roleAssignments",
            API_VERSION,
            filter=f"assignedTo('{principal}')",
        )
        held = any(self._is_it(each["properties"]) for each in found["value"])
        return self.desired() if held else None

    def make(self) -> None:
        from azure.core.exceptions import HttpResponseError

        principal = self._principal()
        if principal is None:
            raise ProvisioningError(f"{self.type} {self.name}", "there is no identity to give the role to")
        name = uuid.uuid5(uuid.NAMESPACE_URL, f"{self._scope}|{principal}|{self._role.id}".lower())
        subscription = self._clients.settings.azure_subscription_id
        definition = f"/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{self._role.id}"
        properties = {
            "roleDefinitionId": definition,
            "principalId": principal,
            "principalType": "ServicePrincipal",
        }
        path = f"{self._scope}/providers/Microsoft.Authorization/roleAssignments/{name}"
        try:
            self._clients.ask_resource_manager("PUT", path, API_VERSION, body={"properties": properties})
        except HttpResponseError as error:
            if error.status_code == 409:  # It is there, under another name.
                return
            if error.status_code != 403:
                raise
            raise ProvisioningError(
                f"{self.type} {self.name}",
                f"the app may not give '{self._role.name}' at {self._scope} to {principal}; somebody who may must do "
                f"it: {grant_command(self._role.name, self._scope, principal, 'ServicePrincipal')}",
            ) from error

    def _is_it(self, assignment: Mapping[str, Any]) -> bool:
        """The list also has what is assigned above the scope, which counts, and below it, which does not."""
        role = str(assignment["roleDefinitionId"]).rsplit("/", 1)[-1]
        is_below = str(assignment["scope"]).lower().startswith(f"{self._scope}/".lower())
        return same(role, self._role.id) and not is_below

    @property
    def deletion(self) -> str:
        return "`az role assignment delete` takes a role away"


def cluster_principal(clients: Clients) -> str | None:
    """Object id of the cluster's identity, None while there is no cluster."""
    from azure.core.exceptions import HttpResponseError

    path = f"{clients.settings.workspace_id}/computes/{clients.settings.compute_name}"
    try:
        identity = clients.ask_resource_manager("GET", path, COMPUTE_API_VERSION).get("identity") or {}
    except HttpResponseError as error:
        if error.status_code == 404:
            return None
        raise
    assigned = [each["principalId"] for each in (identity.get("userAssignedIdentities") or {}).values()]
    found: str | None = assigned[0] if assigned else identity.get("principalId")
    return found


def topic_principal(topic: EventTopic) -> str | None:
    """Object id of a system topic's own identity."""
    found = topic.find()
    return str(found.identity.principal_id) if found and found.identity and found.identity.principal_id else None


def permissions_at(clients: Clients, scope: str) -> list[Mapping[str, Any]]:
    """What the app may do at a scope: https://learn.microsoft.com/rest/api/authorization/permissions

    Raises azure.core.exceptions.HttpResponseError, with status 403 where it may not even ask that.
    """
    path = f"{scope}/providers/Microsoft.Authorization/permissions"
    found: list[Mapping[str, Any]] = clients.ask_resource_manager("GET", path, API_VERSION)["value"]
    return found


def allows(permissions: Iterable[Mapping[str, Any]], action: str) -> bool:
    """Whether any of the permissions allows an action: named by its `actions` and by none of its `notActions`
    (https://learn.microsoft.com/azure/role-based-access-control/role-definitions).
    """
    return any(
        _any_matches(each.get("actions") or (), action) and not _any_matches(each.get("notActions") or (), action)
        for each in permissions
    )


def _any_matches(patterns: Iterable[str], action: str) -> bool:
    return any(_matches(pattern, action) for pattern in patterns)


def _matches(pattern: str, action: str) -> bool:
    """A wildcard may stand for no part at all: Azure's own roles say `workspaces/*/write` for workspaces/write, too."""
    expression = re.escape(pattern).replace(r"/\*/", "/(?:.*/)?").replace(r"\*", ".*")
    return re.fullmatch(expression, action, re.IGNORECASE) is not None
