"""Deployments of infra/ that several tests look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.unit.infra.deployment import Deployment, Resource, deploy
from tests.unit.infra.functions import SUBSCRIPTION, Runtime

ROOT = Path(__file__).resolve().parents[3]
INFRA = ROOT / "infra"
MAIN, EVENT_SUBSCRIPTIONS = INFRA / "main.bicep", INFRA / "event-subscriptions.bicep"
FILES = sorted(INFRA.rglob("*.bicep"))
REGISTRY = "/subscriptions/s/resourceGroups/images/providers/Microsoft.ContainerRegistry/registries/acr"
EVERYTHING = {
    "createCluster": True,
    "privateNetwork": True,
    "containerRegistryResourceId": REGISTRY,
    "entraClientId": "11111111-0000-0000-0000-000000000000",
    "budgetAmount": 100,
    "budgetEmail": "team@example.com",
}
# The choices that decide which resources there are.
VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "the app makes the workspace": {"createWorkspace": False, "allowQuotaChecks": False},
    "everything": EVERYTHING,
    "everything but the cluster, which the app makes": {**EVERYTHING, "createCluster": False},
    "an existing workspace": {
        "createWorkspace": False,
        "workspaceName": "theirs",
        "dataAccountName": "theirs1data",
        "resourceGroupName": "team",
    },
    "a new workspace on an existing account": {"dataAccountName": "theirs1data", "privateNetwork": True},
    "an existing account, and provisioning by others": {"dataAccountName": "theirs1data", "provisioning": "disabled"},
    "private, without workspace": {**EVERYTHING, "createWorkspace": False, "provisioning": "disabled"},
}


def deploy_main(**values: Any) -> Deployment:
    """main.bicep, with its defaults but for `values`."""
    return deploy(MAIN, **{"environmentName": "dev", "location": "westeurope", **values})


def deploy_event_subscriptions(**values: Any) -> Deployment:
    """event-subscriptions.bicep for an app, data account and workspace."""
    given = {"functionAppName": "func-x", "dataAccountName": "stxdata", "workspaceName": "my_workspace", **values}
    return deploy(EVENT_SUBSCRIPTIONS, f"{SUBSCRIPTION}/resourceGroups/rg-dev", **given)


def of_type(deployment: Deployment, kind: str) -> list[Resource]:
    """All resources of a type."""
    return [each for each in deployment.resources if each.type == kind]


def only(deployment: Deployment, kind: str) -> Resource:
    """The one resource of a type."""
    (found,) = of_type(deployment, kind)
    return found


def app_settings(deployment: Deployment) -> dict[str, str]:
    """The app settings, by name."""
    (found,) = (each for each in of_type(deployment, "Microsoft.Web/sites/config") if each.name == "appsettings")
    settings: dict[str, str] = found.body["properties"]
    return settings


def strings(value: Any) -> list[str]:
    """All texts in a value."""
    if isinstance(value, dict):
        return [each for inner in value.values() for each in strings(inner)]
    if isinstance(value, list):
        return [each for inner in value for each in strings(inner)]
    return [value] if isinstance(value, str) else []


def as_if_known(value: str) -> str:
    """A text that only Azure knows, as it may look."""
    return "https://known-to-azure.example/" if isinstance(value, Runtime) else value
