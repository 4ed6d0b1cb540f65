"""Role assignments: kept in the database, looked up in memory.

Unlike in Azure, where they take minutes to spread, they are in force at once. As there, they outlive their resource.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from local.cloud.access.conditions import parse_condition, permits
from local.cloud.access.roles import PROVIDER, Role, find_role
from local.cloud.clock import utc_text
from local.cloud.database import Database
from local.cloud.errors import BadRequestError, ConflictError, NotFoundError
from local.cloud.resources import Json

TYPE = f"{PROVIDER}/roleAssignments"
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_FILTER = re.compile(r"(?:(atScope)\(\)|principalId eq '([^']*)'|assignedTo\('([^']*)'\))", re.IGNORECASE)


@dataclass(frozen=True)
class Assignment:
    """A principal's role at a scope. `name` is a GUID; `condition` and `description` may be empty."""

    scope: str
    name: str
    principal_id: str
    role_id: str
    principal_type: str = "ServicePrincipal"
    condition: str = ""
    description: str = ""
    created: float = 0.0
    created_by: str = ""

    @property
    def id(self) -> str:
        return f"{self.scope}/providers/{TYPE}/{self.name}"

    @property
    def role(self) -> Role:
        found = find_role(self.role_id)
        if found is None:
            raise BadRequestError(f"The role definition '{self.role_id}' of '{self.id}' is not known.")
        return found

    def covers(self, scope: str) -> bool:
        """Whether `scope` is this assignment's, or below it."""
        return f"{scope}/".lower().startswith(f"{self.scope}/".lower())

    def document(self) -> Json:
        """The assignment as ARM answers it."""
        definitions = f"/subscriptions/{self.scope.split('/')[2]}/providers/{PROVIDER}/roleDefinitions"
        time_text = utc_text(self.created)
        return {
            "id": self.id,
            "name": self.name,
            "type": TYPE,
            "properties": {
                "scope": self.scope,
                "roleDefinitionId": f"{definitions}/{self.role_id}",
                "principalId": self.principal_id,
                "principalType": self.principal_type,
                "condition": self.condition or None,
                "conditionVersion": "2.0" if self.condition else None,
                "description": self.description or None,
                "createdOn": time_text,
                "updatedOn": time_text,
                "createdBy": self.created_by,
                "updatedBy": self.created_by,
            },
        }


class Assignments:
    """Makes, lists and deletes assignments, and says what they allow. `version` grows with every change."""

    def __init__(self, database: Database, seeds: Iterable[Assignment]) -> None:
        self._database = database
        self.version = 0
        with database.transaction() as connection:
            # A seed that somebody has deleted stays deleted: its row is kept, without a body.
            connection.executemany(
                "INSERT INTO role_assignments (key, body) VALUES (?, ?) ON CONFLICT (key) DO NOTHING",
                [(seed.id.lower(), json.dumps(asdict(seed))) for seed in seeds],
            )
        rows = database.rows("SELECT key, body FROM role_assignments WHERE body IS NOT NULL ORDER BY rowid")
        self._all = {row["key"]: Assignment(**json.loads(row["body"])) for row in rows}
        self._by_principal: dict[str, list[Assignment]] = {}
        self._index()

    def find(self, assignment_id: str) -> Assignment | None:
        return self._all.get(assignment_id.lower())

    def get(self, assignment_id: str) -> Assignment:
        """Raises NotFoundError, with Azure's code."""
        found = self.find(assignment_id)
        if found is None:
            name = assignment_id.rsplit("/", 1)[-1]
            raise NotFoundError(f"The role assignment '{name}' is not found.", code="RoleAssignmentNotFound")
        return found

    def wanted(self, scope: str, name: str, properties: Json, created_by: str) -> Assignment:
        """The assignment that a PUT describes. Raises BadRequestError for ids that are none, NotFoundError for an
        unknown role, NotImplementedByLocalCloudError for a condition that cannot be enforced.
        """
        role = find_role(str(properties.get("roleDefinitionId") or ""))
        principal, condition = str(properties.get("principalId") or ""), str(properties.get("condition") or "")
        if not _GUID.fullmatch(name):
            raise BadRequestError(
                f"The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID.",
                code="InvalidRoleAssignmentId",
            )
        if not _GUID.fullmatch(principal):
            raise BadRequestError(
                f"The principal ID '{principal}' is not valid. Principal ID must be a GUID.", code="InvalidPrincipalId"
            )
        if role is None:
            raise NotFoundError(
                f"The specified role definition with ID '{properties.get('roleDefinitionId')}' does not exist.",
                code="RoleDefinitionDoesNotExist",
            )
        if condition:
            parse_condition(condition)
        return Assignment(
            scope,
            name.lower(),
            principal.lower(),
            role.guid,
            str(properties.get("principalType") or "ServicePrincipal"),
            condition,
            str(properties.get("description") or ""),
            time.time(),
            created_by,
        )

    def put(self, new: Assignment) -> tuple[Assignment, bool]:
        """Keep an assignment; answers it, and whether it is new. Raises ConflictError when the same principal has the
        same role at the same scope under another name, BadRequestError when this name stands for another.
        """
        existing = self.find(new.id)
        if existing is not None:
            if (existing.principal_id, existing.role_id) != (new.principal_id, new.role_id):
                raise BadRequestError(
                    "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
                    code="RoleAssignmentUpdateNotPermitted",
                )
        else:
            for other in self._by_principal.get(new.principal_id, []):
                if other.role_id == new.role_id and other.scope.lower() == new.scope.lower():
                    raise ConflictError(
                        "The role assignment already exists. The ID of the existing role assignment is "
                        f"{uuid.UUID(other.name).hex}.",
                        code="RoleAssignmentExists",
                    )
        self._keep(new.id, json.dumps(asdict(new)))
        self._all[new.id.lower()] = new
        self._index()
        return new, existing is None

    def delete(self, assignment_id: str) -> None:
        """Raises NotFoundError when there is none."""
        self.get(assignment_id)
        self._keep(assignment_id, None)
        del self._all[assignment_id.lower()]
        self._index()

    def listed(self, scope: str, wanted: str) -> list[Assignment]:
        """The assignments above, at and below a scope. `wanted` is OData's `$filter`: `atScope()` leaves out those
        below, `principalId eq '…'` and `assignedTo('…')` those of others. Raises BadRequestError for any other filter.
        """
        above_only, principals = False, set[str]()
        for part in filter(None, re.split(r"\s+and\s+", wanted.strip(), flags=re.IGNORECASE)):
            match = _FILTER.fullmatch(part.strip())
            if match is None:
                raise BadRequestError(f"The filter '{wanted}' is not supported.", code="UnsupportedQuery")
            above_only |= match[1] is not None
            principals |= {value.lower() for value in match.groups()[1:] if value is not None}
        return [
            each
            for each in self._all.values()
            if all(each.principal_id == principal for principal in principals)
            and (each.covers(scope) or (not above_only and f"{each.scope}/".lower().startswith(f"{scope}/".lower())))
        ]

    def held(self, principal: str, scope: str) -> list[Assignment]:
        """What a principal has at a scope, inherited assignments included."""
        return [each for each in self._by_principal.get(principal.lower(), []) if each.covers(scope)]

    def allows(
        self,
        principal: str,
        action: str,
        scope: str,
        *,
        data: bool = False,
        attributes: Mapping[str, str] | None = None,
    ) -> bool:
        """Whether a principal may do something at a scope. Conditions count where `attributes` are given."""
        return any(
            each.role.allows(action, data=data)
            and (
                attributes is None or not each.condition or permits(parse_condition(each.condition), action, attributes)
            )
            for each in self.held(principal, scope)
        )

    def _keep(self, assignment_id: str, body: str | None) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO role_assignments (key, body) VALUES (?, ?)"
                " ON CONFLICT (key) DO UPDATE SET body = excluded.body",
                (assignment_id.lower(), body),
            )

    def _index(self) -> None:
        self.version += 1
        index = defaultdict(list)
        for each in self._all.values():
            index[each.principal_id].append(each)
        self._by_principal = dict(index)
