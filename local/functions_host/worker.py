"""The language worker: `azure-functions-runtime` on an event loop of its own thread.

In Azure it is a process of its own, which a blocking `async def` function may hold up while the host goes on; a loop
of its own gives the same here. Synchronous functions run in the library's thread pool (PYTHON_THREADPOOL_THREAD_COUNT).
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.functions_host.errors import StartupError
from local.functions_host.messages import Message, ParameterBinding, Protos, StatusResult, TypedData


@dataclass(frozen=True)
class Request:
    """One invocation as the worker gets it: the trigger's value and its metadata."""

    invocation_id: str
    function_id: str
    parameter: str
    data: TypedData
    metadata: Mapping[str, TypedData]
    trace_parent: str = ""
    retry_count: int = 0
    max_retry_count: int = 0


@dataclass(frozen=True)
class Response:
    """What came of it. `outputs` by binding name; `error` and `trace` are None when the function succeeded."""

    return_value: TypedData | None
    outputs: Mapping[str, TypedData]
    error: str | None
    trace: str | None


class Worker:
    """Indexes one app folder and runs its functions. One per process: the library keeps its state in modules."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name="worker", daemon=True)
        self._running: dict[str, str] = {}
        self._library: Any = None

    def start(self, app: Path) -> list[Any]:
        """Import the app and return its RpcFunctionMetadata.

        Raises StartupError with the worker's message and trace when the app cannot be indexed or has no functions.
        """
        packages = app / ".python_packages" / "lib" / "site-packages"
        for folder in (packages, app):
            if folder.is_dir():
                sys.path.insert(0, str(folder))
        os.chdir(app)
        os.environ.setdefault("AzureWebJobsScriptRoot", str(app))
        os.environ.setdefault("FUNCTIONS_WORKER_RUNTIME", "python")
        import azure_functions_runtime

        self._library = azure_functions_runtime
        self._thread.start()
        self._library.start_threadpool_executor()
        return asyncio.run_coroutine_threadsafe(self._index(app), self._loop).result()

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _index(self, app: Path) -> list[Any]:
        directory = str(app)
        response = await self._library.worker_init_request(
            Message(
                request=Message(
                    worker_init_request=Message(capabilities={}, function_app_directory=directory),
                ),
                properties={"host": "127.0.0.1", "protos": Protos},
            )
        )
        if response.result.status != StatusResult.Success:
            raise StartupError(f"{response.result.exception.message}\n{response.result.exception.stack_trace}")
        if "HttpUri" in response.capabilities:
            raise StartupError(
                "The app uses HTTP streaming (azurefunctions-extensions-http), which this host does not."
            )
        metadata = await self._library.functions_metadata_request(
            Message(request=Message(functions_metadata_request=Message(function_app_directory=directory)))
        )
        if not metadata.function_metadata_results:
            script = os.environ.get("PYTHON_SCRIPT_FILE_NAME", "function_app.py")
            raise StartupError(f"No functions found: {app / script} is missing or defines none.")
        return list(metadata.function_metadata_results)

    def current_function(self) -> str | None:
        """Name of the function that the calling thread or task runs, if any."""
        if self._library is None:
            return None
        return self._running.get(self._library.invocation_id_cv.get())

    def invoke(self, name: str, request: Request) -> Future[Response]:
        """Run function `name`. Cancelling the future cancels an `async def`; a thread cannot be stopped."""
        self._running[request.invocation_id] = name
        return asyncio.run_coroutine_threadsafe(self._invoke(request), self._loop)

    async def _invoke(self, request: Request) -> Response:
        self._library.invocation_id_cv.set(request.invocation_id)
        try:
            response = await self._library.invocation_request(
                Message(
                    request=Message(
                        invocation_request=Message(
                            invocation_id=request.invocation_id,
                            function_id=request.function_id,
                            input_data=[ParameterBinding(name=request.parameter, data=request.data)],
                            trigger_metadata=dict(request.metadata),
                            trace_context=Message(trace_parent=request.trace_parent, trace_state="", attributes={}),
                            retry_context=Message(
                                retry_count=request.retry_count, max_retry_count=request.max_retry_count, exception=None
                            ),
                        )
                    ),
                    properties={},
                )
            )
        finally:
            self._running.pop(request.invocation_id, None)
        failed = response.result.status != StatusResult.Success
        exception = response.result.exception if failed else None
        return Response(
            return_value=response.return_value,
            outputs={item.name: item.data for item in response.output_data or ()},
            error=(exception.message or "the function failed") if exception is not None else None,
            trace=exception.stack_trace if exception is not None else None,
        )
