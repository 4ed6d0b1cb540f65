"""Regions, resource providers, and what Azure ML offers and allows in each region."""

from __future__ import annotations

import pytest
from azure.ai.ml import MLClient
from azure.core.exceptions import HttpResponseError
from azure.mgmt.machinelearningservices import MachineLearningServicesMgmtClient

from tests.contract.cloud.arm import Arm


def test_regions_say_where_they_are(arm: Arm) -> None:
    listed = arm.send("GET", f"{arm.subscription}/locations", "2022-12-01").json()["value"]
    regions = {region["name"]: region for region in listed}
    west = regions["westeurope"]
    assert west["displayName"] == "West Europe"
    assert west["metadata"]["regionType"] == "Physical"
    assert west["metadata"]["geographyGroup"] == "Europe"
    assert (west["metadata"]["latitude"], west["metadata"]["longitude"]) == ("52.3667", "4.9")
    assert west["metadata"]["pairedRegion"][0]["name"] == "northeurope"
    assert regions["europe"]["metadata"]["regionType"] == "Logical"
    assert "latitude" not in regions["europe"]["metadata"]


def test_regions_offer_different_sizes(ml: MLClient) -> None:
    def gpus(location: str) -> set[str]:
        return {size.name for size in ml.compute.list_sizes(location=location) if size.gpus}

    assert "Standard_NC4as_T4_v3" in gpus("westeurope") - gpus("swedencentral")
    assert "Standard_NC24ads_A100_v4" in gpus("swedencentral") - gpus("northeurope")
    assert {size.name for size in ml.compute.list_sizes()} == {
        size.name for size in ml.compute.list_sizes(location="West Europe")
    }


def test_the_management_sdk_lists_the_same_sizes_and_usages(
    ml: MLClient, management: MachineLearningServicesMgmtClient
) -> None:
    listed = management.virtual_machine_sizes.list("westeurope").aml_compute
    assert {(size.name, size.gpus) for size in listed} == {(size.name, size.gpus) for size in ml.compute.list_sizes()}
    assert {size.name: size.v_cp_us for size in listed}["Standard_NC4as_T4_v3"] == 4
    usages = management.usages.list("westeurope")
    assert [(usage.name.value, usage.limit) for usage in usages] == [
        (usage.name["value"], usage.limit) for usage in ml.compute.list_usage()
    ]


def test_quotas_are_told_by_family_and_in_all_for_both_priorities(
    management: MachineLearningServicesMgmtClient,
) -> None:
    usages = list(management.usages.list("westeurope"))
    by_type = {(usage.type.split("/", 1)[1], usage.name.value): usage for usage in usages}
    labels = {key: usage.name.localized_value for key, usage in by_type.items()}
    t4 = "standardNCASv3_T4Family"
    assert labels["totalCores/usages", "TotalClusters"] == "Total Clusters"
    assert labels["dedicatedCores/usages", "TotalDedicatedCores"] == "Total Cluster Dedicated Regional vCPUs"
    assert labels["lowPriorityCores/usages", "TotalLowPriorityCores"] == "Total Cluster LowPriority Regional vCPUs"
    assert labels["vmFamily/dedicatedCores/usages", t4] == "Standard NCASv3_T4 Family Cluster Dedicated vCPUs"
    assert by_type["vmFamily/dedicatedCores/usages", t4].limit == 64
    assert by_type["vmFamily/lowPriorityCores/usages", t4].limit == -1
    assert by_type["vmFamily/dedicatedCores/usages", "standardNCadsH100v5Family"].limit == 0


def test_an_unknown_region_is_refused(ml: MLClient) -> None:
    with pytest.raises(HttpResponseError, match=r"NoRegisteredProviderFound.*location 'atlantis'.*westeurope"):
        list(ml.compute.list_usage(location="atlantis"))
    with pytest.raises(HttpResponseError, match="locations/vmSizes"):
        list(ml.compute.list_sizes(location="europe"))


def test_a_provider_must_be_registered_before_it_makes_anything(arm: Arm) -> None:
    path = f"{arm.subscription}/providers/Microsoft.EventGrid"
    registered = arm.send("GET", path).json()
    assert registered["registrationState"] == "Registered"
    assert "systemTopics" in {each["resourceType"] for each in registered["resourceTypes"]}
    topic = arm.provider("Microsoft.EventGrid/topics/unregistered", "elsewhere")
    arm.send("POST", f"{path}/unregister")
    try:
        assert arm.send("GET", path).json()["registrationState"] == "Unregistered"
        refused = arm.send("PUT", topic, json={"location": "westeurope"})
        assert refused.status_code == 409
        assert refused.json()["error"]["code"] == "MissingSubscriptionRegistration"
    finally:
        arm.send("POST", f"{path}/register")
    assert arm.send("GET", path).json()["registrationState"] == "Registered"


def test_a_provider_that_does_not_exist_is_not_found(arm: Arm) -> None:
    answer = arm.send("GET", f"{arm.subscription}/providers/Microsoft.Nothing")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "InvalidResourceNamespace")
