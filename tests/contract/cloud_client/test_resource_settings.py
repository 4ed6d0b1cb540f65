"""Every setting of the workspace and of the cluster reaches the resource that it is about."""

from __future__ import annotations

from shared.provisioning.compute import Cluster, find_compute
from shared.provisioning.workspace import MachineLearningWorkspace, find_workspace
from tests.contract.local_stack import MakeClients


def test_a_cluster_is_made_as_its_settings_say(make: MakeClients, provisioned: None) -> None:
    group = make().settings.resource_group_id
    subnet = f"{group}/providers/Microsoft.Network/virtualNetworks/net/subnets/nodes"
    clients = make(
        compute_name="another",
        compute_size="Standard_NC24ads_A100_v4",
        compute_min_nodes=1,
        compute_max_nodes=2,
        compute_idle_seconds=900,
        compute_location="swedencentral",
        compute_priority="LowPriority",
        compute_subnet_resource_id=subnet,
    )
    cluster = Cluster(clients, MachineLearningWorkspace(clients))
    assert cluster.actual() is None
    cluster.make()
    try:
        assert cluster.actual() == cluster.desired()
        found = find_compute(clients)
        assert found is not None
        assert (found.size, found.tier, found.location) == ("Standard_NC24ads_A100_v4", "low_priority", "swedencentral")
        assert (found.min_instances, found.max_instances, found.idle_time_before_scale_down) == (1, 2, 900)
        assert (found.network_settings.subnet, found.enable_node_public_ip) == (subnet, False)
    finally:
        cluster.delete()
    assert cluster.actual() is None


def test_a_new_workspace_takes_the_resources_that_the_settings_name(make: MakeClients, provisioned: None) -> None:
    group = make().settings.resource_group_id
    named = {
        "key_vault": f"{group}/providers/Microsoft.KeyVault/vaults/vault",
        "application_insights": f"{group}/providers/Microsoft.Insights/components/insights",
        "container_registry": f"{group}/providers/Microsoft.ContainerRegistry/registries/images",
    }
    resources = {f"{name}_resource_id": value for name, value in named.items()}
    clients = make(azureml_workspace_name="another", workspace_data_isolation="true", **resources)
    workspace = MachineLearningWorkspace(clients)
    workspace.make()
    try:
        found = find_workspace(clients)
        assert found is not None
        assert {name: getattr(found, name) for name in named} == named
        assert found.enable_data_isolation is True
        assert workspace.actual() == workspace.desired()
    finally:
        workspace.delete()
    assert find_workspace(clients) is None
