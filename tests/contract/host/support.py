"""A local Functions host in a process of its own, and what tests ask of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from local.processes import start_guarded, stop

APPS = Path(__file__).parent / "apps"
PROJECT = Path(__file__).resolve().parents[3]
PATIENCE = 30.0
HOST_ID = "contract-tests"


class RunningHost:
    """One host; `folder` keeps its keys, its output and the journal that the sample functions write."""

    def __init__(self, app: str, folder: Path, environment: Mapping[str, str], *options: str) -> None:
        self.folder = folder
        self.journal = folder / "journal.jsonl"
        self.journal.touch()
        self._output = folder / f"host-{time.monotonic_ns()}.log"
        self._process = start_guarded(
            [
                *(sys.executable, "-m", "local.functions_host", "--app", str(APPS / app), "--port", "0"),
                *("--keys", str(folder / "keys.json"), "--host-id", HOST_ID, *options),
            ],
            log=self._output,
            env={**os.environ, "JOURNAL": str(self.journal), **environment},
            cwd=PROJECT,
        )

    def start(self) -> RunningHost:
        """Wait until it listens."""
        self.await_output("listening on ")
        line = next(line for line in self.output().splitlines() if line.startswith("listening on "))
        self.url = line.removeprefix("listening on ")
        self.keys: dict[str, Any] = json.loads((self.folder / "keys.json").read_text())
        self._pid = _child(self._process.pid)
        return self

    def output(self) -> str:
        return self._output.read_text()

    def await_output(self, text: str) -> None:
        """Wait until the host has printed `text`."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.output():
            assert time.monotonic() < deadline, (text, self.output())
            assert self._process.poll() is None, self.output()
            time.sleep(0.02)

    def seen(self, function: str) -> list[dict[str, Any]]:
        """What the sample function has noted so far."""
        entries = [json.loads(line) for line in self.journal.read_text().splitlines()]
        return [entry for entry in entries if entry["function"] == function]

    def await_seen(self, function: str, count: int = 1, **values: Any) -> list[dict[str, Any]]:
        """Wait for `count` notes of the function that have these values."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = [entry for entry in self.seen(function) if values.items() <= entry.items()]
            if len(found) >= count:
                return found
            assert time.monotonic() < deadline, (function, values, self.output())
            time.sleep(0.02)

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        return requests.request(method, f"{self.url}{path}", timeout=PATIENCE, **options)

    def deliver(self, webhook: str, function: str, events: Any, kind: str = "Notification") -> requests.Response:
        """Send `events` as Event Grid would, with the right key."""
        key = self.keys["system"][f"{webhook.lower()}_extension"]
        return self.request(
            "POST",
            f"/runtime/webhooks/{webhook}?functionName={function}&code={key}",
            json=events,
            headers={"aeg-event-type": kind},
        )

    def send_signal(self, number: int) -> None:
        """To the host itself, not to its guard."""
        os.kill(self._pid, number)

    def wait(self) -> int:
        """Exit code, once it has ended."""
        return self._process.wait(PATIENCE)

    def stop(self) -> None:
        stop(self._process)


def _child(pid: int) -> int:
    """Process id of the guarded command: the guard's only child."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=True)
    return int(listed.stdout.split()[0])
