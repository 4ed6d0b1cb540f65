"""Who may do what: exactly the roles that docs/architecture.md lists."""

from __future__ import annotations

import re
from typing import Any

import pytest

from local.cloud.access import seeds
from local.cloud.identity import APP_CLIENT_ID
from shared.provisioning.access import DATA_SCIENTIST, REGISTRY_PULL
from shared.provisioning.desired import CLUSTER_DATA_ROLES
from tests.unit.infra.deployment import Deployment
from tests.unit.infra.functions import SUBSCRIPTION
from tests.unit.infra.support import VARIANTS, deploy_main, of_type, only

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
    "4d97b98b-1d4f-4787-a291-c67834d212e7": "Network Contributor",
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
    (APP, "Reader", "resource group"),
    (CLUSTER, "Storage Blob Data Contributor", "data account"),
    (CLUSTER, "Storage Queue Data Contributor", "data account"),
    (CLUSTER, "Storage Table Data Contributor", "data account"),
}
OWN_ACCOUNT: Assignments = {(STORAGE_TOPIC, "Storage Blob Data Contributor", "data account")}
PROVISIONING: Assignments = {
    (APP, "EventGrid Contributor", "resource group"),
    (APP, "Website Contributor", "function app"),
}
WITH_WORKSPACE: Assignments = {
    (APP, "AzureML Data Scientist", "workspace"),
    (CLUSTER, "AzureML Data Scientist", "workspace"),
    (WORKSPACE_TOPIC, "Storage Blob Data Contributor", "data account"),
}
CLUSTER_BY_APP: Assignments = {
    (APP, "AzureML Compute Operator", "workspace"),
    (APP, "Managed Identity Operator", "cluster identity"),
}
# What the app makes gets its roles from the app.
GIVING: Assignments = {(APP, "Role Based Access Control Administrator", "resource group")}
WORKSPACE_BY_APP: Assignments = {(APP, "Contributor", "resource group"), *GIVING}
WORKSPACE_BY_OTHERS: Assignments = {
    (APP, "AzureML Data Scientist", "resource group"),
    (CLUSTER, "AzureML Data Scientist", "resource group"),
}
QUOTAS: Assignments = {(APP, "LabelLoop quota reader", "subscription")}
DEFAULTS = ALWAYS | OWN_ACCOUNT | PROVISIONING | WITH_WORKSPACE | CLUSTER_BY_APP | QUOTAS


def scopes(deployment: Deployment) -> dict[str, str]:
    """Names of the scopes, by id."""
    group = only(deployment, "Microsoft.Resources/resourceGroups").id
    named = {group: "resource group", SUBSCRIPTION: "subscription"}
    if account := deployment.values["dataAccountName"]:
        named[f"{group}/providers/Microsoft.Storage/storageAccounts/{account}"] = "data account"
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
            case "Microsoft.Network/virtualNetworks":
                named[f"{each.id}/subnets/cluster"] = "cluster subnet"
    return named


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
        ({}, DEFAULTS),
        ({"createWorkspace": False}, ALWAYS | OWN_ACCOUNT | PROVISIONING | WORKSPACE_BY_APP | QUOTAS),
        ({"allowQuotaChecks": False}, DEFAULTS - QUOTAS),
        ({"privateNetwork": True}, DEFAULTS | {(APP, "Network Contributor", "cluster subnet")}),
        ({"provisioning": "disabled"}, ALWAYS | OWN_ACCOUNT | WITH_WORKSPACE | QUOTAS),
        ({"provisioning": "disabled", "privateNetwork": True}, ALWAYS | OWN_ACCOUNT | WITH_WORKSPACE | QUOTAS),
        ({"dataAccountName": "theirs"}, (DEFAULTS - OWN_ACCOUNT) | GIVING),
        (
            {"dataAccountName": "theirs", "createWorkspace": False},
            ALWAYS | PROVISIONING | WORKSPACE_BY_APP | QUOTAS,
        ),
        (
            {"dataAccountName": "theirs", "createWorkspace": False, "provisioning": "disabled"},
            ALWAYS | WORKSPACE_BY_OTHERS | QUOTAS,
        ),
    ],
    ids=[
        "defaults",
        "the app makes the workspace",
        "no quota checks",
        "private network",
        "no provisioning",
        "no provisioning, private network",
        "existing account",
        "existing account and workspace",
        "existing account and workspace, no provisioning",
    ],
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
    roles = ", ".join(each.id for each in (*CLUSTER_DATA_ROLES, DATA_SCIENTIST, REGISTRY_PULL))
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
    assert guids(seeds.ONLY_DATA_ROLES) == guids(condition)


def guids(condition: str) -> list[str]:
    """The roles that a condition names."""
    return re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", condition)


def of_app(deployment: Deployment) -> Assignments:
    """The app's roles, where host and data have one account."""
    found = assignments(deployment)
    return {(who, role, where.replace("host", "data")) for who, role, where in found if who == APP}


def test_the_local_cloud_starts_with_the_roles_that_bicep_gives_an_app_that_makes_the_workspace() -> None:
    places = {
        seeds.ACCOUNT: "data account",
        seeds.INSIGHTS: "application insights",
        seeds.TOPIC: "custom topic",
        seeds.SITE: "function app",
        seeds.GROUP: "resource group",
        seeds.SUBSCRIPTION: "subscription",
    }
    held = {(APP, each.role, places[each.scope]) for each in seeds.SEEDS if each.client_id == APP_CLIENT_ID}
    assert held == of_app(deploy_main(createWorkspace=False))


# azure-ai-ml's own schemas.
@pytest.mark.filterwarnings("ignore::marshmallow.warnings.RemovedInMarshmallow4Warning")
@pytest.mark.filterwarnings("ignore::marshmallow.warnings.ChangedInMarshmallow4Warning")
def test_provisioning_is_tested_with_the_roles_that_bicep_gives_where_it_makes_the_workspace(
    deployment: Deployment,
) -> None:
    from tests.contract.provisioning.test_roles import BICEP, STORAGE

    places = {
        "group": "resource group",
        "workspace": "workspace",
        "app": "function app",
        "identity": "cluster identity",
    }
    tested = {(APP, role, places[place]) for role, place in BICEP.items()}
    tested |= {(APP, role, "data account") for role in STORAGE}
    # What provisioning does not need: to send announcements and telemetry, and to look at quotas, which it may leave.
    besides = {"EventGrid Data Sender", "Monitoring Metrics Publisher", "LabelLoop quota reader"}
    assert {each for each in of_app(deployment) if each[1] not in besides} == tested


def test_the_quota_reader_reads_and_does_nothing_else(deployment: Deployment) -> None:
    role = only(deployment, "Microsoft.Authorization/roleDefinitions").body["properties"]
    (permissions,) = role["permissions"]
    assert permissions["actions"]
    assert all(each.endswith("/read") for each in permissions["actions"])
    assert not permissions["dataActions"]
    assert role["assignableScopes"] == [SUBSCRIPTION]
