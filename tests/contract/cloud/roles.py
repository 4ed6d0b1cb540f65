"""Giving roles in the local cloud, and being somebody else there."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import requests
from azure.core.credentials import AccessToken

from local.cloud.access.roles import role_named
from local.cloud.identity import OWNER_CLIENT_ID, IdentityProvider
from local.cloud.rules.identities import principal_of
from local.config import StackConfig

API_VERSION = "2022-04-01"


class Somebody:
    """A service principal: a credential for the unmodified SDKs, and what it is called."""

    def __init__(self, config: StackConfig, client_id: str | None = None) -> None:
        self.client_id = client_id or str(uuid.uuid4())
        self.object_id = principal_of(self.client_id)
        self._identity = IdentityProvider(config)

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        return AccessToken(*self._identity.issue(scopes[0].removesuffix("/.default"), self.client_id))


MakeSomebody = Callable[..., Somebody]


class Owner(Somebody):
    """Who may manage everything in the subscription."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__(config, OWNER_CLIENT_ID)


def give(config: StackConfig, principal: str, role: str, scope: str, condition: str | None = None) -> str:
    """Give a role, as the owner would; answers the assignment's id."""
    definition = f"/providers/Microsoft.Authorization/roleDefinitions/{role_named(role).guid}"
    properties = {"principalId": principal, "roleDefinitionId": definition, "condition": condition}
    path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    answer = _send(config, "PUT", path, json={"properties": properties})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def take(config: StackConfig, assignment_id: str) -> None:
    """Take a role away again."""
    assert _send(config, "DELETE", assignment_id).status_code == 200


def _send(config: StackConfig, method: str, path: str, **options: Any) -> requests.Response:
    token = Owner(config).get_token(config.arm_url).token
    return requests.request(
        method,
        f"{config.arm_url}{path}",
        params={"api-version": API_VERSION},
        headers={"authorization": f"Bearer {token}"},
        verify=str(config.certificate),
        timeout=30,
        **options,
    )
