"""The Functions host's own API, as Azure Resource Manager asks it for the keys of functions."""

from __future__ import annotations

from typing import Any

import aiohttp

from local.cloud.errors import BadRequestError, NotFoundError
from local.config import StackConfig

SECONDS = 30.0


class HostAdmin:
    """Asks the host with its master key. While it does not answer, neither does Azure: 400, as there."""

    def __init__(self, config: StackConfig, session: aiohttp.ClientSession, master_key: Any) -> None:
        """`master_key` is called for the key, which the host makes at its first start."""
        self._url = f"{config.functions_url}/admin/functions"
        self._session = session
        self._master_key = master_key

    async def keys(self, function: str) -> dict[str, str]:
        """The keys of a function by name. Raises NotFoundError when there is no such function."""
        _, found = await self._ask("GET", f"{function}/keys")
        return {each["name"]: each["value"] for each in found["keys"]}

    async def set_key(self, function: str, name: str, value: str | None) -> tuple[int, dict[str, str]]:
        """Set a key; without a value the host makes one up. The status (200 or 201) and the key."""
        return await self._ask("PUT", f"{function}/keys/{name}", {"name": name, "value": value})

    async def _ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"x-functions-key": self._master_key()}
        timeout = aiohttp.ClientTimeout(SECONDS)
        try:
            async with self._session.request(
                method, f"{self._url}/{path}", json=body, headers=headers, timeout=timeout
            ) as response:
                if response.status == 404:
                    raise NotFoundError(f"The function '{path.partition('/')[0]}' was not found.")
                response.raise_for_status()
                return response.status, await response.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise BadRequestError(f"Encountered an error from host runtime: {error}.") from error
