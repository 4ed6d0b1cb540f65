"""AmlCompute clusters: what is kept, what is refused, quotas, and how long things take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import (
    AmlCompute,
    IdentityConfiguration,
    ManagedIdentityConfiguration,
    NetworkSettings,
)
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.machinelearningservices import MachineLearningServicesMgmtClient
from azure.mgmt.machinelearningservices.models import ClusterUpdateParameters, ScaleSettings

from local.config import StackConfig
from tests.contract.cloud.arm import Arm, faults
from tests.contract.cloud.conftest import RunningStack
from tests.contract.cloud.recorder import await_true

T4, H100 = "Standard_NC4as_T4_v3", "Standard_NC40ads_H100_v5"
PROVIDERS = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/labelloop/providers"
SUBNET = f"{PROVIDERS}/Microsoft.Network/virtualNetworks/net/subnets/nodes"
IDENTITY = f"{PROVIDERS}/Microsoft.ManagedIdentity/userAssignedIdentities/nodes"


Make = Callable[..., AmlCompute]


@pytest.fixture
def make(ml: MLClient) -> Iterator[Make]:
    """Makes clusters, which are deleted at the end."""
    names = []

    def make(name: str, size: str = T4, **options: Any) -> AmlCompute:
        names.append(name)
        return ml.compute.begin_create_or_update(AmlCompute(name=name, size=size, **options)).result()

    yield make
    for name in names:
        ml.compute.begin_delete(name).result()


def raw(arm: Arm, name: str) -> dict[str, Any]:
    """The cluster's properties on the wire."""
    found: dict[str, Any] = arm.send("GET", f"{arm.workspace}/computes/{name}").json()["properties"]
    return found


def test_a_cluster_keeps_network_priority_region_and_tags(ml: MLClient, make: Make, arm: Arm) -> None:
    make(
        "kept",
        tier="low_priority",
        location="westeurope",
        max_instances=3,
        network_settings=NetworkSettings(subnet=SUBNET),
        enable_node_public_ip=False,
        ssh_public_access_enabled=False,
        tags={"application": "labelloop"},
    )
    cluster = ml.compute.get("kept")
    assert (cluster.tier, cluster.location, cluster.max_instances) == ("low_priority", "westeurope", 3)
    assert cluster.network_settings.subnet == SUBNET
    assert cluster.enable_node_public_ip is False
    assert cluster.ssh_public_access_enabled is False
    assert cluster.tags == {"application": "labelloop"}
    assert raw(arm, "kept")["properties"]["remoteLoginPortPublicAccess"] == "Disabled"


def test_a_cluster_may_lie_in_another_region_than_its_workspace(ml: MLClient, make: Make) -> None:
    make("far", location="northeurope")
    assert ml.compute.get("far").location == "northeurope"
    with pytest.raises(HttpResponseError, match=r"InvalidPropertyValue.*Standard_NC24ads_A100_v4"):
        make("farther", size="Standard_NC24ads_A100_v4", location="northeurope")
    with pytest.raises(HttpResponseError, match="LocationNotAvailableForResourceType"):
        make("farthest", location="atlantis")


def test_scale_identity_and_tags_can_be_changed_in_place(ml: MLClient, make: Make) -> None:
    make("changed", identity=IdentityConfiguration(type="system_assigned"), tags={"a": "1"})
    nodes = IdentityConfiguration(
        type="user_assigned", user_assigned_identities=[ManagedIdentityConfiguration(resource_id=IDENTITY)]
    )
    make("changed", max_instances=4, idle_time_before_scale_down=60, identity=nodes, tags={"b": "2"})
    cluster = ml.compute.get("changed")
    assert (cluster.max_instances, cluster.idle_time_before_scale_down) == (4, 60)
    assert cluster.identity.type == "user_assigned"
    assert cluster.tags == {"b": "2"}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"size": "Standard_NC8as_T4_v3"}, "vmSize"),
        ({"tier": "low_priority"}, "vmPriority"),
        ({"location": "northeurope"}, "computeLocation"),
        ({"network_settings": NetworkSettings(subnet=SUBNET)}, "subnet"),
    ],
)
def test_what_a_cluster_is_made_of_cannot_be_changed_in_place(make: Make, change: dict[str, Any], what: str) -> None:
    make("fixed")
    with pytest.raises(HttpResponseError, match=f"{what} of compute 'fixed' cannot be changed"):
        make("fixed", **change)


@pytest.mark.parametrize("name", ["1st", "ab", "under_score", "a" * 33])
def test_a_bad_name_is_refused(arm: Arm, name: str) -> None:
    body = {
        "location": "westeurope",
        "properties": {"computeType": "AmlCompute", "properties": {"vmSize": T4}},
    }
    answer = arm.send("PUT", f"{arm.workspace}/computes/{name}", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidComputeName")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"size": H100}, r"NCadsH100v5 family vCPU quota of 0 .* at least 1 .* maps to 40 vCPUs"),
        ({"min_instances": 17, "max_instances": 17}, r"family vCPU quota of 64 .* at least 17 .* maps to 68 vCPUs"),
        ({"tier": "low_priority", "location": "northeurope"}, r"total vCPU quota of 0 .* maps to 4 vCPUs"),
    ],
)
def test_a_cluster_beyond_the_quota_is_refused(ml: MLClient, make: Make, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(HttpResponseError, match=f"ClusterMinNodesExceedCoreQuota.*{reason}"):
        make("greedy", **options)
    with pytest.raises(ResourceNotFoundError):
        ml.compute.get("greedy")


def test_nodes_that_are_up_use_the_quota_of_their_priority(
    management: MachineLearningServicesMgmtClient, make: Make, arm: Arm
) -> None:
    def used() -> dict[str, int]:
        return {
            f"{usage.name.value} {usage.type.split('/')[-2]}": usage.current_value
            for usage in management.usages.list("westeurope")
        }

    before = used()
    make("cheap", tier="low_priority", min_instances=1, max_instances=2)
    after = used()
    changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert changed == {
        "TotalClusters totalCores": 1,
        "TotalLowPriorityCores lowPriorityCores": 4,
        "standardNCASv3_T4Family lowPriorityCores": 4,
    }
    make("cheaper", tier="low_priority", min_instances=4, max_instances=4)
    state = raw(arm, "cheaper")["properties"]
    assert (state["targetNodeCount"], state["currentNodeCount"]) == (4, 3)
    assert state["errors"][0]["error"]["code"] == "ClusterCoreQuotaReached"


def test_a_size_that_has_no_low_priority_gives_a_cluster_without_nodes(make: Make, arm: Arm) -> None:
    make("futile", size=H100, tier="low_priority", location="swedencentral", min_instances=1, max_instances=1)
    state = raw(arm, "futile")
    assert state["provisioningState"] == "Succeeded"
    assert state["properties"]["currentNodeCount"] == 0
    assert state["properties"]["errors"][0]["error"]["code"] == "UnsupportedVMSizeForLowPriority"


def test_making_and_deleting_a_cluster_takes_a_while(ml: MLClient, stack: RunningStack) -> None:
    with faults(stack, {"service": "operations", "path": "*/computes/slow", "delay": 1.0}):
        making = ml.compute.begin_create_or_update(AmlCompute(name="slow", size=T4))
        assert ml.compute.get("slow").provisioning_state == "Creating"
        assert making.result().provisioning_state == "Succeeded"
        deleting = ml.compute.begin_delete("slow")
        assert ml.compute.get("slow").provisioning_state == "Deleting"
        with pytest.raises(HttpResponseError, match="is being deleted"):
            ml.compute.begin_create_or_update(AmlCompute(name="slow", size=T4))
        deleting.result()
    with pytest.raises(ResourceNotFoundError):
        ml.compute.get("slow")
    ml.compute.begin_delete("slow").result()


def test_a_failed_creation_leaves_a_failed_cluster_that_tells_why(
    ml: MLClient, make: Make, stack: RunningStack
) -> None:
    rule = {"service": "operations", "path": "*/computes/unlucky", "error": "AllocationFailed", "times": 1}
    with faults(stack, rule), pytest.raises(HttpResponseError, match="AllocationFailed"):
        make("unlucky")
    failed = ml.compute.get("unlucky")
    assert (failed.provisioning_state, failed.provisioning_errors) == ("Failed", "AllocationFailed")
    assert make("unlucky").provisioning_state == "Succeeded"
    assert ml.compute.get("unlucky").provisioning_errors is None


def test_an_operation_is_followed_by_either_of_its_urls(arm: Arm, stack: RunningStack) -> None:
    body = {"location": "westeurope", "properties": {"computeType": "AmlCompute", "properties": {"vmSize": T4}}}
    path = f"{arm.workspace}/computes/followed"
    with faults(stack, {"service": "operations", "path": "*/computes/followed", "delay": 3, "times": 1}):
        created = arm.send("PUT", path, json=body)
        assert created.status_code == 201
        assert created.headers["Retry-After"] == "1"
        status, result = created.headers["Azure-AsyncOperation"], created.headers["Location"]
        assert arm.send("GET", status).json()["status"] == "InProgress"
        waiting = arm.send("GET", result)
        assert (waiting.status_code, waiting.headers["Retry-After"]) == (202, "1")
        await_true(lambda: arm.send("GET", status).json()["status"] == "Succeeded", "end of the operation")
    assert arm.send("GET", result).json()["properties"]["provisioningState"] == "Succeeded"
    deleted = arm.send("DELETE", path)
    assert deleted.status_code == 202
    await_true(lambda: arm.send("GET", deleted.headers["Location"]).status_code == 204, "end of the deletion")
    assert arm.send("DELETE", path).status_code == 204


def test_the_management_sdk_sees_scales_and_deletes_the_same_clusters(
    make: Make, management: MachineLearningServicesMgmtClient, config: StackConfig, ml: MLClient
) -> None:
    make("shared", max_instances=1)
    operations, place = management.machine_learning_compute, (config.resource_group, config.workspace_name)
    assert "shared" in {each.name for each in operations.list_by_workspace(*place)}
    seen = operations.get(*place, "shared").properties
    assert (seen.compute_type, seen.properties.vm_size, seen.provisioning_state) == ("AmlCompute", T4, "Succeeded")
    wider = ClusterUpdateParameters(scale_settings=ScaleSettings(min_node_count=0, max_node_count=5))
    operations.begin_update(*place, "shared", wider).result()
    assert ml.compute.get("shared").max_instances == 5
    operations.begin_delete(*place, "shared", "Delete").result()
    with pytest.raises(ResourceNotFoundError):
        operations.get(*place, "shared")


def test_a_cluster_that_was_being_made_when_the_cloud_died_is_there_afterwards(
    ml: MLClient, stack: RunningStack, arm: Arm
) -> None:
    body = {"location": "westeurope", "properties": {"computeType": "AmlCompute", "properties": {"vmSize": T4}}}
    with faults(stack, {"service": "operations", "path": "*/computes/survivor", "delay": 60}):
        lost = arm.send("PUT", f"{arm.workspace}/computes/survivor", json=body)
        stack.kill_cloud()
        stack.restart_cloud()
    assert ml.compute.get("survivor").provisioning_state == "Succeeded"
    assert arm.send("GET", lost.headers["Azure-AsyncOperation"]).status_code == 404
    ml.compute.begin_delete("survivor").result()
