"""What the app's identity may do: refused with the command that helps, and enough with what Bicep gives. In order."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Workspace
from azure.core.exceptions import HttpResponseError

from local.cloud.access.roles import role_named
from shared.clients import Clients
from shared.provisioning import plan_report, provisioning_report
from tests.contract.cloud.arm import Arm
from tests.contract.cloud.roles import Owner, give, take
from tests.contract.local_stack import Cloud, MakeClients, problems, provision

# What infra/modules/roles.bicep gives the app where Bicep makes the workspace (createWorkspace), besides what it needs
# of storage, which the stack starts with: role → where.
BICEP = {
    "Reader": "group",
    "EventGrid Contributor": "group",
    "AzureML Data Scientist": "workspace",
    "AzureML Compute Operator": "workspace",
    "Website Contributor": "app",
    "Managed Identity Operator": "identity",
}
STORAGE = ("Storage Blob Data Owner", "Storage Queue Data Contributor", "Storage Table Data Contributor")
AUTHORIZATION = "providers/Microsoft.Authorization/roleAssignments"


def refusals(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in plan["checks"] if each["state"] == "refused"]


@pytest.fixture
def arm(cloud: Cloud) -> Arm:
    """Somebody who may do everything."""
    return Arm(cloud.stack.config)


def identity_of_nodes(clients: Clients) -> str:
    return f"{clients.settings.resource_group_id}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/nodes"


def take_all(arm: Arm, clients: Clients) -> None:
    """Leave the app's identity with what it may do to storage alone."""
    held = arm.send("GET", f"{arm.group()}/{AUTHORIZATION}", "2022-04-01").json()["value"]
    principal = clients.principal.object_id
    kept = {role_named(name).guid for name in STORAGE}
    for each in held:
        role = each["properties"]["roleDefinitionId"].rsplit("/", 1)[-1]
        if each["properties"]["principalId"] == principal and role not in kept:
            take(arm.config, each["id"])


def test_without_any_role_every_role_is_named_with_the_command_that_gives_it(
    cloud: Cloud, clients: Clients, arm: Arm
) -> None:
    take_all(arm, clients)
    plan = plan_report(clients)
    assert plan["state"] == "blocked"
    group = clients.settings.resource_group_id
    wanted = {
        ("Reader", group),
        ("AzureML Data Scientist", group),
        ("AzureML Compute Operator", group),
        ("EventGrid Contributor", group),
    }
    given = set()
    for check in refusals(plan):
        command = shlex.split(check["remedy"])
        options = dict(zip(command[4::2], command[5::2], strict=True))
        assert command[:4] == ["az", "role", "assignment", "create"]
        assert options["--assignee-object-id"] == clients.principal.object_id
        assert options["--assignee-principal-type"] == "ServicePrincipal"
        given.add((options["--role"], options["--scope"]))
    assert given == wanted
    unchecked = [each["message"] for each in plan["checks"] if each["state"] == "unchecked"]
    assert any(clients.function_app_id in each for each in unchecked), "what the app may do there it may not even ask"
    assert provision(clients)["state"] == "failed"
    assert {each["state"] for each in provisioning_report(clients)["resources"]} <= {"pending", "ready"}


def test_the_commands_are_enough_for_a_workspace_that_the_app_makes(clients: Clients, arm: Arm) -> None:
    rounds = 0
    while found := refusals(plan_report(clients)):
        for check in found:
            command = shlex.split(check["remedy"])
            options = dict(zip(command[4::2], command[5::2], strict=True))
            give(arm.config, options["--assignee-object-id"], options["--role"], options["--scope"])
        rounds += 1
    assert rounds == 2, "that there is no workspace yet is seen with the first roles"
    report = provision(clients)
    roles = {key: why for key, why in problems(report).items() if not key.startswith("event-subscription")}
    assert all(key.startswith("role-assignment:") for key in roles), problems(report)
    assert len(roles) == 6, "what nobody gave: the right to give roles"
    for why in roles.values():
        assert "the app may not give '" in why
    assert all(
        why.startswith("waits for role-assignment:") for key, why in problems(report).items() if key not in roles
    ), "Event Grid wants the role before the subscription"
    for why in roles.values():
        command = shlex.split(why.partition("must do it: ")[2])
        options = dict(zip(command[4::2], command[5::2], strict=True))
        give(arm.config, options["--assignee-object-id"], options["--role"], options["--scope"])
    report = provision(clients)
    assert report["state"] == "ready", problems(report)


def test_what_bicep_gives_is_enough_where_bicep_makes_the_workspace(cloud: Cloud, make: MakeClients, arm: Arm) -> None:
    config = cloud.stack.config
    clients = make(azureml_workspace_name="made-by-bicep")
    clients = make(azureml_workspace_name="made-by-bicep", compute_identity=identity_of_nodes(clients))
    take_all(arm, clients)
    owner = MLClient(
        Owner(config), config.subscription_id, config.resource_group, clients.settings.azureml_workspace_name
    )
    owner.workspaces.begin_create(
        Workspace(
            name="made-by-bicep",
            location=config.location,
            storage_account=clients.account_resource_id,
            system_datastores_auth_mode="identity",
        )
    ).result()
    places = {
        "group": clients.settings.resource_group_id,
        "workspace": clients.settings.workspace_id,
        "app": clients.function_app_id,
        "identity": clients.settings.compute_identity,
    }
    for role, place in BICEP.items():
        give(config, clients.principal.object_id, role, places[place])
    assert refusals(plan_report(clients)) == []
    report = provision(clients)
    left = {key: why for key, why in problems(report).items() if key.startswith("role-assignment:")}
    # Bicep gives these, too: to the cluster's identity, which it makes, and to the topics'.
    for why in left.values():
        command = shlex.split(why.partition("must do it: ")[2])
        options = dict(zip(command[4::2], command[5::2], strict=True))
        give(config, options["--assignee-object-id"], options["--role"], options["--scope"])
    report = provision(clients)
    assert report["state"] == "ready", problems(report)
    assert plan_report(clients)["state"] == "unchanged"


def test_a_role_that_is_lost_is_reported_by_the_next_plan(make: MakeClients, arm: Arm) -> None:
    clients = make(azureml_workspace_name="made-by-bicep")
    held = arm.send("GET", f"{arm.group()}/{AUTHORIZATION}", "2022-04-01").json()["value"]
    reader = next(
        each["id"]
        for each in held
        if each["properties"]["principalId"] == clients.principal.object_id
        and each["properties"]["roleDefinitionId"].endswith("acdd72a7-3385-48ef-bd42-f606fba81ae7")
    )
    take(arm.config, reader)
    plan = plan_report(clients)
    assert plan["state"] == "blocked"
    assert "lacks the role Reader" in refusals(plan)[0]["message"]


def test_the_identity_can_do_no_more_than_it_was_given(make: MakeClients) -> None:
    clients = make(azureml_workspace_name="made-by-bicep")
    with pytest.raises(HttpResponseError, match="AuthorizationFailed"):
        clients.ml.workspaces.begin_delete("made-by-bicep", delete_dependent_resources=False).result()
