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
from azure.mgmt.machinelearningservices import MachineLearningServicesMgmtClient
from azure.mgmt.machinelearningservices.models import Identity
from azure.mgmt.machinelearningservices.models import Workspace as ManagedWorkspace
from azure.storage.blob import BlobServiceClient

from local.config import StackConfig
from tests.contract.cloud.arm import Arm, faults
from tests.contract.cloud.conftest import RunningStack
from tests.contract.cloud.recorder import await_true
from tests.contract.cloud.roles import Owner


@pytest.fixture
def elsewhere(ml: MLClient, config: StackConfig) -> MLClient:
    """A client of another resource group, where workspaces disturb no other test."""
    return MLClient(Owner(config), config.subscription_id, "elsewhere", "isolated")


def body(arm: Arm) -> dict[str, object]:
    """A workspace on the stack's storage account."""
    return {"location": "westeurope", "properties": {"storageAccount": arm.account}}


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


def test_a_cluster_takes_a_user_assigned_identity_and_can_be_deleted(ml: MLClient, arm: Arm) -> None:
    identity = arm.provider("Microsoft.ManagedIdentity/userAssignedIdentities/cluster")
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


def test_a_datastore_names_a_container_and_never_shows_a_key(ml: MLClient, config: StackConfig) -> None:
    ml.datastores.create_or_update(
        AzureBlobDatastore(name="images", account_name=config.account_name, container_name="images")
    )
    assert ml.datastores.get("images").container_name == "images"
    with pytest.raises(ResourceNotFoundError):
        ml.datastores.get("missing")
    with pytest.raises(HttpResponseError, match="does not exist"):
        ml.datastores.create_or_update(AzureBlobDatastore(name="far", account_name="far", container_name="c"))


@pytest.mark.parametrize("name", ["Images", "my-images", "a" * 256])
def test_a_datastore_takes_only_a_name_that_azure_takes(arm: Arm, config: StackConfig, name: str) -> None:
    properties = {"datastoreType": "AzureBlob", "accountName": config.account_name, "containerName": "c"}
    answer = arm.send("PUT", f"{arm.workspace}/datastores/{name}", json={"properties": properties})
    assert answer.status_code == 400
    assert "lowercase letters" in answer.json()["error"]["message"]


def test_an_isolated_workspace_has_containers_of_its_own(
    elsewhere: MLClient, arm: Arm, blobs: BlobServiceClient
) -> None:
    registry = arm.provider("Microsoft.ContainerRegistry/registries/images")
    created = elsewhere.workspaces.begin_create(
        Workspace(
            name="isolated",
            location="westeurope",
            storage_account=arm.account,
            key_vault=arm.provider("Microsoft.KeyVault/vaults/kv"),
            application_insights=arm.provider("Microsoft.Insights/components/ai"),
            container_registry=registry,
            enable_data_isolation=True,
            system_datastores_auth_mode="identity",
        )
    ).result()
    guid = created._workspace_id
    assert (created.enable_data_isolation, created.system_datastores_auth_mode) == (True, "identity")
    assert created.container_registry == registry
    assert elsewhere.datastores.get_default().container_name == f"{guid}-azureml-blobstore"
    assert elsewhere.datastores.get("workspaceartifactstore").container_name == f"{guid}-azureml"
    names = {container.name for container in blobs.list_containers(name_starts_with=guid)}
    assert names == {f"{guid}-azureml-blobstore", f"{guid}-azureml"}
    updated = elsewhere.workspaces.begin_create(Workspace(name="isolated", tags={"stage": "test"})).result()
    assert updated.enable_data_isolation is True
    elsewhere.workspaces.begin_delete("isolated", delete_dependent_resources=False, permanently_delete=True).result()


def test_a_deployment_runs_and_then_succeeds_or_fails(elsewhere: MLClient, arm: Arm, stack: RunningStack) -> None:
    rule = {"service": "operations", "path": "*/deployments/*", "delay": 1.0, "error": "InternalServerError"}
    with faults(stack, rule):
        creating = elsewhere.workspaces.begin_create(
            Workspace(name="doomed", location="westeurope", storage_account=arm.account)
        )
        with pytest.raises(ResourceNotFoundError):
            elsewhere.workspaces.get("doomed")
        with pytest.raises(HttpResponseError, match=r"(?s)DeploymentFailed.*deployment operation failed"):
            creating.result()
    with pytest.raises(ResourceNotFoundError):
        elsewhere.workspaces.get("doomed")


def test_a_workspace_stays_in_its_region(arm: Arm) -> None:
    answer = arm.send("PUT", arm.workspace, json={**body(arm), "location": "northeurope"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "InvalidResourceLocation")
    assert "already exists in location 'westeurope'" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("name", "location", "code"),
    [
        ("ab", "westeurope", "InvalidWorkspaceName"),
        ("-first", "westeurope", "InvalidWorkspaceName"),
        ("w" * 34, "westeurope", "InvalidWorkspaceName"),
        ("fine", "atlantis", "LocationNotAvailableForResourceType"),
    ],
)
def test_a_workspace_that_cannot_be_is_refused(arm: Arm, name: str, location: str, code: str) -> None:
    path = arm.provider(f"Microsoft.MachineLearningServices/workspaces/{name}", "elsewhere")
    answer = arm.send("PUT", path, json={**body(arm), "location": location})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


def test_the_name_of_a_deleted_workspace_is_held_until_it_is_purged(arm: Arm) -> None:
    path = arm.provider("Microsoft.MachineLearningServices/workspaces/reborn", "elsewhere")

    def create() -> tuple[int, dict[str, object]]:
        answer = arm.send("PUT", path, json=body(arm))
        return answer.status_code, answer.json()

    def delete(**params: str) -> None:
        gone = arm.send("DELETE", path, params=params)
        assert gone.status_code == 202
        await_true(lambda: arm.send("GET", gone.headers["Location"]).status_code == 204, "end of the deletion")

    assert create()[0] == 202
    await_true(lambda: arm.send("GET", path).status_code == 200, "workspace")
    delete()
    status, refused = create()
    assert status == 400
    assert "Soft-deleted workspace exists" in str(refused)
    delete(forceToPurge="true")
    assert create()[0] == 202
    await_true(lambda: arm.send("GET", path).status_code == 200, "workspace")
    delete(forceToPurge="true")
    assert arm.send("DELETE", path).status_code == 204


def test_the_management_sdk_makes_lists_and_deletes_workspaces(
    arm: Arm, management: MachineLearningServicesMgmtClient
) -> None:
    workspaces = management.workspaces
    wanted = ManagedWorkspace(
        location="westeurope", storage_account=arm.account, identity=Identity(type="SystemAssigned")
    )
    made = workspaces.begin_create_or_update("elsewhere", "managed", wanted).result()
    assert (made.name, made.provisioning_state) == ("managed", "Succeeded")
    assert made.identity.principal_id
    assert "managed" in {each.name for each in workspaces.list_by_resource_group("elsewhere")}
    workspaces.begin_delete("elsewhere", "managed").result()
    assert "managed" not in {each.name for each in workspaces.list_by_resource_group("elsewhere")}


def template(arm: Arm, name: str) -> dict[str, object]:
    """What azure-ai-ml deploys, as far as the local cloud looks at it."""
    values = {"workspaceName": name, "location": "westeurope", "storageAccountName": arm.config.account_name}
    return {
        "properties": {
            "mode": "Incremental",
            "template": {"resources": [{"type": "Microsoft.MachineLearningServices/workspaces"}]},
            "parameters": {key: {"value": value} for key, value in values.items()},
        }
    }


def test_a_failed_deployment_tells_what_failed(arm: Arm, stack: RunningStack) -> None:
    path = arm.provider("Microsoft.Resources/deployments/failing", "elsewhere")

    def state() -> str:
        return str(arm.send("GET", path).json()["properties"]["provisioningState"])

    rule = {"service": "operations", "path": "*/deployments/failing", "delay": 0.5, "error": "QuotaExceeded"}
    with faults(stack, rule):
        assert arm.send("PUT", path, json=template(arm, "failing")).status_code == 201
        assert state() == "Running"
        again = arm.send("PUT", path, json=template(arm, "failing"))
        assert (again.status_code, again.json()["error"]["code"]) == (409, "DeploymentActive")
        await_true(lambda: state() == "Failed", "end of the deployment")
    error = arm.send("GET", path).json()["properties"]["error"]
    assert (error["code"], error["details"][0]["code"]) == ("DeploymentFailed", "QuotaExceeded")
    (operation,) = arm.send("GET", f"{arm.group('elsewhere')}/deployments/failing/operations").json()["value"]
    assert operation["properties"]["statusMessage"]["error"]["code"] == "QuotaExceeded"
    assert operation["properties"]["targetResource"]["resourceName"] == "failing"


def test_a_deployment_that_the_clouds_death_interrupts_has_failed(arm: Arm, stack: RunningStack) -> None:
    path = arm.provider("Microsoft.Resources/deployments/interrupted", "elsewhere")
    with faults(stack, {"service": "operations", "path": "*/deployments/*", "delay": 60}):
        arm.send("PUT", path, json=template(arm, "interrupted"))
        stack.kill_cloud()
        stack.restart_cloud()
    assert arm.send("GET", path).json()["properties"]["provisioningState"] == "Failed"
    workspace = arm.provider("Microsoft.MachineLearningServices/workspaces/interrupted", "elsewhere")
    assert arm.send("GET", workspace).status_code == 404
