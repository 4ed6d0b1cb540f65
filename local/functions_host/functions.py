"""Function definitions: what the worker's metadata says, checked against what this host can do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from local.functions_host.blobs import match_path
from local.functions_host.errors import FunctionInError, StartupError
from local.functions_host.schedules import Schedule, parse_schedule
from local.functions_host.settings import resolve, setting

DEFAULT_CONNECTION = "AzureWebJobsStorage"
_BINARY = "binary"


@dataclass(frozen=True)
class HttpTrigger:
    """`methods` None: any. `auth_level` is anonymous, function or admin."""

    route: str
    methods: tuple[str, ...] | None
    auth_level: str

    def __str__(self) -> str:
        return f"[{','.join(self.methods) if self.methods else 'any method'}] {self.route} ({self.auth_level})"


@dataclass(frozen=True)
class QueueTrigger:
    queue: str
    connection: str
    binary: bool

    def __str__(self) -> str:
        return f"queue {self.queue} of {self.connection}"


@dataclass(frozen=True)
class BlobTrigger:
    """`path` is `container/pattern`, settings resolved. `text`: the function asked for dataType string."""

    path: str
    connection: str
    text: bool

    def __str__(self) -> str:
        return f"blobs {self.path} of {self.connection}, by Event Grid"


@dataclass(frozen=True)
class EventGridTrigger:
    def __str__(self) -> str:
        return "Event Grid webhook"


@dataclass(frozen=True)
class TimerTrigger:
    schedule: Schedule
    run_on_startup: bool
    use_monitor: bool

    def __str__(self) -> str:
        return f"{self.schedule}{', and on startup' if self.run_on_startup else ''}"


Trigger = HttpTrigger | QueueTrigger | BlobTrigger | EventGridTrigger | TimerTrigger


@dataclass(frozen=True)
class QueueOutput:
    name: str
    queue: str
    connection: str


@dataclass(frozen=True)
class RetryPolicy:
    """Delays in seconds. Exponential: doubled from `minimum` up to `maximum`; fixed: both are the same."""

    count: int
    minimum: float
    maximum: float


@dataclass(frozen=True)
class Function:
    """One function, ready to be listened for. `parameter` is the trigger's argument name."""

    name: str
    id: str
    parameter: str
    trigger_type: str
    trigger: Trigger
    outputs: tuple[QueueOutput, ...]
    retry: RetryPolicy | None
    bindings: tuple[Mapping[str, Any], ...]

    @property
    def full_name(self) -> str:
        """How the host names it in storage and webhooks."""
        return f"Host.Functions.{self.name}"


@dataclass(frozen=True)
class App:
    """The functions of an app in the real host's order (by name), and those in error with the reason."""

    functions: tuple[Function, ...]
    in_error: Mapping[str, str]


def define_app(metadata: Iterable[Any], settings: Mapping[str, str]) -> App:
    """Read the worker's RpcFunctionMetadata. Raises StartupError, naming all of them, for bindings not supported here.

    A function whose settings are missing is in error by itself, as in the real host. Functions switched off by the
    setting `AzureWebJobs.<name>.Disabled` are left out.
    """
    functions: list[Function] = []
    in_error: dict[str, str] = {}
    unsupported: list[str] = []
    for item in sorted(metadata, key=lambda item: str(item.name).lower()):
        if (setting(f"AzureWebJobs.{item.name}.Disabled", settings) or "").lower() in {"true", "1"}:
            continue
        try:
            functions.append(_function(item, settings))
        except FunctionInError as error:
            in_error[item.name] = str(error)
        except StartupError as error:
            unsupported.append(f"function {item.name!r}: {error}")
    if unsupported:
        raise StartupError("\n".join(unsupported))
    return App(tuple(functions), in_error)


def _function(item: Any, settings: Mapping[str, str]) -> Function:
    bindings = tuple(json.loads(raw) for raw in item.raw_bindings)
    triggers = [binding for binding in bindings if binding["type"].lower().endswith("trigger")]
    if len(triggers) != 1:
        raise StartupError(f"it has {len(triggers)} triggers; expected one")
    outputs = []
    for binding in bindings:
        if binding is triggers[0]:
            if (binding.get("properties") or {}).get("supportsDeferredBinding"):
                raise StartupError("it takes an SDK type; this host binds InputStream, bytes and str only")
        elif binding["direction"].lower() != "out":
            raise StartupError(f"input binding {binding['type']!r} is not supported by this host; use the SDK instead")
        elif binding["type"] == "queue":
            outputs.append(QueueOutput(binding["name"], _queue_name(binding, settings), _connection(binding)))
        elif binding["type"] != "http":
            raise StartupError(
                f"output binding {binding['type']!r} is not supported by this host (queue and http are); use the SDK"
            )
    return Function(
        name=item.name,
        id=item.function_id,
        parameter=triggers[0]["name"],
        trigger_type=triggers[0]["type"],
        trigger=_trigger(item.name, triggers[0], settings),
        outputs=tuple(outputs),
        retry=_retry(item.retry_options),
        bindings=bindings,
    )


def _trigger(function: str, binding: Mapping[str, Any], settings: Mapping[str, str]) -> Trigger:
    kind = binding["type"].lower()
    data_type = str(binding.get("dataType") or "").lower()
    if kind == "httptrigger":
        methods = binding.get("methods")
        return HttpTrigger(
            route=resolve(str(binding.get("route") or function), settings),
            methods=None if methods is None else tuple(method.upper() for method in methods),
            auth_level=str(binding.get("authLevel") or "function").lower(),
        )
    if kind == "queuetrigger":
        return QueueTrigger(_queue_name(binding, settings), _connection(binding), binary=data_type == _BINARY)
    if kind == "blobtrigger":
        source = str(binding.get("source") or "LogsAndContainerScan")
        if source.lower() != "eventgrid":
            raise StartupError(
                f"its blob trigger has source {source}; this host supports source EventGrid only (as Flex Consumption"
                ' does): @app.blob_trigger(..., source="EventGrid")'
            )
        path = resolve(binding["path"], settings).strip("/")
        try:
            match_path(path, path)
        except re.error as error:
            raise FunctionInError(f"The blob path {path!r} has an expression that is not a name: {error}") from error
        return BlobTrigger(path, _connection(binding), text=data_type == "string")
    if kind == "eventgridtrigger":
        return EventGridTrigger()
    if kind == "timertrigger":
        expression = resolve(binding["schedule"], settings)
        try:
            schedule = parse_schedule(expression)
        except ValueError as error:
            raise FunctionInError(str(error)) from error
        # Sub-minute schedules are not recorded: the real host turns the monitor off for them.
        monitored = binding.get("useMonitor", True) and not schedule.is_subminute()
        return TimerTrigger(schedule, bool(binding.get("runOnStartup")), bool(monitored))
    raise StartupError(
        f"trigger {binding['type']!r} is not supported by this host"
        " (httpTrigger, queueTrigger, blobTrigger, eventGridTrigger and timerTrigger are)"
    )


def _queue_name(binding: Mapping[str, Any], settings: Mapping[str, str]) -> str:
    # The extension lower-cases queue names; storage takes no others.
    return resolve(binding["queueName"], settings).lower()


def _connection(binding: Mapping[str, Any]) -> str:
    return binding.get("connection") or DEFAULT_CONNECTION


def _retry(options: Any) -> RetryPolicy | None:
    if options is None:
        return None
    if options.retry_strategy == "fixed_delay":
        delay = options.delay_interval.total_seconds()
        return RetryPolicy(options.max_retry_count, delay, delay)
    return RetryPolicy(
        options.max_retry_count, options.minimum_interval.total_seconds(), options.maximum_interval.total_seconds()
    )
