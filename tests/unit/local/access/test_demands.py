"""What a request needs, from its method, path and body."""

from __future__ import annotations

from typing import Any

import pytest

from local.cloud.access.demands import Demand, demand_of, linked_demands, template_demands

SUBSCRIPTION = "/subscriptions/s"
GROUP = f"{SUBSCRIPTION}/resourceGroups/g"
ML = "Microsoft.MachineLearningServices/workspaces"
WORKSPACE = f"{GROUP}/providers/{ML}/w"
TOPIC = f"{GROUP}/providers/Microsoft.EventGrid/systemTopics/t"
SITE = f"{GROUP}/providers/Microsoft.Web/sites/a"
ASSIGNMENTS = "providers/Microsoft.Authorization/roleAssignments"
IDENTITY = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"


@pytest.mark.parametrize(
    ("method", "path", "action", "scope"),
    [
        ("GET", SUBSCRIPTION, "Microsoft.Resources/subscriptions/read", SUBSCRIPTION),
        ("GET", f"{SUBSCRIPTION}/locations", "Microsoft.Resources/subscriptions/locations/read", SUBSCRIPTION),
        ("GET", GROUP, "Microsoft.Resources/subscriptions/resourceGroups/read", GROUP),
        ("GET", f"{SUBSCRIPTION}/providers/X.Y", "Microsoft.Resources/subscriptions/providers/read", SUBSCRIPTION),
        ("POST", f"{SUBSCRIPTION}/providers/X.Y/register", "X.Y/register/action", SUBSCRIPTION),
        (
            "GET",
            f"{SUBSCRIPTION}/providers/Microsoft.MachineLearningServices/locations/l/usages",
            "Microsoft.MachineLearningServices/locations/usages/read",
            f"{SUBSCRIPTION}/providers/Microsoft.MachineLearningServices/locations/l",
        ),
        ("GET", f"{GROUP}/providers/{ML}", f"{ML}/read", GROUP),
        ("PUT", WORKSPACE, f"{ML}/write", WORKSPACE),
        ("PATCH", f"{WORKSPACE}/computes/c", f"{ML}/computes/write", f"{WORKSPACE}/computes/c"),
        ("DELETE", f"{WORKSPACE}/computes/c/", f"{ML}/computes/delete", f"{WORKSPACE}/computes/c"),
        ("GET", f"{WORKSPACE}/data/d/versions", f"{ML}/data/versions/read", f"{WORKSPACE}/data/d"),
        ("POST", f"{WORKSPACE}/listKeys", f"{ML}/listKeys/action", WORKSPACE),
        ("POST", f"{WORKSPACE}/jobs/j/cancel", f"{ML}/jobs/cancel/action", f"{WORKSPACE}/jobs/j"),
        ("POST", f"{SITE}/host/default/listKeys", "Microsoft.Web/sites/host/listKeys/action", f"{SITE}/host/default"),
        (
            "PUT",
            f"{TOPIC}/eventSubscriptions/e",
            "Microsoft.EventGrid/systemTopics/eventSubscriptions/write",
            f"{TOPIC}/eventSubscriptions/e",
        ),
        (
            "PUT",
            f"{WORKSPACE}/{ASSIGNMENTS}/r",
            "Microsoft.Authorization/roleAssignments/write",
            f"{WORKSPACE}/{ASSIGNMENTS}/r",
        ),
        ("GET", f"{WORKSPACE}/{ASSIGNMENTS}", "Microsoft.Authorization/roleAssignments/read", WORKSPACE),
        (
            "GET",
            f"{GROUP}/providers/Microsoft.Authorization/permissions",
            "Microsoft.Authorization/permissions/read",
            GROUP,
        ),
        ("GET", f"/history/v1.0{WORKSPACE}/runs/r/children", f"{ML}/experiments/runs/read", WORKSPACE),
        ("PATCH", f"/history/v1.0{WORKSPACE}/experiments/e/runs/r", f"{ML}/experiments/runs/write", WORKSPACE),
        ("POST", f"/history/v1.0{WORKSPACE}/rundata", f"{ML}/experiments/runs/read", WORKSPACE),
        ("POST", f"/data/v1.0{WORKSPACE}/dataversion/batchGetResolvedUris", f"{ML}/data/versions/read", WORKSPACE),
    ],
)
def test_the_action_and_its_scope_follow_from_method_and_path(method: str, path: str, action: str, scope: str) -> None:
    assert demand_of(method, path) == Demand(action, scope)


def test_the_state_of_an_operation_is_open_to_all() -> None:
    for operation in ("operationsStatus", "operationResults"):
        assert demand_of("GET", f"{SUBSCRIPTION}/providers/X.Y/locations/l/{operation}/o") is None


def test_a_path_that_is_not_arms_is_an_error() -> None:
    with pytest.raises(ValueError, match="'/mlflow/x' is not a path of Azure Resource Manager"):
        demand_of("GET", "/mlflow/x")


def linked(path: str, body: Any) -> list[Demand]:
    demand = demand_of("PUT", path)
    assert demand is not None
    return list(linked_demands(demand, body))


def test_a_cluster_links_to_its_identities_and_its_subnet() -> None:
    body = {
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}},
        "properties": {"computeType": "AmlCompute", "properties": {"subnet": {"id": "/net/subnets/n"}}},
    }
    assert linked(f"{WORKSPACE}/computes/c", body) == [
        Demand("Microsoft.ManagedIdentity/userAssignedIdentities/assign/action", IDENTITY),
        Demand("Microsoft.Network/virtualNetworks/subnets/join/action", "/net/subnets/n"),
    ]
    assert linked(f"{WORKSPACE}/computes/c", {"identity": {"type": "SystemAssigned"}, "properties": None}) == []


def test_an_event_subscription_links_to_its_function_and_not_to_a_webhook() -> None:
    function = {"endpointType": "AzureFunction", "properties": {"resourceId": f"{SITE}/functions/f"}}
    needed = [Demand("Microsoft.Web/sites/functions/write", f"{SITE}/functions/f")]
    path = f"{TOPIC}/eventSubscriptions/e"
    assert linked(path, {"properties": {"destination": function}}) == needed
    assert linked(path, {"properties": {"deliveryWithResourceIdentity": {"destination": function}}}) == needed
    webhook = {"endpointType": "WebHook", "properties": {"endpointUrl": "https://x"}}
    assert linked(path, {"properties": {"destination": webhook}}) == []


def test_a_deployment_needs_what_its_template_makes() -> None:
    path = f"{GROUP}/providers/Microsoft.Resources/deployments/d"
    demand = demand_of("PUT", path)
    assert demand is not None
    body = {"properties": {"parameters": {"workspaceName": {"value": "w"}}}}
    assert list(template_demands(demand, body)) == [Demand(f"{ML}/write", WORKSPACE)]
    assert list(template_demands(Demand(f"{ML}/write", WORKSPACE), body)) == []
