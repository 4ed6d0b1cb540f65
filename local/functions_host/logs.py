"""The host's output: one line per record on stdout, with the name of the function that it comes from.

Log records and `print` of a function carry its name, as long as they come from the thread or task that runs it.
"""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TextIO

HOST = "Host"

CurrentFunction = Callable[[], str | None]


class _Formatter(logging.Formatter):
    def __init__(self, current_function: CurrentFunction) -> None:
        super().__init__()
        self._current_function = current_function

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        return f"[{moment}Z] {record.levelname} {_category(record, self._current_function)}: {text}"


def _category(record: logging.LogRecord, current_function: CurrentFunction) -> str:
    if record.name.startswith("local.functions_host"):
        return HOST
    return current_function() or record.name


class _LevelFilter(logging.Filter):
    """host.json's logging.logLevel: `Function.<name>`, `Function`, `Host`, `default`."""

    def __init__(self, levels: Mapping[str, int], current_function: CurrentFunction) -> None:
        super().__init__()
        self._levels = levels
        self._current_function = current_function

    def filter(self, record: logging.LogRecord) -> bool:
        category = _category(record, self._current_function)
        candidates = (HOST, "default") if category == HOST else (f"Function.{category}", "Function", "default")
        level = next((self._levels[name] for name in candidates if name in self._levels), logging.INFO)
        return record.levelno >= level


class FunctionOutput(io.TextIOBase):
    """A stdout that puts the function's name before each line that a function prints."""

    def __init__(self, target: TextIO, current_function: CurrentFunction) -> None:
        super().__init__()
        self._target = target
        self._current_function = current_function
        self._lock = threading.Lock()
        self._unfinished: dict[str, str] = {}

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has an attribute where io has a property
        return self._target.encoding

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._target.isatty()

    def fileno(self) -> int:
        return self._target.fileno()

    def write(self, text: str) -> int:
        name = self._current_function()
        with self._lock:
            if name is None:
                self._target.write(text)
            else:
                *lines, rest = (self._unfinished.pop(name, "") + text).split("\n")
                self._target.writelines(f"{name}: {line}\n" for line in lines)
                if rest:
                    self._unfinished[name] = rest
        return len(text)

    def flush(self) -> None:
        self._target.flush()


def configure(levels: Mapping[str, int], current_function: CurrentFunction) -> None:
    """Send all logging and printing of this process to stdout, in the host's format."""
    output = sys.stdout
    if isinstance(output, io.TextIOWrapper):
        output.reconfigure(line_buffering=True)
    handler = logging.StreamHandler(output)
    handler.setFormatter(_Formatter(current_function))
    handler.addFilter(_LevelFilter(levels, current_function))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(min([logging.INFO, *levels.values()]))
    # The SDKs log every request at INFO, the worker library every invocation: the host says these things once.
    for noisy in ("azure", "aiohttp.access", "urllib3", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    sys.stdout = FunctionOutput(output, current_function)
