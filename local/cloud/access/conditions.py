"""Conditions of role assignments, in the one shape that constrains who may give which roles.

https://learn.microsoft.com/azure/role-based-access-control/delegate-role-assignments-examples: a conjunction of clauses
"not this action, or these attributes are among those".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from local.cloud.access.roles import matches
from local.cloud.errors import NotImplementedByLocalCloudError

_CLAUSE = re.compile(r"\(\(!\(ActionMatches\{'([^']+)'\}\)\)OR\(([^()]*)\)\)")
_ATTRIBUTE = re.compile(
    r"@(Request|Resource)\[Microsoft\.Authorization/roleAssignments:(RoleDefinitionId|PrincipalId|PrincipalType)\]"
    r"ForAnyOfAnyValues:(?:GuidEquals|StringEqualsIgnoreCase)\{([^}]*)\}",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Clause:
    """Where `action` matches, each attribute (`request:roledefinitionid`, …) must be one of its values."""

    action: str
    allowed: Mapping[str, frozenset[str]]


def parse_condition(text: str) -> tuple[Clause, ...]:
    """The clauses of a condition. Raises NotImplementedByLocalCloudError for any other shape, since a condition that is
    kept and not enforced would give more rights than Azure does.
    """
    bare = re.sub(r"\s+", "", text)
    clauses = _CLAUSE.findall(bare)
    if "AND".join(f"((!(ActionMatches{{'{action}'}}))OR({rest}))" for action, rest in clauses) != bare or not clauses:
        raise _unknown(text)
    return tuple(Clause(action, _attributes(rest, text)) for action, rest in clauses)


def _attributes(expression: str, text: str) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for part in expression.split("AND@"):
        match = _ATTRIBUTE.fullmatch(part if part.startswith("@") else f"@{part}")
        if match is None:
            raise _unknown(text)
        source, name, values = match.groups()
        found[f"{source}:{name}".lower()] = frozenset(value.strip("'").lower() for value in values.split(","))
    return found


def permits(clauses: tuple[Clause, ...], action: str, attributes: Mapping[str, str]) -> bool:
    """Whether a condition lets an action pass. `attributes` are those of the assignment that is made or taken away."""
    return all(
        attributes.get(name, "").lower() in values
        for clause in clauses
        if matches(clause.action, action)
        for name, values in clause.allowed.items()
    )


def _unknown(text: str) -> NotImplementedByLocalCloudError:
    return NotImplementedByLocalCloudError(
        f"The local cloud cannot enforce the condition '{text}'. It knows conditions of the form ((!(ActionMatches{{'"
        "Microsoft.Authorization/roleAssignments/write'})) OR (@Request[Microsoft.Authorization/roleAssignments:"
        "RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {guid, …})), joined by AND."
    )
