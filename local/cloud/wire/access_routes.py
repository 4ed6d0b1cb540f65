"""Role assignments, role definitions, and what the caller may do, at any scope."""

from __future__ import annotations

import re
from dataclasses import replace

from local.cloud.access.assignments import TYPE, Assignment, Assignments
from local.cloud.access.demands import Demand
from local.cloud.access.gate import Gate, refusal
from local.cloud.access.roles import PROVIDER, ROLES, find_role
from local.cloud.errors import BadRequestError, NotFoundError
from local.cloud.wire.http import Reply, Request, Route
from local.cloud.wire.lists import list_reply
from local.config import StackConfig

_ROLE_FILTER = re.compile(r"(?:atScopeAndBelow\(\)|type eq '(\w+)'|roleName eq '([^']*)')", re.IGNORECASE)


class ScopedRoute(Route):
    """A route whose `{scope}` is a subscription, a resource group or a resource."""

    @property
    def pattern(self) -> re.Pattern[str]:
        inner = super().pattern.pattern
        return re.compile(inner.replace("(?P<scope>[^/]+)", r"(?P<scope>/subscriptions/.+?)", 1), re.IGNORECASE)


def access_routes(assignments: Assignments, gate: Gate, config: StackConfig) -> list[Route]:
    """Microsoft.Authorization, as far as azure-mgmt-authorization 2022-04-01 reads and makes assignments."""

    def assignment_id(request: Request) -> str:
        return f"{request.params['scope']}/providers/{TYPE}/{request.params['assignment']}"

    def require(request: Request, verb: str, source: str, assignment: Assignment) -> None:
        """The conditions of the caller's own roles; whether it has any is asked before."""
        caller, action = gate.caller(request), f"{TYPE}/{verb}"
        attributes = {
            f"{source}:roledefinitionid": assignment.role_id,
            f"{source}:principalid": assignment.principal_id,
            f"{source}:principaltype": assignment.principal_type,
        }
        if not assignments.allows(caller.object_id, action, assignment.scope, attributes=attributes):
            raise refusal(caller, Demand(action, assignment.id))

    async def put(request: Request) -> Reply:
        by = gate.caller(request).object_id
        scope, properties = request.params["scope"], request.document.get("properties") or {}
        wanted = assignments.wanted(scope, request.params["assignment"], properties, by)
        require(request, "write", "request", wanted)
        existing = assignments.find(wanted.id)
        if existing is not None:
            wanted = replace(wanted, scope=existing.scope, created=existing.created, created_by=existing.created_by)
        kept, is_new = assignments.put(wanted)
        return Reply(kept.document(), 201 if is_new else 200)

    async def get(request: Request) -> Reply:
        return Reply(assignments.get(assignment_id(request)).document())

    async def delete(request: Request) -> Reply:
        found = assignments.find(assignment_id(request))
        if found is None:
            return Reply(status=204)
        require(request, "delete", "resource", found)
        assignments.delete(found.id)
        return Reply(found.document())

    async def list_assignments(request: Request) -> Reply:
        found = assignments.listed(request.params["scope"], request.query.get("$filter", ""))
        return list_reply(request, config.arm_url, [each.document() for each in found])

    async def permissions(request: Request) -> Reply:
        held = assignments.held(gate.caller(request).object_id, request.params["scope"])
        return list_reply(request, config.arm_url, [each.role.permission() for each in held])

    async def list_roles(request: Request) -> Reply:
        wanted = request.query.get("$filter", "")
        found = list(ROLES)
        for part in filter(None, re.split(r"\s+and\s+", wanted.strip(), flags=re.IGNORECASE)):
            match = _ROLE_FILTER.fullmatch(part.strip())
            if match is None:
                raise BadRequestError(f"The filter '{wanted}' is not supported.", code="UnsupportedQuery")
            kind, name = match.groups()
            found = [
                role
                for role in found
                if kind in (None, "CustomRole" if role.custom else "BuiltInRole")
                and (name is None or role.name.lower() == name.lower())
            ]
        return list_reply(request, config.arm_url, [role.document(config.subscription_id) for role in found])

    async def get_role(request: Request) -> Reply:
        role = find_role(request.params["role"])
        if role is None:
            raise NotFoundError(
                f"The specified role definition with ID '{request.params['role']}' does not exist.",
                code="RoleDefinitionDoesNotExist",
            )
        return Reply(role.document(config.subscription_id))

    base = f"{{scope}}/providers/{PROVIDER}"
    collection, definitions = f"{base}/roleAssignments", f"{base}/roleDefinitions"
    assignment = f"{collection}/{{assignment}}"
    sdk = "azure-mgmt-authorization"
    of_assignments = f"{sdk} role_assignments"
    return [
        ScopedRoute("PUT", assignment, put, "assign a role", f"{of_assignments}.create"),
        ScopedRoute("GET", assignment, get, "role assignment", f"{of_assignments}.get"),
        ScopedRoute("DELETE", assignment, delete, "take a role away", f"{of_assignments}.delete"),
        ScopedRoute(
            "GET",
            collection,
            list_assignments,
            "role assignments; $filter atScope(), principalId eq, assignedTo()",
            f"{of_assignments}.list_for_scope",
        ),
        ScopedRoute("GET", f"{base}/permissions", permissions, "what the caller may do", f"{sdk} permissions"),
        ScopedRoute(
            "GET", definitions, list_roles, "roles; $filter roleName eq, type eq", f"{sdk} role_definitions.list"
        ),
        ScopedRoute("GET", f"{definitions}/{{role}}", get_role, "role", f"{sdk} role_definitions.get"),
    ]
