"""Management requests without a role for them are refused in Azure's words."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest
import requests
from azure.ai.ml import MLClient
from azure.ai.ml.entities import AmlCompute, IdentityConfiguration, ManagedIdentityConfiguration, Workspace
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError
from azure.eventgrid import EventGridEvent, EventGridPublisherClient
from azure.mgmt.eventgrid import EventGridManagementClient
from azure.mgmt.eventgrid.models import Topic

from local.cloud.access.demands import demand_of
from local.cloud.app import make_cloud
from local.config import StackConfig
from tests.contract.cloud.arm import Arm
from tests.contract.cloud.roles import Somebody, give, take

T4 = "Standard_NC4as_T4_v3"
NOT_ARMS = ("Sign-in", "Publishing", "Administration")
ML = "Microsoft.MachineLearningServices/workspaces"


@pytest.fixture
def somebody(config: StackConfig) -> Somebody:
    """Who has no role at all."""
    return Somebody(config)


@pytest.fixture
def arm(config: StackConfig, somebody: Somebody) -> Arm:
    """Their requests."""
    return Arm(config, somebody)


@pytest.fixture
def their_ml(ml: MLClient, config: StackConfig, somebody: Somebody) -> MLClient:
    return MLClient(somebody, config.subscription_id, config.resource_group, config.workspace_name)


def authorization_failed(answer: requests.Response, somebody: Somebody, action: str, scope: str) -> bool:
    return answer.status_code == 403 and answer.json()["error"] == {
        "code": "AuthorizationFailed",
        "message": f"The client '{somebody.client_id}' with object id '{somebody.object_id}' does not have "
        f"authorization to perform action '{action}' over scope '{scope}' or the scope is invalid. If access was "
        "recently granted, please refresh your credentials.",
    }


def test_without_a_role_nothing_can_be_read_or_changed(arm: Arm, somebody: Somebody, ml: MLClient) -> None:
    site = arm.provider(f"Microsoft.Web/sites/{arm.config.function_app_name}")
    run = f"/history/v1.0{arm.workspace}/runs/any"
    for method, path, action, scope in (
        ("GET", arm.workspace, f"{ML}/read", arm.workspace),
        ("PUT", f"{arm.workspace}/jobs/j", f"{ML}/jobs/write", f"{arm.workspace}/jobs/j"),
        ("DELETE", f"{arm.workspace}/computes/c", f"{ML}/computes/delete", f"{arm.workspace}/computes/c"),
        ("POST", f"{site}/host/default/listKeys", "Microsoft.Web/sites/host/listKeys/action", f"{site}/host/default"),
        ("GET", f"{arm.subscription}/locations", "Microsoft.Resources/subscriptions/locations/read", arm.subscription),
        ("PATCH", run, f"{ML}/experiments/runs/write", arm.workspace),
        (
            "GET",
            f"{arm.account}/providers/Microsoft.Authorization/permissions",
            "Microsoft.Authorization/permissions/read",
            arm.account,
        ),
    ):
        assert authorization_failed(arm.send(method, path, json={}), somebody, action, scope), (method, path)


def test_a_role_is_in_force_below_its_scope_from_its_giving_to_its_taking(
    arm: Arm, somebody: Somebody, config: StackConfig, ml: MLClient
) -> None:
    reader = give(config, somebody.object_id, "Reader", arm.workspace)
    assert arm.send("GET", f"{arm.workspace}/datastores").status_code == 200
    assert arm.send("GET", arm.account).status_code == 403
    assert arm.send("PATCH", arm.workspace, json={}).status_code == 403
    take(config, reader)
    assert arm.send("GET", f"{arm.workspace}/datastores").status_code == 403


def test_a_data_scientist_works_in_the_workspace_and_makes_no_cluster(
    their_ml: MLClient, arm: Arm, somebody: Somebody, config: StackConfig
) -> None:
    give(config, somebody.object_id, "AzureML Data Scientist", arm.workspace)
    assert their_ml.compute.get("gpu-cluster").size == T4
    assert their_ml.datastores.get_default().name == "workspaceblobstore"
    with pytest.raises(HttpResponseError, match=f"'{ML}/computes/write'") as refused:
        their_ml.compute.begin_create_or_update(AmlCompute(name="theirs", size=T4))
    assert refused.value.error is not None
    assert refused.value.error.code == "AuthorizationFailed"
    give(config, somebody.object_id, "AzureML Compute Operator", arm.workspace)
    assert their_ml.compute.begin_create_or_update(AmlCompute(name="theirs", size=T4)).result().size == T4
    their_ml.compute.begin_delete("theirs").result()


def test_an_identity_is_assigned_by_who_may_operate_it(
    their_ml: MLClient, arm: Arm, somebody: Somebody, config: StackConfig
) -> None:
    give(config, somebody.object_id, "AzureML Compute Operator", arm.workspace)
    give(config, somebody.object_id, "Reader", arm.workspace)
    identity = arm.provider("Microsoft.ManagedIdentity/userAssignedIdentities/nodes")
    cluster = AmlCompute(
        name="identified",
        size=T4,
        identity=IdentityConfiguration(
            type="user_assigned", user_assigned_identities=[ManagedIdentityConfiguration(resource_id=identity)]
        ),
    )
    scope = f"{arm.workspace}/computes/identified"
    with pytest.raises(HttpResponseError) as refused:
        their_ml.compute.begin_create_or_update(cluster)
    assert refused.value.error is not None
    assert refused.value.error.code == "LinkedAuthorizationFailed"
    assert (
        f"The client '{somebody.client_id}' with object id '{somebody.object_id}' has permission to perform action "
        f"'{ML}/computes/write' on scope '{scope}'; however, it does not have permission to perform action(s) "
        f"'Microsoft.ManagedIdentity/userAssignedIdentities/assign/action' on the linked scope(s) '{identity}'"
    ) in refused.value.message
    give(config, somebody.object_id, "Managed Identity Operator", identity)
    their_ml.compute.begin_create_or_update(cluster).result()
    their_ml.compute.begin_delete("identified").result()


def test_who_may_deploy_may_not_therefore_make_a_workspace(
    their_ml: MLClient, arm: Arm, somebody: Somebody, config: StackConfig
) -> None:
    group = arm.provider("").removesuffix("/providers/")
    # It has deployments/*, as most roles have.
    give(config, somebody.object_id, "EventGrid Contributor", group)
    give(config, somebody.object_id, "Reader", group)
    workspace = Workspace(name="deployed", location=config.location, storage_account=arm.account)
    with pytest.raises(
        HttpResponseError, match=f"template resource 'deployed' of type '{ML}'.*'{ML}/write'"
    ) as refused:
        their_ml.workspaces.begin_create(workspace).result()
    assert refused.value.status_code == 403


def test_events_are_published_by_data_senders_and_by_who_has_a_key(
    arm: Arm, somebody: Somebody, config: StackConfig, event_grid: EventGridManagementClient
) -> None:
    topic = event_grid.topics.begin_create_or_update(
        config.resource_group, f"senders-{uuid.uuid4().hex[:8]}", Topic(location=config.location)
    ).result()
    event = EventGridEvent("subject", "Some.Type", {}, "1")
    send = {"connection_verify": str(config.certificate)}
    with EventGridPublisherClient(str(topic.endpoint), somebody, **send) as publisher:
        with pytest.raises(HttpResponseError, match=f"permission to send data to {topic.id}") as refused:
            publisher.send(event)
        assert refused.value.status_code == 403
        give(config, somebody.object_id, "EventGrid Data Sender", str(topic.id))
        publisher.send(event)
    key = event_grid.topics.list_shared_access_keys(config.resource_group, str(topic.name)).key1
    with EventGridPublisherClient(str(topic.endpoint), AzureKeyCredential(str(key)), **send) as publisher:
        publisher.send(event)
    event_grid.topics.begin_delete(config.resource_group, str(topic.name)).result()


def test_every_operation_needs_an_action_but_the_state_of_long_running_ones(tmp_path: Path) -> None:
    async def templates() -> list[tuple[str, str]]:
        cloud = make_cloud(StackConfig.load_or_create(tmp_path))
        try:
            open_to_others = ("Sign-in and discovery", "Publishing to Event Grid")
            groups = [
                g for g in cloud.route_groups() if g.title not in open_to_others and "admin" not in g.title.lower()
            ]
            return [(route.method, route.template) for group in groups for route in group.routes]
        finally:
            await cloud.close()

    found = {}
    for method, template in asyncio.run(templates()):
        path = template.replace("{scope}", "/subscriptions/s").replace("{", "").replace("}", "")
        found[method, template] = demand_of(method, path)
    is_open = {template.rsplit("/", 2)[1] for (_, template), demand in found.items() if demand is None}
    assert is_open == {"operationsStatus", "operationResults"}
    actions = {demand.action for demand in found.values() if demand}
    assert {f"{ML}/jobs/cancel/action", "Microsoft.EventGrid/topics/listKeys/action"} <= actions
    assert len(actions) > 60
