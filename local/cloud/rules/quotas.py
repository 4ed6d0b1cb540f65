"""Azure ML's own quotas: vCPUs and clusters of a subscription in a region.

learn.microsoft.com/azure/machine-learning/how-to-manage-quotas: dedicated vCPUs are limited by family and in all,
low-priority ones in all alone. Fields: azure-rest-api-specs, Microsoft.MachineLearningServices `Usage/list.json`; the
values of `name` are those that `az ml compute list-usage` and `az quota` show. A family stands in the list twice, with
the same `name.value`; `type` tells the dedicated from the low-priority entry, whose limit is -1, which is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from local.cloud.errors import BadRequestError
from local.cloud.resources import Json
from local.cloud.rules.ids import ML_PROVIDER
from local.cloud.rules.regions import Region
from local.cloud.rules.virtual_machines import A100, FAMILIES, H100, T4, MachineSize, find_size

LOW_PRIORITY = "LowPriority"
MOST_CLUSTERS = 200


@dataclass(frozen=True)
class Limits:
    """vCPUs that the subscription may use in a region; families that are not named have 100."""

    dedicated: int
    low_priority: int
    families: dict[str, int]

    def of(self, family: str) -> int:
        return self.families.get(family, 100)


# No H100 anywhere, as in a fresh subscription: what refuses for lack of quota can be seen locally too.
_LIMITS = {
    "westeurope": Limits(300, 16, {T4: 64, A100: 24, H100: 0}),
    "swedencentral": Limits(200, 100, {A100: 96, H100: 0}),
    "eastus": Limits(100, 100, {T4: 4, A100: 0, H100: 0}),
}
_ELSEWHERE = Limits(100, 0, {T4: 8, A100: 0, H100: 0})


def limits_in(region: Region) -> Limits:
    return _LIMITS.get(region.name, _ELSEWHERE)


@dataclass(frozen=True)
class Use:
    """What one cluster takes: vCPUs of the nodes that are up."""

    size: MachineSize
    priority: str
    cores: int


def use_of(region: Region, cluster: Json) -> Use | None:
    """The use of a cluster, from the properties of its resource; None for what is not on a size of the region."""
    inner = cluster.get("properties") or {}
    size = find_size(region, str(inner.get("vmSize", "")))
    if size is None:
        return None
    return Use(size, str(inner.get("vmPriority")), size.cores * int(inner.get("currentNodeCount") or 0))


def require_quota(region: Region, size: MachineSize, priority: str, least: int) -> None:
    """Raises BadRequestError when the quota, used or not, is less than what `least` nodes (but one) take.

    Code and words: what Azure ML is seen to answer, dedicated and low priority, also when minNodeCount is 0.
    """
    limits, nodes = limits_in(region), max(1, least)
    if priority == LOW_PRIORITY:
        what, limit = "total", limits.low_priority
    else:
        what, limit = f"{_label(size.family).removesuffix(' Family')} family", limits.of(size.family)
        if limits.dedicated < limit:
            what, limit = "total", limits.dedicated
    needed = nodes * size.cores
    if limit < needed:
        raise BadRequestError(
            f"The specified subscription has a {what} vCPU quota of {limit} and cannot accomodate for at least {nodes} "
            f"requested managed compute nodes which maps to {needed} vCPUs.",
            code="ClusterMinNodesExceedCoreQuota",
        )


def nodes_that_fit(region: Region, size: MachineSize, priority: str, wanted: int, others: Iterable[Use]) -> int:
    """How many of `wanted` nodes the free quota allows, beside the other clusters of the region."""
    limits, uses = limits_in(region), list(others)
    low = priority == LOW_PRIORITY
    pool = [use for use in uses if (use.priority == LOW_PRIORITY) == low]
    free = (limits.low_priority if low else limits.dedicated) - sum(use.cores for use in pool)
    if not low:
        same = sum(use.cores for use in pool if use.size.family == size.family)
        free = min(free, limits.of(size.family) - same)
    return max(0, min(wanted, free // size.cores))


def usages(subscription: str, region: Region, clusters: list[Json]) -> list[Json]:
    """Quota and use of a region. `clusters` are the properties of its clusters."""
    uses = [use for use in (use_of(region, cluster) for cluster in clusters) if use is not None]
    limits = limits_in(region)
    dedicated = [use for use in uses if use.priority != LOW_PRIORITY]
    low = [use for use in uses if use.priority == LOW_PRIORITY]

    def usage(kind: str, name: str, label: str, used: int, limit: int) -> Json:
        prefix = f"/subscriptions/{subscription}/providers/{ML_PROVIDER}/locations/{region.name}/usages"
        return {
            "id": f"{prefix}/{label.replace(' ', '_')}",
            "type": f"{ML_PROVIDER}/{kind}/usages",
            "amlWorkspaceLocation": region.name,
            "unit": "Count",
            "currentValue": used,
            "limit": limit,
            "name": {"value": name, "localizedValue": label},
        }

    found = [
        usage("totalCores", "TotalClusters", "Total Clusters", len(clusters), MOST_CLUSTERS),
        usage(
            "dedicatedCores",
            "TotalDedicatedCores",
            "Total Cluster Dedicated Regional vCPUs",
            sum(use.cores for use in dedicated),
            limits.dedicated,
        ),
        usage(
            "lowPriorityCores",
            "TotalLowPriorityCores",
            "Total Cluster LowPriority Regional vCPUs",
            sum(use.cores for use in low),
            limits.low_priority,
        ),
    ]
    for family in FAMILIES:
        used = sum(use.cores for use in dedicated if use.size.family == family)
        label = f"{_label(family)} Cluster Dedicated vCPUs"
        found.append(usage("vmFamily/dedicatedCores", family, label, used, limits.of(family)))
        used = sum(use.cores for use in low if use.size.family == family)
        label = f"{_label(family)} Cluster LowPriority vCPUs"
        found.append(usage("vmFamily/lowPriorityCores", family, label, used, -1))
    return found


def _label(family: str) -> str:
    """`standardNCASv3_T4Family` → `Standard NCASv3_T4 Family`."""
    return f"Standard {family.removeprefix('standard').removesuffix('Family')} Family"
