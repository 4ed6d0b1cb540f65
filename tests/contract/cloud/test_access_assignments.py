"""Role assignments and definitions, through the unmodified management SDK."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.authorization.models import RoleAssignmentCreateParameters

from local.cloud.access.roles import role_named
from local.cloud.identity import APP_CLIENT_ID
from local.config import StackConfig
from tests.contract.cloud.arm import Arm
from tests.contract.cloud.conftest import RunningStack
from tests.contract.cloud.roles import Owner, Somebody, give, take

BLOB_CONTRIBUTOR = "Storage Blob Data Contributor"
Manage = Callable[[Somebody], AuthorizationManagementClient]


@pytest.fixture
def manage(stack: RunningStack) -> Iterator[Manage]:
    clients = []

    def client(somebody: Somebody) -> AuthorizationManagementClient:
        config = stack.config
        clients.append(
            AuthorizationManagementClient(
                somebody,
                config.subscription_id,
                base_url=config.arm_url,
                credential_scopes=[f"{config.arm_url}/.default"],
                api_version="2022-04-01",
            )
        )
        return clients[-1]

    yield client
    for each in clients:
        each.close()


@pytest.fixture
def authorization(manage: Manage, config: StackConfig) -> AuthorizationManagementClient:
    """The owner's client."""
    return manage(Owner(config))


@pytest.fixture
def group(config: StackConfig) -> str:
    return f"/subscriptions/{config.subscription_id}/resourceGroups/{config.resource_group}"


@pytest.fixture
def account(group: str, config: StackConfig) -> str:
    return f"{group}/providers/Microsoft.Storage/storageAccounts/{config.account_name}"


def wanted(role: str, principal: str, **more: Any) -> RoleAssignmentCreateParameters:
    definition = f"/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions/{role_named(role).guid}"
    kind = "ServicePrincipal"
    return RoleAssignmentCreateParameters(
        role_definition_id=definition, principal_id=principal, principal_type=kind, **more
    )


def test_an_assignment_can_be_made_at_every_kind_of_scope_read_and_deleted(
    authorization: AuthorizationManagementClient, group: str, account: str
) -> None:
    principal = str(uuid.uuid4())
    for scope in (group.rsplit("/resourceGroups", 1)[0], group, account):
        name = str(uuid.uuid4())
        made = authorization.role_assignments.create(scope, name, wanted("Reader", principal))
        assert made.id == f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"
        assert (made.scope, made.principal_id, made.principal_type) == (scope, principal, "ServicePrincipal")
        assert made.role_definition_id.endswith(f"/roleDefinitions/{role_named('Reader').guid}")
        assert authorization.role_assignments.get(scope, name).id == made.id
        assert authorization.role_assignments.get_by_id(made.id).id == made.id
        assert authorization.role_assignments.delete(scope, name).id == made.id
        assert authorization.role_assignments.delete(scope, name) is None
        with pytest.raises(ResourceNotFoundError, match=f"role assignment '{name}' is not found"):
            authorization.role_assignments.get(scope, name)


def test_the_same_put_again_is_the_same_assignment_and_another_name_is_a_conflict(
    authorization: AuthorizationManagementClient, config: StackConfig, account: str
) -> None:
    principal, name = str(uuid.uuid4()), str(uuid.uuid4())
    assignments, body = authorization.role_assignments, wanted(BLOB_CONTRIBUTOR, principal)
    first = assignments.create(account, name, body)
    again = assignments.create(account.upper().replace("/SUBSCRIPTIONS", "/subscriptions"), name, body)
    assert (again.id, again.created_on) == (first.id, first.created_on)
    with pytest.raises(ResourceExistsError, match=f"existing role assignment is {uuid.UUID(name).hex}") as conflict:
        assignments.create(account, str(uuid.uuid4()), body)
    assert conflict.value.error
    assert conflict.value.error.code == "RoleAssignmentExists"
    with pytest.raises(HttpResponseError, match="not allowed to be updated") as refused:
        assignments.create(account, name, wanted(BLOB_CONTRIBUTOR, str(uuid.uuid4())))
    assert refused.value.error
    assert (refused.value.status_code, refused.value.error.code) == (400, "RoleAssignmentUpdateNotPermitted")
    path = f"{account}/providers/Microsoft.Authorization/roleAssignments/{name}"
    properties = {"roleDefinitionId": first.role_definition_id, "principalId": principal, "description": "why"}
    answer = Arm(config).send("PUT", path, "2022-04-01", json={"properties": properties})
    assert (answer.status_code, answer.json()["properties"]["description"]) == (200, "why")


@pytest.mark.parametrize(
    ("name", "change", "code"),
    [
        ("not-a-guid", {}, "InvalidRoleAssignmentId"),
        (None, {"principal_id": "somebody"}, "InvalidPrincipalId"),
        (None, {"role_definition_id": f"/x/roleDefinitions/{uuid.UUID(int=0)}"}, "RoleDefinitionDoesNotExist"),
        (None, {"condition": "true", "condition_version": "2.0"}, "NotImplemented"),
    ],
)
def test_what_makes_no_sense_is_refused(
    authorization: AuthorizationManagementClient, account: str, name: str | None, change: dict[str, str], code: str
) -> None:
    body = wanted("Reader", str(uuid.uuid4()))
    for key, value in change.items():
        setattr(body, key, value)
    with pytest.raises(HttpResponseError) as refused:
        authorization.role_assignments.create(account, name or str(uuid.uuid4()), body)
    assert refused.value.error is not None
    assert refused.value.error.code == code


def test_assignments_are_listed_above_at_and_below_a_scope_or_without_those_below(
    authorization: AuthorizationManagementClient, config: StackConfig, group: str, account: str
) -> None:
    principal = str(uuid.uuid4())
    above = give(config, principal, "Reader", group.rsplit("/resourceGroups", 1)[0])
    at = give(config, principal, "Reader", group)
    below = give(config, principal, "Reader", account)
    beside = give(config, principal, "Reader", f"{group}-other")
    somebody_else = give(config, str(uuid.uuid4()), "Reader", group)

    def listed(scope: str, wanted: str | None) -> list[str]:
        mine = {above, at, below, beside, somebody_else}
        found = authorization.role_assignments.list_for_scope(scope, filter=wanted)
        return [str(each.id) for each in found if each.id in mine]

    assert listed(group, None) == [above, at, below, somebody_else]
    assert listed(group, "atScope()") == [above, at, somebody_else]
    assert listed(group, f"principalId eq '{principal}'") == [above, at, below]
    assert listed(group, f"atScope() and assignedTo('{principal}')") == [above, at]
    assert listed(account, f"assignedTo('{principal.upper()}')") == [above, at, below]
    of_group = authorization.role_assignments.list_for_resource_group(
        config.resource_group, filter=f"principalId eq '{principal}'"
    )
    assert [each.id for each in of_group] == [above, at, below]
    with pytest.raises(HttpResponseError, match=r"filter 'asScope\(\)' is not supported"):
        listed(group, "asScope()")


def test_role_definitions_are_found_by_name_and_by_id(authorization: AuthorizationManagementClient, group: str) -> None:
    (found,) = authorization.role_definitions.list(group, filter="roleName eq 'AzureML Data Scientist'")
    assert found.permissions is not None
    assert "Microsoft.MachineLearningServices/workspaces/write" in (found.permissions[0].not_actions or [])
    assert authorization.role_definitions.get(group, str(found.name)).role_name == "AzureML Data Scientist"
    (custom,) = authorization.role_definitions.list(group, filter="type eq 'CustomRole'")
    assert custom.role_name == "LabelLoop quota reader"
    assert len(list(authorization.role_definitions.list(group))) > 15
    with pytest.raises(ResourceNotFoundError):
        authorization.role_definitions.get(group, str(uuid.uuid4()))
    with pytest.raises(HttpResponseError, match="is not supported"):
        list(authorization.role_definitions.list(group, filter="name eq 'Reader'"))


def test_somebody_is_told_what_they_may_do_at_a_scope(
    manage: Manage, config: StackConfig, group: str, account: str
) -> None:
    somebody = Somebody(config)
    give(config, somebody.object_id, "Reader", group)
    give(config, somebody.object_id, BLOB_CONTRIBUTOR, account)
    permissions = manage(somebody).permissions
    assert [each.actions for each in permissions.list_for_resource_group(config.resource_group)] == [["*/read"]]
    at_account = permissions.list_for_resource(
        config.resource_group, "Microsoft.Storage", f"storageAccounts/{config.account_name}", "blobServices", "default"
    )
    assert [bool(each.data_actions) for each in at_account] == [False, True]


def test_the_app_may_give_the_data_roles_and_no_others(manage: Manage, config: StackConfig, account: str) -> None:
    assignments = manage(Somebody(config, APP_CLIENT_ID)).role_assignments
    for role in (BLOB_CONTRIBUTOR, "AzureML Data Scientist"):
        made = assignments.create(account, str(uuid.uuid4()), wanted(role, str(uuid.uuid4())))
        assert assignments.delete_by_id(str(made.id)) is not None
    with pytest.raises(HttpResponseError, match="roleAssignments/write'") as refused:
        assignments.create(account, str(uuid.uuid4()), wanted("Owner", str(uuid.uuid4())))
    assert refused.value.status_code == 403
    of_somebody = give(config, str(uuid.uuid4()), "Reader", account)
    with pytest.raises(HttpResponseError, match="roleAssignments/delete'"):
        assignments.delete_by_id(of_somebody)


def test_roles_and_their_loss_outlive_a_restart(
    stack: RunningStack, authorization: AuthorizationManagementClient, group: str
) -> None:
    config, principal = stack.config, str(uuid.uuid4())
    kept, lost = give(config, principal, "Reader", group), give(config, principal, "Contributor", group)
    take(config, lost)
    app = Somebody(config, APP_CLIENT_ID).object_id
    (seed,) = [
        each
        for each in authorization.role_assignments.list_for_scope(
            f"{group}/providers/Microsoft.Web/sites/{config.function_app_name}", filter=f"assignedTo('{app}')"
        )
        if str(each.role_definition_id).endswith(role_named("Website Contributor").guid)
    ]
    take(config, str(seed.id))
    try:
        stack.kill_cloud()
        stack.restart_cloud()
        found = [each.id for each in authorization.role_assignments.list_for_scope(group)]
        assert kept in found
        assert lost not in found
        assert seed.id not in found
    finally:
        give(config, app, "Website Contributor", str(seed.scope))
