"""The settings in Bicep, in local.settings.example.json, in shared/settings.py and in the README are the same."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from shared.clients import DATA_STORAGE, Clients
from shared.settings import Settings, environment_name
from tests.unit.infra.deployment import Deployment
from tests.unit.infra.support import ROOT, app_settings, as_if_known, deploy_main

DEFAULTS = {environment_name(each): each.metadata["default"] for each in dataclasses.fields(Settings)}
# What follows from a resource that infra/ makes, or from a parameter.
FROM_INFRA = {
    "AZURE_SUBSCRIPTION_ID",
    "AZURE_RESOURCE_GROUP",
    "AZURE_LOCATION",
    "AZUREML_WORKSPACE_NAME",
    "DATA_STORAGE_RESOURCE_ID",
    "KEY_VAULT_RESOURCE_ID",
    "APPLICATION_INSIGHTS_RESOURCE_ID",
    "FUNCTION_APP_RESOURCE_ID",
    "COMPUTE_IDENTITY",
    "EVENTS_TOPIC_ENDPOINT",
}
CONNECTIONS = {
    f"{connection}__{each}"
    for connection in ("AzureWebJobsStorage", DATA_STORAGE)
    for each in ("blobServiceUri", "queueServiceUri", "tableServiceUri", "credential", "clientId")
}
# The Functions host's own; on Flex Consumption FUNCTIONS_WORKER_RUNTIME is refused:
# https://learn.microsoft.com/azure/azure-functions/functions-app-settings
HOST_LOCALLY = {"FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage", DATA_STORAGE}
TELEMETRY = {"APPLICATIONINSIGHTS_CONNECTION_STRING", "APPLICATIONINSIGHTS_AUTHENTICATION_STRING"}


def test_bicep_sets_every_setting_and_nothing_else(deployment: Deployment) -> None:
    assert app_settings(deployment).keys() == DEFAULTS.keys() | CONNECTIONS | TELEMETRY


def test_the_example_for_a_laptop_has_every_setting_and_nothing_else() -> None:
    example = json.loads((ROOT / "local.settings.example.json").read_text())["Values"]
    assert example.keys() == DEFAULTS.keys() | HOST_LOCALLY


def test_the_readme_lists_every_setting_with_its_default_and_nothing_else() -> None:
    table = re.search(r"<!-- settings.*?<!-- /settings -->", (ROOT / "README.md").read_text(), re.DOTALL)
    assert table
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (\S.*?) \|", table.group(), re.MULTILINE))
    shown = {
        name: "required" if default is None else f"`{default}`" if default else "-"
        for name, default in DEFAULTS.items()
    }
    assert rows == shown


def test_bicep_and_the_app_have_the_same_defaults(deployment: Deployment) -> None:
    settings = app_settings(deployment)
    differing = {
        name: (settings[name], default)
        for name, default in DEFAULTS.items()
        if name not in FROM_INFRA and settings[name] != default
    }
    assert not differing


def test_the_app_takes_the_settings_that_bicep_gives_it(deployment: Deployment) -> None:
    environment = {name: as_if_known(value) for name, value in app_settings(deployment).items()}
    settings = Settings.from_environment(environment)
    assert all(getattr(settings, name.lower()) for name in FROM_INFRA)
    clients = Clients(settings, environment)
    assert clients.account_resource_id == environment["DATA_STORAGE_RESOURCE_ID"]
    assert clients.function_app_id == environment["FUNCTION_APP_RESOURCE_ID"]


def test_every_setting_is_text(deployment: Deployment) -> None:
    assert not {name: value for name, value in app_settings(deployment).items() if not isinstance(value, str)}


@pytest.mark.parametrize(
    ("parameter", "value", "setting", "expected"),
    [
        ("provisioning", "disabled", "PROVISIONING", "disabled"),
        ("workspaceDataIsolation", True, "WORKSPACE_DATA_ISOLATION", "true"),
        ("computeMaxNodes", 9, "COMPUTE_MAX_NODES", "9"),
        ("computeLocation", "swedencentral", "COMPUTE_LOCATION", "swedencentral"),
        ("workspaceName", "labels", "AZUREML_WORKSPACE_NAME", "labels"),
        ("resourceGroupName", "team", "AZURE_RESOURCE_GROUP", "team"),
    ],
)
def test_a_parameter_reaches_the_app(parameter: str, value: object, setting: str, expected: str) -> None:
    assert app_settings(deploy_main(**{parameter: value}))[setting] == expected


def test_in_a_private_network_the_app_is_told_the_clusters_subnet() -> None:
    assert app_settings(deploy_main(privateNetwork=True))["COMPUTE_SUBNET_RESOURCE_ID"].endswith("/subnets/cluster")


def test_ones_own_app_settings_go_before_all_others_and_may_be_new(deployment: Deployment) -> None:
    own = {"MAX_TRIALS": "8", "COMPUTE_SIZE": "Standard_NC24ads_A100_v4", "FUNCTION_APP_RESOURCE_ID": "x", "OWN": "1"}
    settings = app_settings(deploy_main(appSettings=own))
    assert settings == {**app_settings(deployment), **own}
