"""Long-running operations of ARM: `Azure-AsyncOperation`, `Location` and `Retry-After`.

https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations. A client polls the URL of
`Azure-AsyncOperation` until the status there is Succeeded, Failed or Canceled, or that of `Location` while it answers
202.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from local.cloud.errors import CloudError, NotFoundError
from local.cloud.faults import Fault, Faults
from local.cloud.resources import Json, ResourceStore
from local.cloud.wire.http import Reply, Request, Route

logger = logging.getLogger(__name__)

API_VERSION = "2025-02-15"
# Azure takes minutes; here people and tests wait.
WORK_SECONDS = 0.2
POLL_SECONDS = 0.1

Work = Callable[[], Awaitable[object]]
OnFailure = Callable[[CloudError], CloudError | None]


@dataclass
class _Operation:
    """`resource` is the id of what is made, changed or deleted; `error` of a failed one."""

    resource: str
    poll_seconds: float
    status: str = "InProgress"
    error: CloudError | None = None

    @property
    def wait_headers(self) -> dict[str, str]:
        return _wait_headers(self.poll_seconds)


def _wait_headers(seconds: float) -> dict[str, str]:
    """`Retry-After` knows whole seconds; what is quicker is asked for in milliseconds, as azure-core reads it."""
    if seconds >= 1:
        return {"Retry-After": f"{seconds:.0f}"}
    return {"x-ms-retry-after-ms": f"{seconds * 1000:.0f}"}


POLL_HEADERS = _wait_headers(POLL_SECONDS)


class Operations:
    """The operations of this process. One that a restart interrupts is unknown afterwards; its client is told so."""

    def __init__(self, base_url: str, store: ResourceStore, faults: Faults) -> None:
        self._base_url = base_url
        self._store = store
        self._faults = faults
        self._operations: dict[str, _Operation] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(
        self,
        request: Request,
        provider: str,
        resource: str,
        work: Work,
        on_failure: OnFailure | None = None,
        seconds: float = WORK_SECONDS,
    ) -> dict[str, str]:
        """Begin `work`, which is carried out after `seconds`; answer the headers with which the client follows it.

        A fault may prolong it or make it fail; `on_failure` hears of that, and of what `work` raises, and may answer
        the error that the client is told instead.
        """
        fault = self._faults.find("operations", request.method, request.path) or Fault()
        seconds = max(seconds, fault.delay)
        name = str(uuid.uuid4())
        operation = _Operation(resource, 1.0 if seconds > 2 else POLL_SECONDS)
        self._operations[name] = operation
        if fault.error is not None:
            work = functools.partial(_fail, fault.error)
        task = asyncio.create_task(self._follow(operation, work, on_failure, seconds))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        prefix = f"{self._base_url}/subscriptions/{request.params['subscription']}/providers/{provider}/locations/local"
        return {
            "Azure-AsyncOperation": f"{prefix}/operationsStatus/{name}?api-version={API_VERSION}",
            "Location": f"{prefix}/operationResults/{name}?api-version={API_VERSION}",
            **operation.wait_headers,
        }

    async def _follow(
        self,
        operation: _Operation,
        work: Work,
        on_failure: OnFailure | None,
        seconds: float,
    ) -> None:
        await asyncio.sleep(seconds)
        try:
            await work()
        except Exception as error:
            if not isinstance(error, CloudError):
                logger.exception("The operation on %s broke", operation.resource)
                error = CloudError(f"The local cloud broke: {error!r}")
            told = on_failure(error) if on_failure is not None else None
            operation.error, operation.status = told or error, "Failed"
        else:
            operation.status = "Succeeded"

    def routes(self, provider: str) -> list[Route]:
        """What the headers point to."""
        path = f"/subscriptions/{{subscription}}/providers/{provider}/locations/{{location}}"
        caller = "azure-core polling"
        return [
            Route("GET", f"{path}/operationsStatus/{{operation}}", self.status, "state of an operation", caller),
            Route("GET", f"{path}/operationResults/{{operation}}", self.result, "result of an operation", caller),
        ]

    async def status(self, request: Request) -> Reply:
        """The state of an operation. Raises NotFoundError."""
        operation = self._get(request)
        body: Json = {"id": request.path, "name": request.params["operation"], "status": operation.status}
        if operation.error is not None:
            body["error"] = operation.error.document()
        return Reply(body, headers=operation.wait_headers if operation.status == "InProgress" else {})

    async def result(self, request: Request) -> Reply:
        """202 while the operation goes on, then the resource, nothing, or the error. Raises NotFoundError."""
        operation = self._get(request)
        if operation.status == "InProgress":
            url = f"{self._base_url}{request.path}?api-version={API_VERSION}"
            return Reply(status=202, headers={"Location": url, **operation.wait_headers})
        if operation.error is not None:
            raise operation.error
        resource = self._store.find(operation.resource)
        return Reply(resource.document()) if resource else Reply(status=204)

    def _get(self, request: Request) -> _Operation:
        operation = self._operations.get(request.params["operation"])
        if operation is None:
            raise NotFoundError(f"The operation '{request.params['operation']}' is not known; was the cloud restarted?")
        return operation

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _fail(code: str) -> None:
    raise CloudError("The operation failed: a fault injected by the local cloud.", code=code)
