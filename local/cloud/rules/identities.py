"""Managed identities as ARM shows them on a resource: their ids are derived from the resource's, and never change."""

from __future__ import annotations

import uuid

from local.cloud.resources import Json


def answered_identity(given: Json, resource_id: str, tenant: str) -> Json:
    """The `identity` of a resource, with the ids that Microsoft Entra assigns."""
    kind = str(given.get("type") or "None")
    answered: Json = {"type": kind}
    if "SystemAssigned" in kind:
        answered.update(principalId=system_principal_of(resource_id), tenantId=tenant)
    users = given.get("userAssignedIdentities") or {}
    if users:
        answered["userAssignedIdentities"] = {
            user: {"principalId": principal_of(client_id_of(user)), "clientId": client_id_of(user)} for user in users
        }
    return answered


def system_principal_of(resource_id: str) -> str:
    """The object id of a resource's system-assigned identity."""
    return _guid(resource_id)


def client_id_of(identity_id: str) -> str:
    """The client id of a user-assigned identity."""
    return _guid(f"{identity_id}/client")


def principal_of(client_id: str) -> str:
    """The object id that tokens of a client carry as `oid`."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, client_id))


def _guid(text: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, text.lower()))
