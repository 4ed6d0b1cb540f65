"""What provisioning makes in Azure ML, through the unmodified SDK."""

from __future__ import annotations

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import (
    AmlCompute,
    AzureBlobDatastore,
    IdentityConfiguration,
    ManagedIdentityConfiguration,
    Workspace,
)
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient

from local.config import StackConfig


def test_a_new_workspace_has_its_datastores_and_containers(
    ml: MLClient, blobs: BlobServiceClient, config: StackConfig
) -> None:
    workspace = ml.workspaces.get(config.workspace_name)
    assert workspace.location == config.location
    assert workspace.tags["application"] == "labelloop"
    names = {store.name for store in ml.datastores.list()}
    assert {"workspaceblobstore", "workspaceartifactstore", "workspacefilestore"} <= names
    assert ml.datastores.get_default().container_name == config.default_container
    assert {config.default_container, "azureml"} <= {container.name for container in blobs.list_containers()}


def test_creating_a_workspace_again_updates_it(ml: MLClient, config: StackConfig) -> None:
    ml.workspaces.begin_create(Workspace(name=config.workspace_name, tags={"stage": "test"})).result()
    assert ml.workspaces.get(config.workspace_name).tags["stage"] == "test"
    assert [workspace.name for workspace in ml.workspaces.list()] == [config.workspace_name]


def test_a_missing_workspace_is_not_found(ml: MLClient) -> None:
    with pytest.raises(ResourceNotFoundError):
        ml.workspaces.get("nowhere")


def test_a_workspace_on_an_unknown_storage_account_is_refused(ml: MLClient, config: StackConfig) -> None:
    account = f"/subscriptions/{config.subscription_id}/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/no"
    with pytest.raises(HttpResponseError, match="storage account 'no' does not exist"):
        ml.workspaces.begin_create(Workspace(name="other", location="westeurope", storage_account=account))


def test_a_cluster_keeps_what_it_was_created_with(ml: MLClient) -> None:
    cluster = ml.compute.get("gpu-cluster")
    assert (cluster.size, cluster.min_instances, cluster.max_instances) == ("Standard_NC4as_T4_v3", 0, 2)
    assert cluster.idle_time_before_scale_down == 600
    assert cluster.provisioning_state == "Succeeded"
    assert "gpu-cluster" in [each.name for each in ml.compute.list()]


def test_a_cluster_takes_a_user_assigned_identity_and_can_be_deleted(ml: MLClient) -> None:
    identity = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/cluster"
    configuration = IdentityConfiguration(
        type="user_assigned", user_assigned_identities=[ManagedIdentityConfiguration(resource_id=identity)]
    )
    ml.compute.begin_create_or_update(
        AmlCompute(name="second", size="Standard_DS3_v2", identity=configuration, max_instances=1)
    ).result()
    (assigned,) = ml.compute.get("second").identity.user_assigned_identities
    assert assigned.resource_id.endswith("/userAssignedIdentities/cluster")
    ml.compute.begin_delete("second").result()
    with pytest.raises(ResourceNotFoundError):
        ml.compute.get("second")


@pytest.mark.parametrize(
    ("size", "reason"),
    [("Standard_NC6", "not supported in this region"), ("Standard_NC40ads_H100_v5", "0 vCPUs of quota")],
)
def test_a_size_that_cannot_be_had_is_refused(ml: MLClient, size: str, reason: str) -> None:
    with pytest.raises(HttpResponseError, match=reason):
        ml.compute.begin_create_or_update(AmlCompute(name="impossible", size=size))


def test_sizes_and_quota_of_the_region_can_be_listed(ml: MLClient) -> None:
    sizes = {size.name: size for size in ml.compute.list_sizes()}
    assert sizes["Standard_NC4as_T4_v3"].gpus == 1
    assert any(usage.limit == 64 for usage in ml.compute.list_usage())


def test_a_datastore_names_a_container_and_never_shows_a_key(ml: MLClient, config: StackConfig) -> None:
    ml.datastores.create_or_update(
        AzureBlobDatastore(name="images", account_name=config.account_name, container_name="images")
    )
    assert ml.datastores.get("images").container_name == "images"
    with pytest.raises(ResourceNotFoundError):
        ml.datastores.get("missing")
    with pytest.raises(HttpResponseError, match="does not exist"):
        ml.datastores.create_or_update(AzureBlobDatastore(name="far", account_name="far", container_name="c"))
