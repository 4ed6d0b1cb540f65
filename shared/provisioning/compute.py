"""The GPU cluster."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from shared.errors import ConflictError, ProvisioningError
from shared.provisioning.resource import TAGS, Properties, Resource
from shared.provisioning.workspace import region_name

if TYPE_CHECKING:
    from azure.ai.ml.entities import AmlCompute

    from shared.clients import Clients

CHANGING_STATES = {"Creating", "Updating", "Deleting"}
POLL_SECONDS = 5.0
# A cluster is made in a minute or two; a worker that was killed may have left one half made.
CHANGING_SECONDS = 15 * 60


def find_compute(clients: Clients) -> Any | None:
    """The cluster, or another compute of its name, or None."""
    from azure.core.exceptions import ResourceNotFoundError

    try:
        return clients.ml.compute.get(clients.settings.compute_name)
    except ResourceNotFoundError:
        return None


class Cluster(Resource):
    """The AmlCompute cluster."""

    type = "compute"
    # https://learn.microsoft.com/azure/machine-learning/how-to-create-attach-compute-cluster
    fixed = frozenset({"type", "size", "priority", "location", "subnet", "ssh_port", "failure"})

    def __init__(self, clients: Clients, workspace: Resource) -> None:
        super().__init__(clients.settings.compute_name, [workspace])
        self._clients = clients

    @property
    def remedy(self) -> str:
        return (
            "Azure can't change this in place: choose another COMPUTE_NAME, or DELETE "
            f"/api/provision/{self.id} (its running jobs end) and provision again"
        )

    def desired(self) -> Properties:
        settings = self._clients.settings
        return {
            "type": "amlcompute",
            "state": "Succeeded",
            "failure": "",
            "size": settings.compute_size,
            "priority": settings.compute_priority,
            "location": settings.cluster_location,
            "subnet": settings.compute_subnet_resource_id,
            "min_nodes": settings.compute_min_nodes,
            "max_nodes": settings.compute_max_nodes,
            "idle_seconds": settings.compute_idle_seconds,
            "identity": settings.compute_identity,
            "ssh_port": "closed",
        }

    def actual(self) -> Properties | None:
        found = find_compute(self._clients)
        if found is None:
            return None
        kind = str(found.type).lower()
        if kind != "amlcompute":
            return {"type": kind}
        subnet = found.network_settings.subnet if found.network_settings else None
        return {
            "type": kind,
            "state": _text(found.provisioning_state),
            "failure": _failure_of(found),
            "size": str(found.size),
            "priority": "LowPriority" if found.tier == "low_priority" else "Dedicated",
            "location": region_name(found.location),
            "subnet": subnet or "",
            "min_nodes": found.min_instances,
            "max_nodes": found.max_instances,
            "idle_seconds": int(found.idle_time_before_scale_down or 0),
            "identity": _identity_of(found),
            "ssh_port": "open" if found.ssh_public_access_enabled else "closed",
        }

    def make(self) -> None:
        from azure.ai.ml.entities import (
            AmlCompute,
            IdentityConfiguration,
            ManagedIdentityConfiguration,
            NetworkSettings,
        )

        settings = self._clients.settings
        if settings.compute_identity == "SystemAssigned":
            identity = IdentityConfiguration(type="system_assigned")
        else:
            assigned = ManagedIdentityConfiguration(resource_id=settings.compute_identity)
            identity = IdentityConfiguration(type="user_assigned", user_assigned_identities=[assigned])
        subnet = settings.compute_subnet_resource_id
        existing = self._settled()
        compute = AmlCompute(
            name=self.name,
            size=settings.compute_size,
            tier="low_priority" if settings.compute_priority == "LowPriority" else "dedicated",
            location=settings.cluster_location,
            min_instances=settings.compute_min_nodes,
            max_instances=settings.compute_max_nodes,
            idle_time_before_scale_down=settings.compute_idle_seconds,
            network_settings=NetworkSettings(subnet=subnet) if subnet else None,
            # Azure can't change it, so a cluster that is there keeps what it has.
            enable_node_public_ip=existing.enable_node_public_ip if existing else not subnet,
            ssh_public_access_enabled=False,
            identity=identity,
            tags={**((existing.tags if existing else None) or {}), **TAGS},
        )
        self._clients.ml.compute.begin_create_or_update(compute).result()

    def delete(self) -> None:
        found = find_compute(self._clients)
        if found is None:
            return
        if str(found.type).lower() != "amlcompute":
            raise ConflictError(f"compute {self.name} is a {found.type}, which others made: delete it in Azure")
        self._clients.ml.compute.begin_delete(self.name).result()

    def _settled(self) -> AmlCompute | None:
        """The cluster, once Azure has ended what it does with it."""
        deadline = time.monotonic() + CHANGING_SECONDS
        while (found := find_compute(self._clients)) is not None:
            state = _text(found.provisioning_state)
            if state not in CHANGING_STATES:
                return found
            if time.monotonic() > deadline:
                raise ProvisioningError(f"compute {self.name}", f"is {state} for {CHANGING_SECONDS // 60} minutes")
            time.sleep(POLL_SECONDS)
        return None


def _failure_of(compute: AmlCompute) -> str:
    """Why Azure could not make it; such a cluster stays behind and can only be deleted."""
    if _text(compute.provisioning_state) != "Failed":
        return ""
    return str(compute.provisioning_errors or "unknown")


def _text(value: Any) -> str:
    """The SDK gives an enumeration for it, or a plain text."""
    return str(getattr(value, "value", value))


def _identity_of(compute: AmlCompute) -> str:
    """As COMPUTE_IDENTITY would say it."""
    if compute.identity is None:
        return "none"
    if compute.identity.type == "system_assigned":
        return "SystemAssigned"
    return ",".join(str(each.resource_id) for each in compute.identity.user_assigned_identities or [])
