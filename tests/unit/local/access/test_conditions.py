"""Conditions that constrain who may give which roles."""

from __future__ import annotations

import pytest

from local.cloud.access.conditions import parse_condition, permits
from local.cloud.access.seeds import ONLY_DATA_ROLES
from local.cloud.errors import NotImplementedByLocalCloudError

ASSIGNMENTS = "Microsoft.Authorization/roleAssignments"
BLOB, OWNER = "ba92f5b4-2d11-453d-a403-e96b0029c9fe", "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
# As the portal writes it.
PORTAL = f"""
(
 (
  !(ActionMatches{{'{ASSIGNMENTS}/write'}})
 )
 OR
 (
  @Request[{ASSIGNMENTS}:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {{{BLOB.upper()}}}
  AND
  @Request[{ASSIGNMENTS}:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {{'ServicePrincipal', 'Group'}}
 )
)
"""


def attributes(source: str, role: str, kind: str = "ServicePrincipal") -> dict[str, str]:
    return {f"{source}:roledefinitionid": role, f"{source}:principaltype": kind}


def test_only_the_named_roles_may_be_given_to_the_named_kinds_of_principal() -> None:
    clauses, write = parse_condition(PORTAL), f"{ASSIGNMENTS}/write"
    assert permits(clauses, write, attributes("request", BLOB))
    assert not permits(clauses, write, attributes("request", OWNER))
    assert not permits(clauses, write, attributes("request", BLOB, "User"))
    assert not permits(clauses, write, {})


def test_other_actions_are_not_constrained() -> None:
    clauses = parse_condition(PORTAL)
    assert permits(clauses, f"{ASSIGNMENTS}/delete", attributes("resource", OWNER))
    assert permits(clauses, "Microsoft.Web/sites/write", {})


def test_the_apps_condition_constrains_giving_and_taking() -> None:
    clauses = parse_condition(ONLY_DATA_ROLES)
    for verb, source in (("write", "request"), ("delete", "resource")):
        assert permits(clauses, f"{ASSIGNMENTS}/{verb}", attributes(source, BLOB))
        assert not permits(clauses, f"{ASSIGNMENTS}/{verb}", attributes(source, OWNER))


@pytest.mark.parametrize(
    "text",
    [
        "true",
        "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringEquals 'images'",
        PORTAL.replace("AND", "OR"),
        PORTAL.replace("PrincipalType", "PrincipalName"),
        PORTAL + "AND true",
    ],
)
def test_a_condition_that_cannot_be_enforced_is_refused(text: str) -> None:
    with pytest.raises(NotImplementedByLocalCloudError, match="cannot enforce the condition"):
        parse_condition(text)
