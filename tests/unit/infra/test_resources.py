"""What Bicep makes is what the app expects, under the same names."""

from __future__ import annotations

import re
from typing import Any

import pytest

from shared import queues
from shared.clients import Clients
from shared.dead_letters import DEAD_LETTERS
from shared.images import PREPARED_FOLDER
from shared.ledger import TABLE
from shared.locations import datastore_name
from shared.provisioning.compute import Cluster
from shared.provisioning.resource import TAGS
from shared.provisioning.subscriptions import BLOBS_KEY, Images, JobEvents, LargeImages, Subscription
from shared.provisioning.topics import EventTopic, StorageTopic, WorkspaceTopic
from shared.provisioning.workspace import MachineLearningWorkspace
from shared.settings import Settings
from shared.training import EXPORTS_FOLDER
from tests.unit.infra.deployment import Deployment, Resource
from tests.unit.infra.support import (
    VARIANTS,
    app_settings,
    as_if_known,
    deploy_event_subscriptions,
    deploy_main,
    of_type,
    only,
)

STORAGE = "Microsoft.Storage/storageAccounts"
ROLE_ASSIGNMENT = "Microsoft.Authorization/roleAssignments"
# What has no tags: https://learn.microsoft.com/azure/azure-resource-manager/management/tag-support
UNTAGGED = (
    "Microsoft.Authorization/",
    "Microsoft.Consumption/",
    "Microsoft.Web/sites/",
    f"{STORAGE}/",
    "Microsoft.MachineLearningServices/workspaces/datastores",
    "Microsoft.Network/privateEndpoints/",
)
# https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
NAMES = {
    "Microsoft.Resources/resourceGroups": r"[\w().-]{0,89}[\w()-]",
    STORAGE: r"[a-z0-9]{3,24}",
    f"{STORAGE}/blobServices/containers": r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]",
    f"{STORAGE}/queueServices/queues": r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]",
    f"{STORAGE}/tableServices/tables": r"[A-Za-z][A-Za-z0-9]{2,62}",
    "Microsoft.KeyVault/vaults": r"(?!.*--)[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]",
    "Microsoft.Insights/components": r"[^%&\\?/]{0,259}[^%&\\?/. ]",
    "Microsoft.OperationalInsights/workspaces": r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]",
    "Microsoft.ManagedIdentity/userAssignedIdentities": r"[A-Za-z0-9][\w-]{2,127}",
    "Microsoft.EventGrid/topics": r"[A-Za-z0-9-]{3,50}",
    "Microsoft.EventGrid/systemTopics": r"[A-Za-z0-9-]{3,50}",
    "Microsoft.EventGrid/systemTopics/eventSubscriptions": r"[A-Za-z0-9-]{3,64}",
    "Microsoft.MachineLearningServices/workspaces": r"[A-Za-z0-9][A-Za-z0-9_-]{2,32}",
    "Microsoft.MachineLearningServices/workspaces/computes": r"[A-Za-z](?![\w-]*-\d+$)[A-Za-z0-9-]{1,22}[A-Za-z0-9]",
    "Microsoft.Web/serverfarms": r"[A-Za-z0-9-]{1,60}",
    "Microsoft.Web/sites": r"[A-Za-z0-9][A-Za-z0-9-]{0,58}[A-Za-z0-9]",
    "Microsoft.Network/privateEndpoints": r"[A-Za-z0-9][\w.-]{0,62}\w",
    "Microsoft.Network/virtualNetworks": r"[A-Za-z0-9][\w.-]{0,62}\w",
    "Microsoft.Consumption/budgets": r"[\w-]{1,63}",
}


def clients_of(settings: dict[str, str]) -> Clients:
    """The app's clients, as the settings make them."""
    environment = {name: as_if_known(value) for name, value in settings.items()}
    environment["DATA_STORAGE__blobServiceUri"] = f"https://{account_name(settings)}.blob.core.windows.net/"
    environment |= {"WEBSITE_HOSTNAME": "func-x.azurewebsites.net"}
    return Clients(Settings.from_environment(environment), environment)


def topics(clients: Clients) -> dict[type[EventTopic], EventTopic]:
    """The two system topics as provisioning makes them."""
    workspace = WorkspaceTopic(clients, MachineLearningWorkspace(clients))
    return {StorageTopic: StorageTopic(clients), WorkspaceTopic: workspace}


def account_name(settings: dict[str, str]) -> str:
    return settings["DATA_STORAGE_RESOURCE_ID"].rpartition("/")[2]


def below(deployment: Deployment, kind: str, account: str) -> set[str]:
    """Names of what is in a storage account."""
    return {each.name for each in of_type(deployment, f"{STORAGE}/{kind}") if f"/{account}/" in each.id}


def test_the_data_account_has_the_containers_queues_and_table_of_the_app(deployment: Deployment) -> None:
    settings = app_settings(deployment)
    account = account_name(settings)
    containers = {settings[f"{each}_CONTAINER"] for each in ("WORK", "IMAGES", "PREDICTIONS")}
    assert below(deployment, "blobServices/containers", account) == {*containers, DEAD_LETTERS}
    assert below(deployment, "queueServices/queues", account) == set(queues.QUEUES)
    assert below(deployment, "tableServices/tables", account) == {TABLE}


def test_the_containers_are_those_that_ones_own_settings_name() -> None:
    own = {"IMAGES_CONTAINER": "photos", "WORK_CONTAINER": "loop-data"}
    deployment = deploy_main(appSettings=own)
    account = account_name(app_settings(deployment))
    assert below(deployment, "blobServices/containers", account) == {"photos", "loop-data", "predictions", DEAD_LETTERS}
    datastores = of_type(deployment, "Microsoft.MachineLearningServices/workspaces/datastores")
    assert {each.name: each.body["properties"]["containerName"] for each in datastores} == {
        "photos": "photos",
        "loop_data": "loop-data",
        "predictions": "predictions",
    }
    (rule,) = only(deployment, f"{STORAGE}/managementPolicies").body["properties"]["policy"]["rules"]
    assert rule["definition"]["filters"]["prefixMatch"] == [f"loop-data/{PREPARED_FOLDER}/"]


def test_an_existing_account_is_used_and_nothing_of_it_is_changed() -> None:
    deployment = deploy_main(dataAccountName="theirs1data")
    settings = app_settings(deployment)
    account = f"{only(deployment, 'Microsoft.Resources/resourceGroups').id}/providers/{STORAGE}/theirs1data"
    assert settings["DATA_STORAGE_RESOURCE_ID"] == account
    assert settings["DATA_STORAGE__blobServiceUri"] == f"<{account}>.properties.primaryEndpoints.blob"
    assert deployment.outputs["DATA_STORAGE_ACCOUNT_NAME"] == "theirs1data"
    workspace = only(deployment, "Microsoft.MachineLearningServices/workspaces").body["properties"]
    assert workspace["storageAccount"] == account
    # The app makes what is missing; the account may have a topic already, and has at most one.
    assert {each.type for each in deployment.resources if each.id.startswith(account)} == {ROLE_ASSIGNMENT}
    assert only(deployment, "Microsoft.EventGrid/systemTopics").symbol == "topic"


def test_where_the_app_makes_nothing_an_existing_account_gets_its_contents_and_nothing_else() -> None:
    deployment = deploy_main(dataAccountName="theirs1data", provisioning="disabled")
    assert below(deployment, "blobServices/containers", "theirs1data") == {
        "labelloop",
        "images",
        "predictions",
        DEAD_LETTERS,
    }
    assert below(deployment, "queueServices/queues", "theirs1data") == set(queues.QUEUES)
    assert below(deployment, "tableServices/tables", "theirs1data") == {TABLE}
    assert {each.type for each in deployment.resources if f"{STORAGE}/theirs1data" in each.id} == {
        f"{STORAGE}/blobServices/containers",
        f"{STORAGE}/queueServices/queues",
        f"{STORAGE}/tableServices/tables",
        ROLE_ASSIGNMENT,
    }


def test_the_code_is_deployed_into_a_container_of_the_hosts_account(deployment: Deployment) -> None:
    app = only(deployment, "Microsoft.Web/sites").body
    storage = app["properties"]["functionAppConfig"]["deployment"]["storage"]
    (host,) = (each for each in of_type(deployment, STORAGE) if each.name.endswith("host"))
    assert storage["value"] == f"<{host.id}>.properties.primaryEndpoints.blobdeployment"
    assert below(deployment, "blobServices/containers", host.name) == {"deployment"}
    (identity,) = app["identity"]["userAssignedIdentities"]
    assert storage["authentication"] == {
        "type": "UserAssignedIdentity",
        "userAssignedIdentityResourceId": identity,
    }


def test_the_app_runs_on_flex_consumption_with_the_python_that_the_project_wants(deployment: Deployment) -> None:
    plan = only(deployment, "Microsoft.Web/serverfarms")
    app = only(deployment, "Microsoft.Web/sites").body
    assert plan.body["sku"] == {"name": "FC1", "tier": "FlexConsumption"}
    assert app["properties"]["serverFarmId"] == plan.id
    assert app["properties"]["functionAppConfig"]["runtime"] == {"name": "python", "version": "3.13"}


def test_deleted_data_can_be_restored_and_prepared_copies_age(deployment: Deployment) -> None:
    account = account_name(app_settings(deployment))
    (blobs,) = (each for each in of_type(deployment, f"{STORAGE}/blobServices") if f"/{account}/" in each.id)
    assert blobs.body["properties"] == {
        "deleteRetentionPolicy": {"enabled": True, "days": 7},
        "containerDeleteRetentionPolicy": {"enabled": True, "days": 7},
    }
    policy = only(deployment, f"{STORAGE}/managementPolicies")
    assert f"/{account}/" in policy.id
    (rule,) = policy.body["properties"]["policy"]["rules"]
    assert rule["definition"]["actions"]["baseBlob"] == {
        "tierToCool": {"daysAfterModificationGreaterThan": 30},
        "delete": {"daysAfterModificationGreaterThan": 180},
    }


@pytest.mark.parametrize(
    ("values", "is_made"),
    [
        ({}, False),
        ({"createCluster": True}, True),
        ({"provisioning": "disabled"}, True),
        ({"createCluster": True, "createWorkspace": False}, False),
    ],
    ids=["the app makes it", "wanted", "the app makes nothing", "no workspace"],
)
def test_the_cluster_is_made_where_the_app_does_not_make_it(values: dict[str, Any], is_made: bool) -> None:
    made = of_type(deploy_main(**values), "Microsoft.MachineLearningServices/workspaces/computes")
    assert len(made) == is_made


def test_the_cluster_is_the_one_that_provisioning_wants() -> None:
    deployment = deploy_main(createCluster=True)
    clients = clients_of(app_settings(deployment))
    wanted = Cluster(clients, MachineLearningWorkspace(clients)).desired()
    compute = only(deployment, "Microsoft.MachineLearningServices/workspaces/computes")
    given = compute.body["properties"]
    nodes = given["properties"]
    assert compute.name == clients.settings.compute_name
    assert wanted == {
        "type": given["computeType"].lower(),
        "state": "Succeeded",
        "failure": "",
        "size": nodes["vmSize"],
        "priority": nodes["vmPriority"],
        "location": given["computeLocation"],
        "subnet": "",
        "min_nodes": nodes["scaleSettings"]["minNodeCount"],
        "max_nodes": nodes["scaleSettings"]["maxNodeCount"],
        "idle_seconds": int(nodes["scaleSettings"]["nodeIdleTimeBeforeScaleDown"].strip("PTS")),
        "identity": next(iter(compute.body["identity"]["userAssignedIdentities"])),
        "ssh_port": "closed" if nodes["remoteLoginPortPublicAccess"] == "Disabled" else "open",
    }


def test_the_cluster_may_be_in_another_region_than_the_workspace() -> None:
    deployment = deploy_main(computeLocation="swedencentral", createCluster=True)
    compute = only(deployment, "Microsoft.MachineLearningServices/workspaces/computes").body
    assert (compute["location"], compute["properties"]["computeLocation"]) == ("swedencentral", "swedencentral")
    assert only(deployment, "Microsoft.MachineLearningServices/workspaces").body["location"] == "westeurope"


def test_the_workspace_is_the_one_that_provisioning_wants(deployment: Deployment) -> None:
    clients = clients_of(app_settings(deployment))
    workspace = only(deployment, "Microsoft.MachineLearningServices/workspaces")
    properties = workspace.body["properties"]
    assert workspace.id == clients.settings.workspace_id
    assert MachineLearningWorkspace(clients).desired() == {
        "location": workspace.body["location"],
        "storage_account": properties["storageAccount"],
    }
    assert properties["keyVault"] == clients.settings.key_vault_resource_id
    assert properties["applicationInsights"] == clients.settings.application_insights_resource_id
    assert properties["enableDataIsolation"] is False
    assert properties["containerRegistry"] is None


@pytest.mark.parametrize("container", ["images", "predictions", "labelloop"])
def test_there_is_a_datastore_for_each_of_the_apps_containers(deployment: Deployment, container: str) -> None:
    (found,) = (
        each.body["properties"]
        for each in of_type(deployment, "Microsoft.MachineLearningServices/workspaces/datastores")
        if each.name == datastore_name(container)
    )
    assert found["accountName"] == account_name(app_settings(deployment))
    assert found["containerName"] == container


@pytest.mark.parametrize("workspace", ["", "my_labels"])
def test_the_system_topics_are_those_that_provisioning_would_make(workspace: str) -> None:
    deployment = deploy_main(workspaceName=workspace)
    clients = clients_of(app_settings(deployment))
    wanted = topics(clients).values()
    made = {each.name: each.body for each in of_type(deployment, "Microsoft.EventGrid/systemTopics")}
    assert made.keys() == {each.name for each in wanted}
    for topic in wanted:
        assert made[topic.name]["properties"] == {"source": topic.source, "topicType": topic.topic_type}
        assert made[topic.name]["identity"] == {"type": "SystemAssigned"}


def test_without_a_workspace_only_the_storage_topic_is_made() -> None:
    deployment = deploy_main(createWorkspace=False)
    assert only(deployment, "Microsoft.EventGrid/systemTopics").symbol == "storageTopic"
    assert not [each for each in deployment.resources if each.type.startswith("Microsoft.MachineLearningServices")]


def test_the_announcements_topic_takes_cloud_events(deployment: Deployment) -> None:
    assert only(deployment, "Microsoft.EventGrid/topics").body["properties"]["inputSchema"] == "CloudEventSchemaV1_0"


def event_subscription(name: str, **values: Any) -> Resource:
    """One of event-subscriptions.bicep."""
    deployment = deploy_event_subscriptions(**values)
    (found,) = (
        each for each in of_type(deployment, "Microsoft.EventGrid/systemTopics/eventSubscriptions") if each.name == name
    )
    return found


def provisioned(
    kind: type[Subscription], name: str, function: str, topic: type[EventTopic]
) -> tuple[str, dict[str, Any]]:
    """Topic and document of a subscription as provisioning makes it, for the same app and accounts."""
    at = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-dev"
    environment = {
        "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000001",
        "AZURE_RESOURCE_GROUP": "rg-dev",
        "AZURE_LOCATION": "westeurope",
        "AZUREML_WORKSPACE_NAME": "my_workspace",
        "FUNCTION_APP_RESOURCE_ID": f"{at}/providers/Microsoft.Web/sites/func-x",
        "DATA_STORAGE__accountName": "stxdata",
        "WEBSITE_HOSTNAME": "func-x.azurewebsites.net",
    }
    clients = Clients(Settings.from_environment(environment), environment)
    source = topics(clients)[topic]
    subscription = kind(clients, name, function, source)
    return source.name, subscription.document()


@pytest.mark.parametrize(
    ("kind", "name", "function", "topic"),
    [
        (LargeImages, "labelloop-images-too-large", "image_too_large", StorageTopic),
        (JobEvents, "labelloop-job-events", "job_changed", WorkspaceTopic),
        (Images, "labelloop-images", "image_landed", StorageTopic),
    ],
)
def test_an_event_subscription_is_the_one_that_provisioning_would_make(
    kind: type[Subscription], name: str, function: str, topic: type[EventTopic]
) -> None:
    found = event_subscription(name)
    topic_name, document = provisioned(kind, name, function, topic)
    given = found.body["properties"]
    if given["destination"]["endpointType"] == "WebHook":
        # Host name and key are known to Azure alone.
        url = given["destination"]["properties"].pop("endpointUrl")
        path, _, key = url.partition("&code=")
        assert path.endswith("/runtime/webhooks/blobs?functionName=Host.Functions.image_landed")
        assert key.endswith(f"/host/default>.listKeys(2024-04-01).systemKeys.{BLOBS_KEY}")
        assert document["destination"]["properties"].pop("endpointUrl").endswith(path.partition("/runtime")[2])
    assert given == document
    assert found.id.split("/")[-3] == topic_name


@pytest.mark.parametrize(("isolation", "shape"), [(False, "azureml-blobstore-{}"), (True, "{}-azureml-blobstore")])
def test_label_exports_are_looked_for_where_azure_ml_puts_them(isolation: bool, shape: str) -> None:
    found = event_subscription("labelloop-label-exports", workspaceDataIsolation=isolation).body["properties"]
    prefix = found["filter"]["subjectBeginsWith"]
    workspace = re.search(r"<.*>\.properties\.workspaceId", prefix)
    assert workspace
    container = shape.format(workspace.group())
    assert prefix == f"/blobServices/default/containers/{container}/blobs/{EXPORTS_FOLDER}"
    assert found["destination"]["properties"]["resourceId"].endswith("/functions/label_export_landed")
    _, document = provisioned(LargeImages, "x", "label_export_landed", StorageTopic)
    assert found["filter"]["advancedFilters"] == document["filter"]["advancedFilters"][:1]
    assert {name: found[name] for name in ("retryPolicy", "eventDeliverySchema", "deadLetterWithResourceIdentity")} == {
        name: document[name] for name in ("retryPolicy", "eventDeliverySchema", "deadLetterWithResourceIdentity")
    }


def test_images_are_divided_at_the_size_that_the_app_is_told() -> None:
    small, large = (
        event_subscription(name, maxImageMegabytes=7).body["properties"]["filter"]["advancedFilters"][1]
        for name in ("labelloop-images", "labelloop-images-too-large")
    )
    assert (small["operatorType"], small["value"]) == ("NumberLessThanOrEquals", 7_000_000)
    assert (large["operatorType"], large["value"]) == ("NumberGreaterThan", 7_000_000)


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_everything_that_can_be_tagged_is(values: dict[str, Any]) -> None:
    wanted = {**TAGS, "azd-env-name": "dev"}
    tagged = [each for each in deploy_main(**values).resources if not each.type.startswith(UNTAGGED)]
    assert len(tagged) >= 10
    assert not [each.id for each in tagged if not wanted.items() <= each.body.get("tags", {}).items()]


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_names_are_valid_by_azures_rules(values: dict[str, Any]) -> None:
    long = deploy_main(**{**values, "environmentName": "e" * 64, "workspaceName": "w" * 33})
    for deployment in (deploy_main(**values), long):
        named = [each for each in deployment.resources if each.type in NAMES]
        assert {each.type for each in named} > {STORAGE, "Microsoft.Web/sites"}
        assert not [each.id for each in named if not re.fullmatch(NAMES[each.type], each.name)]


def test_another_environment_has_other_names() -> None:
    first, second = (deploy_main(environmentName=name) for name in ("dev", "prod"))
    for kind in (STORAGE, "Microsoft.KeyVault/vaults", "Microsoft.Web/sites", "Microsoft.EventGrid/topics"):
        assert not {each.name for each in of_type(first, kind)} & {each.name for each in of_type(second, kind)}


def test_there_is_a_budget_where_one_is_wanted(deployment: Deployment) -> None:
    assert not of_type(deployment, "Microsoft.Consumption/budgets")
    budget = only(deploy_main(budgetAmount=250, budgetEmail="team@example.com"), "Microsoft.Consumption/budgets")
    properties = budget.body["properties"]
    assert (properties["amount"], properties["timeGrain"]) == (250, "Monthly")
    assert properties["timePeriod"] == {"startDate": "2026-11-01"}
    assert {tuple(each["contactEmails"]) for each in properties["notifications"].values()} == {("team@example.com",)}
