"""The virtual machine sizes that Azure ML offers in each region.

Sizes: learn.microsoft.com, "NCasT4_v3", "NC_A100_v4", "NCads_H100_v5", "Dsv3", "Fsv2" series. Fields:
`VirtualMachineSize` of Microsoft.MachineLearningServices (azure-ai-ml, `_restclient/arm_ml_service`).
Which regions lack which sizes changes from month to month; here some lack some, so that it can be met.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from local.cloud.rules.regions import Region


@dataclass(frozen=True)
class MachineSize:
    """A VM size: vCPUs, GPUs, memory (GiB) and temporary disk (GiB)."""

    name: str
    family: str
    cores: int
    gpus: int
    memory: float
    disk: int
    low_priority: bool = True

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "family": self.family,
            "vCPUs": self.cores,
            "gpus": self.gpus,
            "osVhdSizeMB": 1047552,
            "maxResourceVolumeMB": self.disk * 1024,
            "memoryGB": self.memory,
            "lowPriorityCapable": self.low_priority,
            "premiumIO": True,
            "supportedComputeTypes": ["AmlCompute", "ComputeInstance"],
        }


DSV2, DSV3, FSV2 = "standardDSv2Family", "standardDSv3Family", "standardFSv2Family"
T4, A100, H100 = "standardNCASv3_T4Family", "standardNCADSA100v4Family", "standardNCadsH100v5Family"
FAMILIES = (DSV2, DSV3, FSV2, T4, A100, H100)

SIZES = (
    MachineSize("Standard_DS3_v2", DSV2, 4, 0, 14, 28),
    MachineSize("Standard_D4s_v3", DSV3, 4, 0, 16, 32),
    MachineSize("Standard_F4s_v2", FSV2, 4, 0, 8, 32),
    MachineSize("Standard_NC4as_T4_v3", T4, 4, 1, 28, 180),
    MachineSize("Standard_NC8as_T4_v3", T4, 8, 1, 56, 360),
    MachineSize("Standard_NC16as_T4_v3", T4, 16, 1, 110, 360),
    MachineSize("Standard_NC64as_T4_v3", T4, 64, 4, 440, 2880),
    MachineSize("Standard_NC24ads_A100_v4", A100, 24, 1, 220, 64),
    MachineSize("Standard_NC48ads_A100_v4", A100, 48, 2, 440, 128),
    MachineSize("Standard_NC96ads_A100_v4", A100, 96, 4, 880, 256),
    MachineSize("Standard_NC40ads_H100_v5", H100, 40, 1, 320, 3576, low_priority=False),
)

_MISSING = {
    "northeurope": {A100, H100},
    "swedencentral": {T4},
    "francecentral": {H100},
    "germanywestcentral": {A100},
    "southcentralus": {FSV2},
}


def sizes_in(region: Region) -> list[MachineSize]:
    """The sizes that a region offers."""
    return [size for size in SIZES if size.family not in _MISSING.get(region.name, ())]


def find_size(region: Region, name: str) -> MachineSize | None:
    """The size of that name, in any case; None when the region does not offer it."""
    return next((size for size in sizes_in(region) if size.name.lower() == name.lower()), None)
