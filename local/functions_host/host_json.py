"""host.json: the settings this host honours, with the real host's defaults. Unknown keys are left alone."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.functions_host.errors import StartupError
from local.functions_host.timespan import parse_timespan

MAX_QUEUE_BATCH = 32
_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "information": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "none": logging.CRITICAL + 1,
}


@dataclass(frozen=True)
class QueueOptions:
    """`extensions.queues`. Times in seconds. `max_polling_interval` None: this host's own local default."""

    batch_size: int = 16
    new_batch_threshold: int = 8
    max_dequeue_count: int = 5
    visibility_timeout: float = 0.0
    max_polling_interval: float | None = None
    base64: bool = True


@dataclass(frozen=True)
class BlobOptions:
    """`extensions.blobs`: how many blobs are worked on at once, and how often one is tried."""

    max_degree_of_parallelism: int = 8
    poison_threshold: int = 5

    def as_queue(self, queues: QueueOptions) -> QueueOptions:
        """How the internal blob queue is read: the parallelism split into batch and threshold, as in the extension."""
        batch = min(MAX_QUEUE_BATCH, self.max_degree_of_parallelism // 2 + 1)
        return QueueOptions(
            batch_size=batch,
            new_batch_threshold=self.max_degree_of_parallelism - batch,
            max_dequeue_count=self.poison_threshold,
            max_polling_interval=queues.max_polling_interval,
            base64=queues.base64,
        )


@dataclass(frozen=True)
class HostOptions:
    """What the host needs from host.json. `function_timeout` in seconds, None: no limit."""

    route_prefix: str = "api"
    queues: QueueOptions = field(default_factory=QueueOptions)
    blobs: BlobOptions = field(default_factory=BlobOptions)
    function_timeout: float | None = 1800.0
    log_levels: Mapping[str, int] = field(default_factory=dict)


def read_host_json(app: Path) -> HostOptions:
    """Read `<app>/host.json`. Raises StartupError when it is missing or says something that cannot be."""
    path = app / "host.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise StartupError(f"{path} is missing; a Functions app folder has host.json and function_app.py") from None
    except ValueError as error:
        raise StartupError(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise StartupError(f"{path} must be a JSON object")
    try:
        return _options(document)
    except (TypeError, ValueError) as error:
        raise StartupError(f"{path}: {error}") from error


def _options(document: dict[str, Any]) -> HostOptions:
    extensions = _section(document, "extensions")
    queues = _section(extensions, "queues")
    blobs = _section(extensions, "blobs")
    cores = os.cpu_count() or 1
    batch = _integer(queues, "batchSize", 16, 1, MAX_QUEUE_BATCH)
    polling = queues.get("maxPollingInterval")
    encoding = str(queues.get("messageEncoding", "base64")).lower()
    if encoding not in {"base64", "none"}:
        raise ValueError(f"extensions.queues.messageEncoding is {encoding!r}; expected 'base64' or 'none'")
    return HostOptions(
        route_prefix=str(_section(extensions, "http").get("routePrefix", "api")).strip("/"),
        queues=QueueOptions(
            batch_size=batch,
            new_batch_threshold=_integer(queues, "newBatchThreshold", batch // 2 * cores, 0, 10_000),
            max_dequeue_count=_integer(queues, "maxDequeueCount", 5, 1, 10_000),
            visibility_timeout=parse_timespan(queues.get("visibilityTimeout", "00:00:00")).total_seconds(),
            max_polling_interval=None if polling is None else parse_timespan(polling).total_seconds(),
            base64=encoding == "base64",
        ),
        blobs=BlobOptions(
            max_degree_of_parallelism=_integer(blobs, "maxDegreeOfParallelism", 8 * cores, 1, 10_000),
            poison_threshold=_integer(blobs, "poisonBlobThreshold", 5, 1, 10_000),
        ),
        function_timeout=_function_timeout(document.get("functionTimeout")),
        log_levels=_log_levels(_section(_section(document, "logging"), "logLevel")),
    )


def _section(parent: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = parent.get(name) or {}
    if not isinstance(section, dict):
        raise TypeError(f"{name!r} must be an object, not {section!r}")
    return section


def _integer(section: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = section.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} is {value!r}; expected a whole number from {low} to {high}")
    return value


def _function_timeout(value: str | None) -> float | None:
    if value is None:
        return HostOptions.function_timeout
    if value.strip() == "-1":
        return None
    return parse_timespan(value).total_seconds()


def _log_levels(section: Mapping[str, Any]) -> dict[str, int]:
    levels = {}
    for category, name in section.items():
        if str(name).lower() not in _LEVELS:
            raise ValueError(f"logging.logLevel.{category} is {name!r}; expected one of {', '.join(_LEVELS)}")
        levels[category] = _LEVELS[str(name).lower()]
    return levels
