"""Who may do what: exactly the roles that docs/architecture.md lists."""

from __future__ import annotations

from typing import Any

import pytest

from shared.provisioning.access import DATA_SCIENTIST
from shared.provisioning.desired import CLUSTER_DATA_ROLES
from tests.unit.infra.deployment import Deployment
from tests.unit.infra.functions import SUBSCRIPTION
from tests.unit.infra.support import REGISTRY, VARIANTS, deploy_main, of_type, only

# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "d5a91429-5739-47e2-a06b-3470a27159e7": "EventGrid Data Sender",
    "1e241071-0855-49ea-94dc-649edcd759de": "EventGrid Contributor",
    "de139f84-1756-47ae-9be6-808fbbe84772": "Website Contributor",
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": "Reader",
    "b24988ac-6180-42a0-ab88-20f7382dd24c": "Contributor",
    "f58310d9-a9f6-439a-9e8d-f62e7b41a168": "Role Based Access Control Administrator",
    "f6c7c914-8db3-469d-8ca1-694a8f32e121": "AzureML Data Scientist",
    "e503ece1-11d0-4e8e-8e2c-7a6c3bf38815": "AzureML Compute Operator",
    "f1a07417-d97a-45cb-824c-7a7467783830": "Managed Identity Operator",
    "7f951dda-4ed3-4680-a7ca-43fe172d538d": "AcrPull",
}
APP, CLUSTER, STORAGE_TOPIC, WORKSPACE_TOPIC = "app", "cluster", "storage topic", "workspace topic"
Assignments = set[tuple[str, str, str]]
# Identity, role, scope.
ALWAYS: Assignments = {
    (APP, "Storage Blob Data Owner", "host account"),
    (APP, "Storage Queue Data Contributor", "host account"),
    (APP, "Storage Table Data Contributor", "host account"),
    (APP, "Storage Blob Data Owner", "data account"),
    (APP, "Storage Queue Data Contributor", "data account"),
    (APP, "Storage Table Data Contributor", "data account"),
    (APP, "Monitoring Metrics Publisher", "application insights"),
    (APP, "EventGrid Data Sender", "custom topic"),
    (APP, "Website Contributor", "function app"),
    (APP, "Reader", "resource group"),
    (APP, "EventGrid Contributor", "resource group"),
    (CLUSTER, "Storage Blob Data Contributor", "data account"),
    (CLUSTER, "Storage Queue Data Contributor", "data account"),
    (CLUSTER, "Storage Table Data Contributor", "data account"),
    (STORAGE_TOPIC, "Storage Blob Data Contributor", "data account"),
}
WITH_WORKSPACE: Assignments = {
    (APP, "AzureML Data Scientist", "workspace"),
    (APP, "AzureML Compute Operator", "workspace"),
    (APP, "Managed Identity Operator", "cluster identity"),
    (CLUSTER, "AzureML Data Scientist", "workspace"),
    (WORKSPACE_TOPIC, "Storage Blob Data Contributor", "data account"),
}
# The app makes the workspace, and gives the roles that its cluster and topic need.
WITHOUT_WORKSPACE: Assignments = {
    (APP, "Contributor", "resource group"),
    (APP, "Role Based Access Control Administrator", "resource group"),
}
QUOTAS: Assignments = {(APP, "LabelLoop quota reader", "subscription")}
REGISTRY_OF_ONES_OWN: Assignments = {(CLUSTER, "AcrPull", "registry")}


def scopes(deployment: Deployment) -> dict[str, str]:
    """Names of the scopes, by id."""
    named = {only(deployment, "Microsoft.Resources/resourceGroups").id: "resource group"}
    for each in deployment.resources:
        match each.type:
            case "Microsoft.Storage/storageAccounts":
                named[each.id] = "host account" if each.name.endswith("host") else "data account"
            case "Microsoft.Insights/components":
                named[each.id] = "application insights"
            case "Microsoft.EventGrid/topics":
                named[each.id] = "custom topic"
            case "Microsoft.Web/sites":
                named[each.id] = "function app"
            case "Microsoft.MachineLearningServices/workspaces":
                named[each.id] = "workspace"
            case "Microsoft.ManagedIdentity/userAssignedIdentities" if each.symbol == "clusterIdentity":
                named[each.id] = "cluster identity"
    return named | {SUBSCRIPTION: "subscription", REGISTRY: "registry"}


def principals(deployment: Deployment) -> dict[str, str]:
    """Names of the identities, by what stands for their object ids."""
    found = {}
    for each in of_type(deployment, "Microsoft.ManagedIdentity/userAssignedIdentities"):
        found[f"<{each.id}>.properties.principalId"] = APP if each.symbol == "appIdentity" else CLUSTER
    for each in of_type(deployment, "Microsoft.EventGrid/systemTopics"):
        is_storage = each.body["properties"]["topicType"] == "Microsoft.Storage.StorageAccounts"
        found[f"<{each.id}>.identity.principalId"] = STORAGE_TOPIC if is_storage else WORKSPACE_TOPIC
    return found


def assignments(deployment: Deployment) -> list[tuple[str, str, str]]:
    """Who gets which role where."""
    roles = ROLES | {
        each.name: "LabelLoop quota reader" for each in of_type(deployment, "Microsoft.Authorization/roleDefinitions")
    }
    who, where = principals(deployment), scopes(deployment)
    return [
        (
            who[each.body["properties"]["principalId"]],
            roles[each.body["properties"]["roleDefinitionId"].rpartition("/")[2]],
            where[each.scope],
        )
        for each in of_type(deployment, "Microsoft.Authorization/roleAssignments")
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ALWAYS | WITH_WORKSPACE | QUOTAS),
        ({"createWorkspace": False}, ALWAYS | WITHOUT_WORKSPACE | QUOTAS),
        ({"allowQuotaChecks": False}, ALWAYS | WITH_WORKSPACE),
        ({"containerRegistryResourceId": REGISTRY}, ALWAYS | WITH_WORKSPACE | QUOTAS | REGISTRY_OF_ONES_OWN),
        ({"privateNetwork": True}, ALWAYS | WITH_WORKSPACE | QUOTAS),
    ],
    ids=["defaults", "no workspace", "no quota checks", "own registry", "private network"],
)
def test_every_identity_gets_exactly_the_roles_that_it_needs(values: dict[str, Any], expected: Assignments) -> None:
    found = assignments(deploy_main(**values))
    assert set(found) == expected
    assert len(found) == len(expected)


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_every_assignment_says_what_kind_of_principal_it_is_for_and_has_its_own_name(values: dict[str, Any]) -> None:
    found = of_type(deploy_main(**values), "Microsoft.Authorization/roleAssignments")
    # Without it Azure looks up a principal that was just made, and may not find it.
    assert {each.body["properties"]["principalType"] for each in found} == {"ServicePrincipal"}
    assert len({each.name for each in found}) == len(found)


def test_an_app_that_makes_the_workspace_may_give_the_roles_that_provisioning_gives_and_no_others() -> None:
    (condition,) = (
        each.body["properties"]["condition"]
        for each in of_type(deploy_main(createWorkspace=False), "Microsoft.Authorization/roleAssignments")
        if "condition" in each.body["properties"]
    )
    roles = ", ".join(each.id for each in (*CLUSTER_DATA_ROLES, DATA_SCIENTIST))
    # Both the giving and the taking away, to managed identities alone:
    # https://learn.microsoft.com/azure/role-based-access-control/delegate-role-assignments-examples
    kind = "Microsoft.Authorization/roleAssignments"
    to = "ForAnyOfAnyValues:StringEqualsIgnoreCase {'ServicePrincipal'}"
    allowed = [
        f"((!(ActionMatches{{'{kind}/{verb}'}})) "
        f"OR ({source}[{kind}:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {{{roles}}} "
        f"AND {source}[{kind}:PrincipalType] {to}))"
        for verb, source in (("write", "@Request"), ("delete", "@Resource"))
    ]
    assert condition == " AND ".join(allowed)


def test_the_quota_reader_reads_and_does_nothing_else(deployment: Deployment) -> None:
    role = only(deployment, "Microsoft.Authorization/roleDefinitions").body["properties"]
    (permissions,) = role["permissions"]
    assert permissions["actions"]
    assert all(each.endswith("/read") for each in permissions["actions"])
    assert not permissions["dataActions"]
    assert role["assignableScopes"] == [SUBSCRIPTION]
