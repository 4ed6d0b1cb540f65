"""What would make provisioning fail in the middle is refused before anything is made."""

from __future__ import annotations

from typing import Any

import pytest

from shared.clients import Clients
from shared.provisioning import plan_report, provisioning_report
from tests.contract.local_stack import Cloud, MakeClients, problems, provision


def check(plan: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in plan["checks"] if each["check"] == name)
    return found


@pytest.mark.parametrize(
    ("changes", "name", "message", "remedy"),
    [
        (
            {"compute_size": "Standard_NC6s_v3"},
            "vm size",
            "Standard_NC6s_v3 was retired on 2025-09-30",
            "set COMPUTE_SIZE to Standard_NC4as_T4_v3",
        ),
        ({"compute_size": "Standard_D4s_v3"}, "vm size", "Standard_D4s_v3 has no GPU", "Standard_NC4as_T4_v3"),
        (
            {"compute_size": "Standard_NC999_v9"},
            "vm size",
            "westeurope does not offer Standard_NC999_v9",
            "a GPU size that it offers (Standard_NC4as_T4_v3",
        ),
        (
            {"compute_size": "Standard_NC40ads_H100_v5"},
            "quota",
            "1 node(s) of Standard_NC40ads_H100_v5 need 40",
            "ask for more",
        ),
    ],
)
def test_a_cluster_that_can_not_be_is_refused_before_anything_is_made(
    make: MakeClients, changes: dict[str, object], name: str, message: str, remedy: str
) -> None:
    clients = make(**changes)
    plan = plan_report(clients)
    assert plan["state"] == "blocked"
    found = check(plan, name)
    assert found["state"] == "refused"
    assert message in found["message"]
    assert remedy in found["remedy"]
    report = provision(clients)
    assert report["state"] == "failed"
    assert problems(report)[name] == found["message"]
    assert {each["state"] for each in report["resources"]} == {"pending", "ready"}
    assert not list(clients.ml.workspaces.list()), "nothing is made"


def test_a_resource_group_that_does_not_exist_is_refused_with_the_command_that_makes_it(
    cloud: Cloud, clients: Clients
) -> None:
    rule = {"service": "arm", "operation": "GET", "path": "*/resourceGroups/labelloop*", "status": 404}
    with cloud.faults(rule):
        plan = plan_report(clients)
    assert plan["state"] == "blocked"
    found = check(plan, "resource group")
    assert found["state"] == "refused"
    assert found["remedy"] == "az group create --name labelloop --location westeurope"


def test_what_the_app_may_not_ask_is_not_checked_and_keeps_nothing_back(cloud: Cloud, clients: Clients) -> None:
    rules = [
        {"service": "arm", "operation": "GET", "path": path, "status": 403}
        for path in ("*/providers/Microsoft.MachineLearningServices", "*/vmSizes")
    ]
    with cloud.faults(*rules):
        plan = plan_report(clients)
    assert plan["state"] == "changes"
    for name in ("Microsoft.MachineLearningServices", "vm size and quota"):
        found = check(plan, name)
        assert found["state"] == "unchecked"
        assert "Azure does not let the app ask (403)" in found["message"]


def test_regions_that_can_not_be_looked_up_are_not_named(cloud: Cloud, make: MakeClients) -> None:
    rule = {"service": "arm", "operation": "GET", "path": "/subscriptions/*/locations", "status": 403}
    with cloud.faults(rule):
        found = check(plan_report(make(compute_size="Standard_NC999_v9")), "vm size")
    assert found["state"] == "refused"
    assert "COMPUTE_LOCATION" not in found["remedy"]


def test_a_region_that_azure_ml_does_not_know_is_refused(make: MakeClients) -> None:
    plan = plan_report(make(compute_location="westeurop"))
    assert plan["state"] == "blocked"
    found = check(plan, "region")
    assert (found["state"], "COMPUTE_LOCATION" in found["remedy"]) == ("refused", True)


def test_regions_nearby_that_offer_the_size_are_named(make: MakeClients) -> None:
    clients = make(compute_size="Standard_NC24ads_A100_v4", compute_location="northeurope")
    found = check(plan_report(clients), "vm size")
    assert (found["state"], found["message"]) == (
        "refused",
        "northeurope does not offer Standard_NC24ads_A100_v4 to Azure ML",
    )
    regions = found["remedy"].partition("COMPUTE_LOCATION to a region that has it (")[2].partition(")")[0]
    assert regions.split(", ")[:2] == ["uksouth", "westeurope"], "nearest first"
    assert "germanywestcentral" not in regions, "it has none either"


def test_one_thing_that_can_not_be_read_does_not_hide_the_others(cloud: Cloud, clients: Clients) -> None:
    rule = {"service": "arm", "operation": "POST", "path": "*/host/default/listKeys", "status": 400}
    with cloud.faults(rule):
        plan = plan_report(clients)
    assert plan["state"] == "blocked"
    unreadable = [each for each in plan["resources"] if each["action"] == "unreadable"]
    assert [each["id"] for each in unreadable] == ["event-subscription:labelloop-images"]
    assert "fault injected" in unreadable[0]["error"]


def test_a_refusal_that_is_settled_is_forgotten(clients: Clients) -> None:
    report = provision(clients)
    assert report["state"] == "ready", problems(report)
    assert {each["state"] for each in report["checks"]} == {"passed"}
    assert provisioning_report(clients)["error"] == ""


def test_a_cluster_that_is_there_needs_no_further_quota(cloud: Cloud, clients: Clients) -> None:
    with cloud.faults({"service": "arm", "operation": "GET", "path": "*/vmSizes", "status": 400}):
        assert plan_report(clients)["state"] == "unchanged"
