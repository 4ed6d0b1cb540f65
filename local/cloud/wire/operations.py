"""Long-running operations: the `Azure-AsyncOperation` protocol of ARM.

Source: azure-core and azure-mgmt-core, `polling/`. A client polls the operation's URL until its status is terminal,
and then reads the resource. The wait between polls is asked for in milliseconds, since everything here is quick.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable

from local.cloud.errors import CloudError, NotFoundError
from local.cloud.wire.http import Json, Reply, Request

logger = logging.getLogger(__name__)

POLL_MILLISECONDS = "100"
POLL_HEADERS = {"x-ms-retry-after-ms": POLL_MILLISECONDS}


class Operations:
    """The operations of this process. One that a restart interrupts is unknown afterwards; its client is told so."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._documents: dict[str, Json] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, subscription: str, provider: str, work: Awaitable[object]) -> dict[str, str]:
        """Begin `work`; answer the headers with which the client follows it."""
        name = str(uuid.uuid4())
        self._documents[name] = {"name": name, "status": "InProgress"}
        task = asyncio.create_task(self._follow(name, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        path = f"/subscriptions/{subscription}/providers/{provider}/locations/local/operationsStatus/{name}"
        return {"Azure-AsyncOperation": f"{self._base_url}{path}?api-version=2025-02-15", **POLL_HEADERS}

    async def _follow(self, name: str, work: Awaitable[object]) -> None:
        try:
            await work
        except CloudError as error:
            failure = {"code": error.code, "message": error.message}
            self._documents[name] = {"name": name, "status": "Failed", "error": failure}
        except Exception as error:
            logger.exception("Operation %s broke", name)
            failure = {"code": "InternalServerError", "message": f"The local cloud broke: {error!r}"}
            self._documents[name] = {"name": name, "status": "Failed", "error": failure}
        else:
            self._documents[name] = {"name": name, "status": "Succeeded"}

    async def get(self, request: Request) -> Reply:
        """The state of an operation. Raises NotFoundError."""
        document = self._documents.get(request.params["operation"])
        if document is None:
            raise NotFoundError(f"The operation '{request.params['operation']}' is not known; was the cloud restarted?")
        return Reply(document, headers=POLL_HEADERS if document["status"] == "InProgress" else {})

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
