"""Provisioning: the plan, what came of it, and the deletion of one resource."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from handlers.contract.base import Asked, Told


class ProvisionQuery(Asked):
    dry_run: Annotated[bool, Meta(description="only compare: what would be made and changed")] = False


class ResourceDeletion(Asked):
    """Which resource is meant to go."""

    name: Annotated[str, Meta(description="the resource's name, repeated by whoever wants it gone")]


class Check(Told):
    """What a check before provisioning found, and what a person can do about it."""

    check: str
    state: Literal["passed", "warning", "refused", "unchecked"]
    message: str
    remedy: str = ""


class Difference(Told):
    """A property that is not as it should be."""

    property: str
    desired: Any
    actual: Any


class PlannedResource(Told):
    """A desired resource against Azure: what a run would do about it."""

    id: str
    type: str
    name: str
    action: Literal["exists", "create", "update", "conflict", "unreadable"]
    desired: dict[str, Any]
    actual: dict[str, Any] | None = None
    differences: list[Difference] = msgspec.field(default_factory=list)
    remedy: str = ""
    error: str = ""


class ProvisioningPlan(Told):
    """What provisioning would do."""

    state: Literal["blocked", "changes", "unchanged"]
    checks: list[Check]
    resources: list[PlannedResource]


class ProvisionedResource(Told):
    """A resource as the last run found it, since when, and why it is not ready."""

    id: str
    type: str
    name: str
    state: Literal["pending", "in_progress", "ready", "failed", "waiting", "deleted", "conflict"]
    since: Annotated[str, Meta(description="when that state began (RFC 3339, UTC); empty: before any run")]
    error: str
    desired: dict[str, Any]
    actual: dict[str, Any] | None
    deleted_after: int


class Provisioning(Told):
    """How far provisioning is."""

    state: Literal["not_started", "in_progress", "failed", "incomplete", "ready"]
    provisioning: Literal["enabled", "disabled"]
    error: str
    checks: list[Check]
    resources: list[ProvisionedResource]
