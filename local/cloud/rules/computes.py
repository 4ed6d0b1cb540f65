"""AmlCompute clusters."""

from __future__ import annotations

import time
import uuid

from local.cloud.clock import utc_text
from local.cloud.errors import BadRequestError, NotFoundError, UserError
from local.cloud.resources import Json, Resource, ResourceStore
from local.cloud.rules.ids import WorkspaceScope
from local.cloud.rules.virtual_machines import QUOTAS, find_size


class Computes:
    """Creates clusters; a cluster's nodes are processes of this machine."""

    def __init__(self, store: ResourceStore) -> None:
        self._store = store

    def put(self, scope: WorkspaceScope, name: str, body: Json) -> Resource:
        """Create or update an AmlCompute cluster.

        Raises BadRequestError for another compute type or an unknown size, UserError for a size beyond the quota,
        and for a change of size, which Azure does not allow either.
        """
        self._store.get(scope.id)
        properties = dict(body.get("properties") or {})
        if properties.get("computeType") != "AmlCompute":
            raise BadRequestError(
                f"The compute type '{properties.get('computeType')}' is not known to the local cloud; AmlCompute is."
            )
        inner = dict(properties.get("properties") or {})
        existing = self._store.find(scope.child(f"computes/{name}"))
        _check_size(name, inner, existing)
        scale = dict(inner.get("scaleSettings") or {})
        least, most = int(scale.get("minNodeCount") or 0), int(scale.get("maxNodeCount") or 1)
        if not 0 <= least <= most:
            raise UserError(f"minNodeCount {least} must be between 0 and maxNodeCount {most}.")
        scale.update(minNodeCount=least, maxNodeCount=most)
        now = utc_text(time.time())
        inner.update(
            scaleSettings=scale,
            allocationState="Steady",
            allocationStateTransitionTime=now,
            currentNodeCount=least,
            targetNodeCount=least,
            errors=None,
        )
        properties.update(
            properties=inner,
            provisioningState="Succeeded",
            createdOn=(existing.properties.get("createdOn") if existing else None) or now,
            modifiedOn=now,
            isAttachedCompute=False,
            disableLocalAuth=properties.get("disableLocalAuth", True),
        )
        kept: Json = {"location": body.get("location"), "tags": body.get("tags") or {}, "properties": properties}
        if body.get("identity"):
            kept["identity"] = _identity(scope, name, body["identity"])
        return self._store.put(scope.child(f"computes/{name}"), kept)

    def patch(self, scope: WorkspaceScope, name: str, body: Json) -> Resource:
        """Change the scale settings of a cluster. Raises NotFoundError."""
        resource = self._store.get(scope.child(f"computes/{name}"))
        changed = ((body.get("properties") or {}).get("properties") or {}).get("scaleSettings") or {}
        properties = dict(resource.properties)
        inner = dict(properties["properties"])
        inner["scaleSettings"] = {**inner["scaleSettings"], **changed}
        properties["properties"] = inner
        return self._store.put(resource.id, {**resource.body, "properties": properties})

    def require(self, scope: WorkspaceScope, compute: str) -> Resource:
        """The cluster that a job names by name or id. Raises UserError, with Azure ML's wording, when there is none."""
        name = compute.rsplit("/", 1)[-1]
        try:
            return self._store.get(scope.child(f"computes/{name}"))
        except NotFoundError as error:
            raise UserError(f"Unknown compute target '{name}'.") from error


def _check_size(name: str, inner: Json, existing: Resource | None) -> None:
    wanted = str(inner.get("vmSize") or "")
    size = find_size(wanted)
    if size is None:
        raise BadRequestError(
            f"The specified compute name '{name}' has the VM size '{wanted}', which is not supported in this region.",
            code="InvalidVMSize",
        )
    if existing is not None and str(existing.properties["properties"]["vmSize"]).lower() != wanted.lower():
        raise UserError(
            f"The VM size of compute '{name}' cannot be changed from "
            f"'{existing.properties['properties']['vmSize']}' to '{wanted}'."
        )
    if QUOTAS[size.family] < size.cores:
        raise UserError(
            f"The subscription has {QUOTAS[size.family]} vCPUs of quota in family '{size.family}'; "
            f"one node of '{size.name}' needs {size.cores}.",
            code="ClusterCoreQuotaReached",
        )


def _identity(scope: WorkspaceScope, name: str, identity: Json) -> Json:
    kept = dict(identity)
    if str(kept.get("type", "")).startswith("SystemAssigned"):
        kept.update(principalId=str(uuid.uuid5(uuid.NAMESPACE_URL, scope.child(f"computes/{name}"))))
    users = kept.get("userAssignedIdentities")
    if users:
        kept["userAssignedIdentities"] = {
            resource_id: {"principalId": _guid(f"{resource_id}/principal"), "clientId": client_id_of(resource_id)}
            for resource_id in users
        }
    return kept


def client_id_of(identity_id: str) -> str:
    """The client id of a user-assigned identity, which the local cloud derives from its resource id."""
    return _guid(f"{identity_id}/client")


def _guid(text: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, text.lower()))
