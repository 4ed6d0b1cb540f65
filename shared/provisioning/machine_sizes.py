"""Whether the cluster's VM size is a living GPU size that the region offers and the subscription has quota for."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from shared.provisioning.check import PASSED, REFUSED, UNCHECKED, WARNING, Check

RETIRED_SIZES = Path(__file__).with_name("retired_sizes.json")
# https://learn.microsoft.com/azure/machine-learning/how-to-auto-train-image-models#compute-to-run-experiment
TRAINING_SIZES = ("standard_nc", "standard_nd")
QUOTA_HELP = "https://learn.microsoft.com/azure/machine-learning/how-to-manage-quotas"


@dataclass(frozen=True)
class MachineSize:
    """A VM size as Azure ML offers it in a region: vCPUs and GPUs of one node."""

    name: str
    family: str
    cores: int
    gpus: int
    is_low_priority_capable: bool
    is_for_clusters: bool = True

    @classmethod
    def from_json(cls, size: Mapping[str, Any]) -> MachineSize:
        """From a `VirtualMachineSize` of the REST API."""
        types = size.get("supportedComputeTypes")
        return cls(
            str(size["name"]),
            str(size.get("family") or ""),
            int(size.get("vCPUs") or 0),
            int(size.get("gpus") or 0),
            bool(size.get("lowPriorityCapable")),
            not types or "AmlCompute" in types,
        )


@dataclass(frozen=True)
class RetiredSize:
    """A size that Azure takes or took away, and the living one that does what it did. `extended` are later dates by
    region.
    """

    name: str
    retired_on: dt.date
    replacement: str
    extended: Mapping[str, dt.date]

    def date_in(self, location: str) -> dt.date:
        """When it ends in a region."""
        return self.extended.get(location, self.retired_on)


@dataclass(frozen=True)
class Quota:
    """How many vCPUs of a kind are in use, and how many may be; a `limit` of None is none.

    Azure ML lists a family's dedicated and low-priority vCPUs under one name, and spells names in several ways:
    https://learn.microsoft.com/rest/api/azureml/usages/list
    """

    label: str
    used: int
    limit: int | None
    words: str

    @property
    def free(self) -> int:
        return max(0, (self.limit or 0) - self.used)

    @property
    def is_low_priority(self) -> bool:
        return "lowpriority" in self.words

    @property
    def is_total(self) -> bool:
        return "total" in self.words and ("vcpu" in self.words or "core" in self.words)

    @classmethod
    def from_json(cls, usage: Mapping[str, Any]) -> Quota:
        """From a `Usage` of the REST API."""
        name, limit = usage.get("name") or {}, int(-1 if usage.get("limit") is None else usage["limit"])
        value, label = str(name.get("value") or ""), str(name.get("localizedValue") or "")
        words = "|".join(_plain(part) for part in (value, label, str(usage.get("type") or "")))
        return cls(label or value, int(usage.get("currentValue") or 0), None if limit < 0 else limit, words)


@cache
def retired_sizes() -> Mapping[str, RetiredSize]:
    """All sizes with a known date of retirement, by lower-case name. Sources stand in the file."""
    date = dt.date.fromisoformat
    return {
        name.lower(): RetiredSize(
            name,
            date(series["retired_on"]),
            replacement,
            {region: date(later) for region, later in series.get("extended", {}).items()},
        )
        for series in json.loads(RETIRED_SIZES.read_text(encoding="utf-8"))
        for name, replacement in series["sizes"].items()
    }


def check_size(
    wanted: str,
    location: str,
    offered: Sequence[MachineSize],
    other_regions: Callable[[], Sequence[str]],
    today: dt.date,
) -> Check:
    """Whether a region offers a living GPU size of that name. `other_regions` names regions nearby that offer it."""
    name = "vm size"
    retired = retired_sizes().get(wanted.lower())
    living = f"set COMPUTE_SIZE to {retired.replacement}" if retired else ""
    if retired and retired.date_in(location) <= today:
        return Check(name, REFUSED, f"{retired.name} was retired on {retired.date_in(location)}", living)
    size = find_size(offered, wanted)
    with_gpu = sorted((each for each in offered if each.gpus), key=lambda each: (each.cores, each.name))
    here = ", ".join(each.name for each in with_gpu) or "none"
    if size is None:
        regions = other_regions()
        elsewhere = f", or COMPUTE_LOCATION to a region that has it ({', '.join(regions)})" if regions else ""
        return Check(
            name,
            REFUSED,
            f"{location} does not offer {wanted} to Azure ML",
            f"set COMPUTE_SIZE to a GPU size that it offers ({here}){elsewhere}; a new subscription sees some sizes "
            f"only once it has quota for them ({QUOTA_HELP})",
        )
    if not size.gpus:
        return Check(name, REFUSED, f"{size.name} has no GPU", f"set COMPUTE_SIZE to a GPU size of {location}: {here}")
    if retired:
        message = f"{size.name} will be retired on {retired.date_in(location)}"
        return Check(name, WARNING, message, f"{living} before that")
    if not size.name.lower().startswith(TRAINING_SIZES):
        message = f"{size.name} has a GPU, but AutoML for images is documented for NC and ND sizes alone"
        return Check(name, WARNING, message, f"set COMPUTE_SIZE to one of {here}")
    return Check(name, PASSED, f"{location} offers {size.name}: {size.cores} vCPUs, {size.gpus} GPU a node")


def check_quota(
    size: MachineSize, location: str, priority: str, quotas: Sequence[Quota], *, least: int, most: int
) -> Check:
    """Whether the quota holds `least` nodes, and at least one, without which Azure makes no cluster; a warning when
    what is free now holds fewer than `most`.
    """
    name, is_low = "quota", priority == "LowPriority"
    if is_low and not size.is_low_priority_capable:
        return Check(name, REFUSED, f"{size.name} is not offered as LowPriority", "set COMPUTE_PRIORITY to Dedicated")
    relevant = [
        each
        for each in quotas
        if each.is_low_priority == is_low
        and each.limit is not None
        and (each.is_total or (size.family and f"|{_family(size)}" in f"|{each.words}"))
    ]
    if not relevant:
        return Check(name, UNCHECKED, f"Azure ML tells no quota of {size.family} in {location}")
    ask = f"ask for more ({QUOTA_HELP}; family {size.family}, region {location}), or choose another COMPUTE_SIZE"
    tightest = min(relevant, key=lambda each: each.free)
    have = f"{tightest.free} of {tightest.limit} vCPUs are free in {tightest.label}, {location}"
    for quota in relevant:
        needed = size.cores * max(1, least)
        if quota.limit is not None and quota.limit < needed:
            message = f"{quota.label} in {location} is {quota.limit} vCPUs, {quota.free} of them free; "
            return Check(name, REFUSED, f"{message}{max(1, least)} node(s) of {size.name} need {needed}", ask)
    if tightest.free < size.cores * most:
        nodes = tightest.free // size.cores
        message = f"{have}: enough for {nodes} of the {most} nodes (COMPUTE_MAX_NODES) of {size.name}; jobs may wait"
        return Check(name, WARNING, message, ask)
    return Check(name, PASSED, f"{have}: enough for {most} nodes of {size.name}")


def find_size(offered: Sequence[MachineSize], name: str) -> MachineSize | None:
    """The size of that name, in any case, if clusters can be made of it."""
    return next((each for each in offered if each.name.lower() == name.lower() and each.is_for_clusters), None)


def _family(size: MachineSize) -> str:
    return _plain(size.family).removesuffix("family")


def _plain(text: str) -> str:
    """Azure spells a family `standardNCASv3_T4Family` here and `Standard NCASv3_T4 Family` there."""
    return re.sub(r"[^a-z0-9]", "", text.lower())
