"""Plain requests to Azure Resource Manager, and faults for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import requests
from azure.core.credentials import TokenCredential

from local.config import StackConfig
from tests.contract.cloud.roles import Owner

if TYPE_CHECKING:
    from tests.contract.cloud.conftest import RunningStack

API_VERSION = "2024-10-01"


class Arm:
    """Requests to paths below the subscription, the owner's unless told; what the SDKs hide can be seen."""

    def __init__(self, config: StackConfig, credential: TokenCredential | None = None) -> None:
        self.config = config
        self._credential = credential or Owner(config)

    def send(self, method: str, path: str, api_version: str = API_VERSION, **options: Any) -> requests.Response:
        token = self._credential.get_token(f"{self.config.arm_url}/.default").token
        url = path if path.startswith("https:") else f"{self.config.arm_url}{path}"
        if "api-version=" not in url:
            options["params"] = {"api-version": api_version, **options.get("params", {})}
        headers = {"authorization": f"Bearer {token}"}
        return requests.request(
            method, url, headers=headers, verify=str(self.config.certificate), timeout=30, **options
        )

    @property
    def subscription(self) -> str:
        return f"/subscriptions/{self.config.subscription_id}"

    def group(self, name: str | None = None) -> str:
        """The path of a resource group; the stack's own, if none is named."""
        return f"{self.subscription}/resourceGroups/{name or self.config.resource_group}"

    def provider(self, path: str, group: str | None = None) -> str:
        """The path of `Provider/type/name…` in a resource group."""
        return f"{self.group(group)}/providers/{path}"

    @property
    def workspace(self) -> str:
        return self.provider(f"Microsoft.MachineLearningServices/workspaces/{self.config.workspace_name}")

    @property
    def account(self) -> str:
        return self.provider(f"Microsoft.Storage/storageAccounts/{self.config.account_name}")


@contextlib.contextmanager
def faults(stack: RunningStack, *rules: dict[str, Any]) -> Iterator[None]:
    """Faults of the local cloud, for a while."""
    assert stack.admin("PUT", "/faults", json={"value": list(rules)}).status_code == 200
    try:
        yield
    finally:
        stack.admin("PUT", "/faults", json={"value": []})
