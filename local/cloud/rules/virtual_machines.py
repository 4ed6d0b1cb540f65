"""The virtual machine sizes and quotas that the local region offers.

Sizes: learn.microsoft.com, "NCasT4_v3", "NC_A100_v4", "NCads_H100_v5", "Dsv3", "Fsv2" series. Fields:
`VirtualMachineSize` and `Usage` of Microsoft.MachineLearningServices (azure-ai-ml, `_restclient/arm_ml_service`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class MachineSize:
    """A VM size: vCPUs, GPUs, memory (GiB) and temporary disk (GiB)."""

    name: str
    family: str
    cores: int
    gpus: int
    memory: float
    disk: int

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "family": self.family,
            "vCPUs": self.cores,
            "gpus": self.gpus,
            "osVhdSizeMB": 1047552,
            "maxResourceVolumeMB": self.disk * 1024,
            "memoryGB": self.memory,
            "lowPriorityCapable": True,
            "premiumIO": True,
            "supportedComputeTypes": ["AmlCompute", "ComputeInstance"],
        }


_T4 = "standardNCASv3_T4Family"
_A100 = "standardNCADSA100v4Family"
_H100 = "standardNCADSH100v5Family"

SIZES = (
    MachineSize("Standard_DS3_v2", "standardDSv2Family", 4, 0, 14, 28),
    MachineSize("Standard_D4s_v3", "standardDSv3Family", 4, 0, 16, 32),
    MachineSize("Standard_F4s_v2", "standardFSv2Family", 4, 0, 8, 32),
    MachineSize("Standard_NC4as_T4_v3", _T4, 4, 1, 28, 180),
    MachineSize("Standard_NC8as_T4_v3", _T4, 8, 1, 56, 360),
    MachineSize("Standard_NC16as_T4_v3", _T4, 16, 1, 110, 360),
    MachineSize("Standard_NC64as_T4_v3", _T4, 64, 4, 440, 2880),
    MachineSize("Standard_NC24ads_A100_v4", _A100, 24, 1, 220, 64),
    MachineSize("Standard_NC48ads_A100_v4", _A100, 48, 2, 440, 128),
    MachineSize("Standard_NC96ads_A100_v4", _A100, 96, 4, 880, 256),
    MachineSize("Standard_NC40ads_H100_v5", _H100, 40, 1, 320, 3576),
)

QUOTAS = {
    "standardDSv2Family": 100,
    "standardDSv3Family": 100,
    "standardFSv2Family": 100,
    _T4: 64,
    _A100: 24,
    # No quota, as in a fresh subscription: what refuses for lack of quota can be seen locally too.
    _H100: 0,
}


def find_size(name: str) -> MachineSize | None:
    """The size of that name, in any case; None when the region does not offer it."""
    return next((size for size in SIZES if size.name.lower() == name.lower()), None)


def usages(subscription: str, location: str, clusters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Quota and use for each family, in vCPUs. `clusters` are the properties of AmlCompute resources."""
    used = dict.fromkeys(QUOTAS, 0)
    for cluster in clusters:
        inner = cluster.get("properties") or {}
        size = find_size(str(inner.get("vmSize", "")))
        if size is not None:
            nodes = int((inner.get("scaleSettings") or {}).get("minNodeCount") or 0)
            used[size.family] += size.cores * nodes
    prefix = f"/subscriptions/{subscription}/providers/Microsoft.MachineLearningServices/locations/{location}/usages"
    return [
        {
            "id": f"{prefix}/{family}",
            "type": "Microsoft.MachineLearningServices/usages",
            "amlWorkspaceLocation": location,
            "unit": "Count",
            "currentValue": used[family],
            "limit": limit,
            "name": {"value": family, "localizedValue": f"{_label(family)} Cluster Dedicated vCPUs"},
        }
        for family, limit in QUOTAS.items()
    ]


def _label(family: str) -> str:
    """`standardNCASv3_T4Family` → `Standard NCASv3_T4 Family`."""
    return f"Standard {family.removeprefix('standard').removesuffix('Family')} Family"
