"""Bicep's functions, as far as infra/ uses them, and the values that they make up:
https://learn.microsoft.com/azure/azure-resource-manager/bicep/bicep-functions
"""

from __future__ import annotations

import hashlib
import ipaddress
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000001"
TENANT = "00000000-0000-0000-0000-00000000000a"
ENVIRONMENT = {
    "resourceManager": "https://management.azure.com/",
    "suffixes": {"storage": "core.windows.net"},
    "authentication": {"loginEndpoint": "https://login.microsoftonline.com/"},
}
TODAY = "2026-11-01"


class Runtime(str):
    """A value that Azure makes; its text says which, e.g. `<…/vaults/kv>.properties.vaultUri`."""

    __slots__ = ()


def _union(*objects: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in objects:
        found.update(each)
    return found


def _cidr_subnet(network: str, prefix: int, index: int) -> str:
    return str(list(ipaddress.ip_network(network).subnets(new_prefix=prefix))[index])


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "cidrSubnet": _cidr_subnet,
    "concat": lambda *lists: [each for one in lists for each in one],
    "empty": lambda value: not value,
    "environment": lambda: ENVIRONMENT,
    "guid": lambda *parts: str(uuid.uuid5(uuid.NAMESPACE_URL, "|".join(parts))),
    "length": len,
    "listKeys": lambda identifier, version: Runtime(f"<{identifier}>.listKeys({version})"),
    "range": lambda start, count: list(range(start, start + count)),
    "replace": lambda value, old, new: value.replace(old, new),
    "string": str,
    "subscriptionResourceId": lambda kind, name: f"{SUBSCRIPTION}/providers/{kind}/{name}",
    "take": lambda value, count: value[:count],
    "toLower": lambda value: value.lower(),
    "union": _union,
    "uniqueString": lambda *parts: "u" + hashlib.sha256("|".join(parts).encode()).hexdigest()[:12],
    "uriComponent": lambda value: Runtime(value) if isinstance(value, Runtime) else quote(value, safe=""),
    "utcNow": lambda _format: TODAY,
}
