"""Size and quota of the cluster, judged before anything is made."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from shared.provisioning.check import Check
from shared.provisioning.machine_sizes import MachineSize, Quota, check_quota, check_size, retired_sizes

TODAY = dt.date(2026, 11, 24)
T4 = MachineSize("Standard_NC4as_T4_v3", "Standard NCASv3_T4 Family", 4, 1, True)
BIG = MachineSize("Standard_NC24ads_A100_v4", "standardNCADSA100v4Family", 24, 1, False)
CPU = MachineSize("Standard_D4s_v3", "standardDSv3Family", 4, 0, True)
OFFERED = [BIG, T4, CPU]


def size(name: str, *, location: str = "westeurope", today: dt.date = TODAY) -> Check:
    return check_size(name, location, OFFERED, lambda: ["northeurope", "uksouth"], today)


def usage(value: str, limit: int, used: int | None = 0, label: str = "", kind: str = "dedicatedCores") -> Quota:
    document: dict[str, Any] = {
        "id": "/subscriptions/s/providers/Microsoft.MachineLearningServices/locations/westeurope/usages/x",
        "type": f"Microsoft.MachineLearningServices/{kind}/usages",
        "currentValue": used,
        "limit": limit,
        "name": {"value": value, "localizedValue": label or value},
    }
    return Quota.from_json(document)


TOTAL = usage("TotalDedicatedCores", 500, kind="totalDedicatedCores", label="Total Cluster Dedicated Regional vCPUs")
LOW_TOTAL = usage("TotalLowPriorityCores", 8, kind="totalLowPriorityCores", label="Total Cluster LowPriority vCPUs")


def family(limit: int, used: int | None = 0, value: str = "Standard NCASv3_T4 Family") -> Quota:
    return usage(value, limit, used, "Standard NCASv3_T4 Family Cluster Dedicated vCPUs")


def quota(*quotas: Quota, priority: str = "Dedicated", least: int = 0, most: int = 4, of: MachineSize = T4) -> Check:
    return check_quota(of, "westeurope", priority, quotas, least=least, most=most)


def test_a_living_gpu_size_passes_in_any_spelling() -> None:
    check = size("standard_nc4as_t4_v3")
    assert (check.state, check.remedy) == ("passed", "")
    assert "4 vCPUs, 1 GPU" in check.message


@pytest.mark.parametrize(
    ("retired", "replacement"),
    [
        ("Standard_NC6", "Standard_NC4as_T4_v3"),
        ("Standard_NC6s_v2", "Standard_NC4as_T4_v3"),
        ("STANDARD_NC6S_V3", "Standard_NC4as_T4_v3"),
        ("Standard_NC24s_v3", "Standard_NC96ads_A100_v4"),
        ("Standard_ND6s", "Standard_NC4as_T4_v3"),
    ],
)
def test_a_retired_size_is_refused_with_the_size_that_replaces_it(retired: str, replacement: str) -> None:
    check = size(retired)
    assert check.state == "refused"
    assert "was retired on 202" in check.message
    assert check.remedy == f"set COMPUTE_SIZE to {replacement}"


def test_a_size_lives_until_its_day_and_longer_where_azure_says_so() -> None:
    offered = [MachineSize("Standard_NC6s_v3", "standardNCSv3Family", 6, 1, True)]

    def check(location: str, today: dt.date) -> str:
        return check_size("Standard_NC6s_v3", location, offered, list, today).state

    assert check("westeurope", dt.date(2025, 9, 29)) == "warning"
    assert check("westeurope", dt.date(2025, 9, 30)) == "refused"
    assert check("usgovvirginia", dt.date(2025, 9, 30)) == "warning"


def test_every_replacement_is_a_size_that_lives() -> None:
    assert len(retired_sizes()) > 20
    assert [each for each in retired_sizes().values() if each.replacement.lower() in retired_sizes()] == []


def test_a_size_that_is_not_offered_is_refused_with_sizes_and_regions_that_are() -> None:
    check = size("Standard_NC40ads_H100_v5")
    assert check.state == "refused"
    assert check.message == "westeurope does not offer Standard_NC40ads_H100_v5 to Azure ML"
    assert "Standard_NC4as_T4_v3, Standard_NC24ads_A100_v4" in check.remedy
    assert "a region that has it (northeurope, uksouth)" in check.remedy


def test_a_size_that_no_cluster_can_have_counts_as_not_offered() -> None:
    only_for_instances = MachineSize.from_json(
        {"name": "Standard_NC4as_T4_v3", "vCPUs": 4, "gpus": 1, "supportedComputeTypes": ["ComputeInstance"]}
    )
    check = check_size("Standard_NC4as_T4_v3", "westeurope", [only_for_instances], list, TODAY)
    assert check.state == "refused"
    assert "COMPUTE_LOCATION" not in check.remedy


def test_a_size_without_gpu_is_refused() -> None:
    check = size("Standard_D4s_v3")
    assert (check.state, check.message) == ("refused", "Standard_D4s_v3 has no GPU")
    assert "Standard_NC4as_T4_v3" in check.remedy


def test_a_gpu_size_that_automl_is_not_documented_for_is_a_warning() -> None:
    offered = [MachineSize("Standard_NV36ads_A10_v5", "StandardNVADSA10v5Family", 36, 1, True), T4]
    assert check_size("Standard_NV36ads_A10_v5", "westeurope", offered, list, TODAY).state == "warning"


def test_a_quota_that_holds_all_nodes_passes() -> None:
    check = quota(family(16), TOTAL)
    assert check.state == "passed"
    assert check.message.startswith("16 of 16 vCPUs are free")


@pytest.mark.parametrize("spelling", ["standardNCASv3_T4Family", "Standard NCASv3_T4 Family"])
def test_the_family_is_found_however_azure_spells_it(spelling: str) -> None:
    assert quota(usage(spelling, 0, label="x"), TOTAL).state == "refused"


def test_a_quota_without_room_for_one_node_is_refused_with_figures_and_the_way_to_ask() -> None:
    check = quota(family(3, 1), TOTAL)
    assert check.state == "refused"
    assert "is 3 vCPUs, 2 of them free; 1 node(s) of Standard_NC4as_T4_v3 need 4" in check.message
    assert "https://learn.microsoft.com/azure/machine-learning/how-to-manage-quotas" in check.remedy


def test_nodes_that_always_run_need_quota_for_all_of_them() -> None:
    assert quota(family(8), TOTAL, least=2).state == "warning"
    assert quota(family(8), TOTAL, least=3).state == "refused"


def test_quota_in_use_is_a_warning_since_jobs_wait_for_it() -> None:
    check = quota(family(16, 14), TOTAL)
    assert check.state == "warning"
    assert "enough for 0 of the 4 nodes" in check.message


def test_the_region_s_total_counts_too() -> None:
    assert quota(family(64), usage("TotalDedicatedCores", 2, kind="totalDedicatedCores")).state == "refused"


def test_low_priority_has_a_quota_of_its_own_over_all_families() -> None:
    without_limit = usage("standardNCASv3_T4Family", -1, kind="lowPriorityCores")
    assert quota(family(0), without_limit, LOW_TOTAL, priority="LowPriority", most=2).state == "passed"
    assert quota(family(64), LOW_TOTAL, priority="LowPriority", most=4).state == "warning"
    assert quota(without_limit, family(0), TOTAL).state == "refused", "dedicated cores are refused all the same"


def test_a_size_that_is_not_offered_with_low_priority_is_refused() -> None:
    check = quota(LOW_TOTAL, priority="LowPriority", of=BIG)
    assert (check.state, check.remedy) == ("refused", "set COMPUTE_PRIORITY to Dedicated")


def test_no_use_reported_is_no_use() -> None:
    assert quota(family(16, None), TOTAL).state == "passed"


def test_a_quota_that_azure_does_not_tell_is_not_checked() -> None:
    assert quota(LOW_TOTAL).state == "unchecked"
