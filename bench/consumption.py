"""What a running stack takes: storage operations, as its proxy counts them, and memory of its processes."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import threading
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import psutil

from local.config import StackConfig

SAMPLE_SECONDS = 0.5
# What a process of a stack is, by a word of its command; all that a part starts is that part's, but for the cloud's.
PARTS = {"local.functions_host": "host", "local.cloud": "cloud", "azurite": "azurite"}
GUARD, NODES = "local.processes", "nodes"

# By service and name.
Operations = Counter[tuple[str, str]]


def operations(config: StackConfig) -> dict[str, Operations]:
    """Storage operations so far by caller: `client` (the app, the nodes, and whoever uploads), `host`, `platform`."""
    context = ssl.create_default_context(cafile=str(config.certificate))
    headers = {"x-admin-key": config.identity_header}
    request = urllib.request.Request(f"{config.arm_url}/admin/counts", headers=headers)  # noqa: S310 - our own cloud
    with urllib.request.urlopen(request, timeout=60, context=context) as response:  # noqa: S310
        document = json.load(response)
    return {
        caller: Counter(
            {(service, name): count for service, names in services.items() for name, count in names.items()}
        )
        for caller, services in document.items()
    }


def cpu_seconds() -> Counter[str]:
    """CPU time so far of the parts that run all the time; what nodes took is lost with their processes."""
    seconds: Counter[str] = Counter()
    for process, part in _processes(psutil.Process(os.getpid()), ""):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            seconds[part] += times.user + times.system
    del seconds[NODES]
    return seconds


class Memory:
    """Peaks of the resident memory (MB) of each part of the stack that this process has started."""

    def __init__(self) -> None:
        self.peaks: dict[str, float] = defaultdict(float)

    def sample(self) -> None:
        """Look once. The processes of a part are added up; of the nodes' processes the largest counts as well."""
        totals: dict[str, float] = defaultdict(float)
        for process, part in _processes(psutil.Process(os.getpid()), ""):
            with contextlib.suppress(psutil.Error):
                megabytes = process.memory_info().rss / 1e6
                totals[part] += megabytes
                if part == NODES:
                    totals["largest process of a node"] = max(totals["largest process of a node"], megabytes)
        for part, megabytes in totals.items():
            self.peaks[part] = max(self.peaks[part], megabytes)


@contextlib.contextmanager
def memory_watched() -> Iterator[Memory]:
    """Sample in the background."""
    memory, ended = Memory(), threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            memory.sample()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield memory
    finally:
        ended.set()
        thread.join()


def _processes(parent: Any, part: str) -> Iterator[tuple[Any, str]]:
    """All processes below one, each with its part; guards and strangers are left out."""
    try:
        children = [(child, child.cmdline()) for child in parent.children()]
    except psutil.Error:
        return
    for child, command in children:
        words = {word.rpartition("/")[2] for word in command}
        own = part
        if GUARD not in words:
            own = next((name for word, name in PARTS.items() if word in words), NODES if part == "cloud" else part)
            if own:
                yield child, own
        yield from _processes(child, own)
