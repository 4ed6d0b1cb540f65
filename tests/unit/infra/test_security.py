"""No keys, no secrets, nothing open that need not be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.infra.bicep import parse, text
from tests.unit.infra.deployment import Deployment
from tests.unit.infra.support import FILES, VARIANTS, app_settings, deploy_main, of_type, only, strings

SECRETS = re.compile(r"(?i)listKeys|listAccountSas|connectionstring|primaryKey|AccountKey|sharedKey|password|secret")


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_storage_accounts_have_no_keys_no_public_blobs_and_modern_tls(values: dict[str, Any]) -> None:
    accounts = of_type(deploy_main(**values), "Microsoft.Storage/storageAccounts")
    # One that is there already is left as it is.
    assert len(accounts) == (1 if "dataAccountName" in values else 2)
    for account in accounts:
        properties = account.body["properties"]
        assert account.body["kind"] == "StorageV2"
        assert properties["allowSharedKeyAccess"] is False
        assert properties["allowBlobPublicAccess"] is False
        assert properties["allowCrossTenantReplication"] is False
        assert properties["supportsHttpsTrafficOnly"] is True
        assert properties["minimumTlsVersion"] == "TLS1_2"


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_no_container_is_public(values: dict[str, Any]) -> None:
    containers = of_type(deploy_main(**values), "Microsoft.Storage/storageAccounts/blobServices/containers")
    assert {each.body["properties"]["publicAccess"] for each in containers} == {"None"}


def test_the_app_takes_https_alone_and_no_user_names_for_deployment(deployment: Deployment) -> None:
    properties = only(deployment, "Microsoft.Web/sites").body["properties"]
    assert properties["httpsOnly"] is True
    assert properties["siteConfig"]["minTlsVersion"] == "1.2"
    assert properties["siteConfig"]["ftpsState"] == "Disabled"
    credentials = of_type(deployment, "Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    assert {each.name: each.body["properties"]["allow"] for each in credentials} == {"ftp": False, "scm": False}


def test_telemetry_and_topics_want_identities(deployment: Deployment) -> None:
    assert only(deployment, "Microsoft.Insights/components").body["properties"]["DisableLocalAuth"] is True
    topic = only(deployment, "Microsoft.EventGrid/topics").body["properties"]
    assert topic["disableLocalAuth"] is True
    assert topic["minimumTlsVersionAllowed"] == "1.2"


def test_the_key_vault_knows_roles_and_can_be_restored(deployment: Deployment) -> None:
    vault = only(deployment, "Microsoft.KeyVault/vaults").body["properties"]
    assert vault["enableRbacAuthorization"] is True
    assert vault["enableSoftDelete"] is True


@pytest.mark.parametrize(("wanted", "given"), [({}, None), ({"keyVaultPurgeProtection": True}, True)])
def test_the_key_vault_can_be_purged_but_where_that_is_not_wanted(wanted: dict[str, bool], given: bool | None) -> None:
    # A vault that can't be purged keeps its name, and an environment of the same name from being deployed again.
    vault = only(deploy_main(**wanted), "Microsoft.KeyVault/vaults")
    assert vault.body["properties"]["enablePurgeProtection"] is given


def test_the_cluster_has_no_ssh() -> None:
    compute = only(deploy_main(createCluster=True), "Microsoft.MachineLearningServices/workspaces/computes").body[
        "properties"
    ]
    assert compute["disableLocalAuth"] is True
    assert compute["properties"]["remoteLoginPortPublicAccess"] == "Disabled"


def test_the_workspace_and_its_datastores_hold_no_credentials(deployment: Deployment) -> None:
    workspace = only(deployment, "Microsoft.MachineLearningServices/workspaces").body["properties"]
    assert workspace["systemDatastoresAuthMode"] == "Identity"
    datastores = of_type(deployment, "Microsoft.MachineLearningServices/workspaces/datastores")
    assert [each.body["properties"]["credentials"] for each in datastores] == [{"credentialsType": "None"}] * 3


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_output_is_a_secret(path: Path) -> None:
    assert not [name for name, (_, node) in parse(path).outputs.items() if SECRETS.search(f"{name} {text(node)}")]


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_no_output_of_a_deployment_is_a_secret(values: dict[str, Any]) -> None:
    deployment = deploy_main(**values)
    everything = [deployment.outputs, *(each.outputs for each in deployment.children.values())]
    assert not [each for one in everything for each in strings(one) if SECRETS.search(each)]


def test_no_app_setting_is_a_secret_but_for_where_telemetry_goes(deployment: Deployment) -> None:
    settings = app_settings(deployment)
    found = {name for name, value in settings.items() if SECRETS.search(value)}
    # It grants nothing, since Application Insights takes no keys.
    assert found == {"APPLICATIONINSIGHTS_CONNECTION_STRING"}


def test_in_a_private_network_only_endpoints_and_trusted_services_get_through() -> None:
    deployment = deploy_main(privateNetwork=True, createCluster=True)
    for account in of_type(deployment, "Microsoft.Storage/storageAccounts"):
        assert account.body["properties"]["networkAcls"] == {"defaultAction": "Deny", "bypass": "AzureServices"}
    vault = only(deployment, "Microsoft.KeyVault/vaults").body["properties"]
    assert vault["publicNetworkAccess"] == "Disabled"
    workspace = only(deployment, "Microsoft.MachineLearningServices/workspaces").body["properties"]
    assert workspace["publicNetworkAccess"] == "Disabled"
    compute = only(deployment, "Microsoft.MachineLearningServices/workspaces/computes").body["properties"]["properties"]
    assert compute["enableNodePublicIp"] is False
    assert compute["subnet"]["id"].endswith("/subnets/cluster")


def test_in_a_private_network_everything_that_the_app_and_the_nodes_need_has_an_endpoint_with_a_name() -> None:
    deployment = deploy_main(privateNetwork=True)
    zones = {each.id: each.name for each in of_type(deployment, "Microsoft.Network/privateDnsZones")}
    groups = of_type(deployment, "Microsoft.Network/privateEndpoints/privateDnsZoneGroups")
    found = {}
    for endpoint in of_type(deployment, "Microsoft.Network/privateEndpoints"):
        (connection,) = endpoint.body["properties"]["privateLinkServiceConnections"]
        (target,) = (
            each for each in deployment.resources if each.id == connection["properties"]["privateLinkServiceId"]
        )
        (group,) = (each for each in groups if each.id.startswith(f"{endpoint.id}/"))
        names = [
            zones[each["properties"]["privateDnsZoneId"]] for each in group.body["properties"]["privateDnsZoneConfigs"]
        ]
        found[
            f"{target.name.removeprefix('st').rstrip('0123456789')[-4:]}/{connection['properties']['groupIds'][0]}"
        ] = names
    storage = {
        f"{account}/{service}": [f"privatelink.{service}.core.windows.net"]
        for account, services in {"host": "blob queue table", "data": "blob queue table file"}.items()
        for service in services.split()
    }
    others = {each: names for each, names in found.items() if each not in storage}
    assert {each: names for each, names in found.items() if each in storage} == storage
    # https://learn.microsoft.com/azure/private-link/private-endpoint-dns
    assert {each.partition("/")[2]: names for each, names in others.items()} == {
        "vault": ["privatelink.vaultcore.azure.net"],
        "amlworkspace": ["privatelink.api.azureml.ms", "privatelink.notebooks.azure.net"],
    }
    links = of_type(deployment, "Microsoft.Network/privateDnsZones/virtualNetworkLinks")
    assert {each.id.rpartition("/virtualNetworkLinks/")[0] for each in links} == zones.keys()


def test_in_a_private_network_the_apps_subnet_is_delegated_to_flex_consumption() -> None:
    deployment = deploy_main(privateNetwork=True)
    subnets = {
        each["name"]: each["properties"]
        for each in only(deployment, "Microsoft.Network/virtualNetworks").body["properties"]["subnets"]
    }
    app = only(deployment, "Microsoft.Web/sites").body["properties"]["virtualNetworkSubnetId"]
    (delegation,) = subnets[app.rpartition("/")[2]]["delegations"]
    assert delegation["properties"]["serviceName"] == "Microsoft.App/environments"
    assert subnets["cluster"]["natGateway"]["id"] == only(deployment, "Microsoft.Network/natGateways").id
    assert len({each["addressPrefix"] for each in subnets.values()}) == 3


@pytest.mark.parametrize("prefix", ["10.0.0.0/16", "10.0.0.0/22"])
def test_the_subnets_fit_into_the_smallest_and_the_largest_network_that_are_described(prefix: str) -> None:
    network = only(deploy_main(privateNetwork=True, networkAddressPrefix=prefix), "Microsoft.Network/virtualNetworks")
    subnets = [each["properties"]["addressPrefix"] for each in network.body["properties"]["subnets"]]
    assert subnets == ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]


def test_an_existing_account_gets_endpoints_in_a_private_network() -> None:
    deployment = deploy_main(privateNetwork=True, dataAccountName="theirs1data")
    targets = [
        connection["properties"]["privateLinkServiceId"].rpartition("/")[2]
        for each in of_type(deployment, "Microsoft.Network/privateEndpoints")
        for connection in each.body["properties"]["privateLinkServiceConnections"]
    ]
    assert targets.count("theirs1data") == 4


def test_without_a_private_network_there_is_no_network(deployment: Deployment) -> None:
    assert not [each for each in deployment.resources if each.type.startswith("Microsoft.Network/")]
    assert only(deployment, "Microsoft.Web/sites").body["properties"]["virtualNetworkSubnetId"] is None


def test_people_sign_in_where_that_is_wanted_and_function_keys_go_on_working() -> None:
    client = "11111111-0000-0000-0000-000000000000"
    deployment = deploy_main(entraClientId=client, entraTenantId="my-tenant")
    (sign_in,) = (each for each in of_type(deployment, "Microsoft.Web/sites/config") if each.name == "authsettingsV2")
    properties = sign_in.body["properties"]
    assert properties["globalValidation"] == {
        "requireAuthentication": False,
        "unauthenticatedClientAction": "AllowAnonymous",
    }
    provider = properties["identityProviders"]["azureActiveDirectory"]
    assert provider["registration"] == {
        "clientId": client,
        "openIdIssuer": "https://login.microsoftonline.com/my-tenant/v2.0",
    }


def test_nobody_signs_in_where_that_is_not_wanted(deployment: Deployment) -> None:
    assert [each.name for each in of_type(deployment, "Microsoft.Web/sites/config")] == ["appsettings"]
