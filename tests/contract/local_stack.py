"""The app's own code against a whole local stack, with the unmodified SDKs.

The Functions host runs, since provisioning's handshakes need it, but nothing reaches it by itself: the timer stands
still, and the local cloud loses all events. What the tests call in this process is all that happens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from local.stack import Stack, app_settings
from shared.clients import Clients
from shared.provisioning import Work, carry_out, note_request, provisioning_report
from shared.provisioning.work import RETRY_SECONDS
from shared.settings import Settings
from tests.support import close_clients, closed_later

# The SDK's own deprecations are not this project's, nor are the sockets that it leaves to the garbage collector.
SDK_WARNINGS = (
    r"ignore::DeprecationWarning:azure\.ai\.ml.*",
    r"ignore::DeprecationWarning:azure\.storage\.blob.*",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
NEVER = "0 0 0 1 1 *"
QUIET: tuple[dict[str, Any], ...] = ({"service": "events", "operation": "Microsoft.*", "lost": True},)
# Jobs are accepted and run until they are canceled, but their nodes cost nothing.
IDLE_NODES: dict[str, Any] = {"service": "compute", "delay": 3600, "exit_code": 0}


def ignore_sdk_warnings(items: list[pytest.Item], folder: Path) -> None:
    """Mark the tests of a folder, in whose conftest this is called."""
    for item in items:
        if item.path.is_relative_to(folder):
            for warning in SDK_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


@dataclass(frozen=True)
class Cloud:
    """The local cloud, seen from a test."""

    stack: Stack
    _in_force: list[dict[str, Any]] = field(default_factory=list, init=False, compare=False)

    @property
    def default_container(self) -> str:
        """Container of the workspace's default datastore."""
        return self.stack.config.default_container

    def set_faults(self, *rules: dict[str, Any]) -> None:
        """These faults are in force, before the ones that keep the stack quiet."""
        config = self.stack.config
        self._in_force[:] = rules
        answer = requests.put(
            f"{config.arm_url}/admin/faults",
            json={"value": list[Any]([*rules, *QUIET])},
            headers={"x-admin-key": config.identity_header},
            verify=str(config.certificate),
            timeout=10,
        )
        answer.raise_for_status()

    @contextlib.contextmanager
    def faults(self, *rules: dict[str, Any]) -> Iterator[None]:
        """Faults for a while, before those that are in force."""
        before = tuple(self._in_force)
        self.set_faults(*rules, *before)
        try:
            yield
        finally:
            self.set_faults(*before)


@contextlib.contextmanager
def running_cloud(folder: Path) -> Iterator[Cloud]:
    """A fresh stack, with the process's environment pointing the SDKs at it, as App Service would."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCH_INTERVAL", NEVER)
        with Stack(folder, say=lambda _: None) as stack:
            for name, value in stack.config.identity_environment().items():
                patch.setenv(name, value)
            cloud = Cloud(stack)
            cloud.set_faults()
            yield cloud
            close_clients()


MakeClients = Callable[..., Clients]


def app_clients(cloud: Cloud, **changes: object) -> Clients:
    """Clients as the deployed app has them, with its identity; settings can be changed by field name."""
    environment = {**cloud.stack.environment(), **app_settings(cloud.stack.config)}
    del environment["DATA_STORAGE"]
    environment.update({name.upper(): str(value) for name, value in changes.items()})
    return closed_later(Clients(Settings.from_environment(environment), environment))


def provision(clients: Clients) -> dict[str, Any]:
    """Carry out one request for provisioning, here and now, at one attempt. Returns the report."""
    carry_out(clients, Work(note_request(clients), attempt=len(RETRY_SECONDS)))
    return provisioning_report(clients)


def problems(report: dict[str, Any]) -> dict[str, str]:
    """What keeps a report from being ready: refused checks and the resources that are not ready, each with the why."""
    refused = {each["check"]: each["message"] for each in report["checks"] if each["state"] == "refused"}
    found = {each["id"]: each["error"] or each["state"] for each in report["resources"] if each["state"] != "ready"}
    return refused | found | ({"run": report["error"]} if report["error"] else {})
