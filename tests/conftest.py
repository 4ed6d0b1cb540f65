"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import base64
import itertools
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from local.processes import start_guarded, stop
from local.stack import azurite_executable, connects

# The same examples at every run; `--hypothesis-profile=default` looks for new ones.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")

# The folders whose tests take longest or share a stack come first and together. Files are handed out in the order of
# their collection (`--dist loadfile --no-loadscope-reorder`): so no worker ends long after the others, and each starts
# a folder's stack once at most.
SLOW_FOLDERS = (
    "e2e",
    "faults",
    "browser",
    "contract/provisioning",
    "contract/cloud_client",
    "contract/announcements",
    "contract/api",
    "contract/cloud",
    "contract/storage",
    "contract/host",
    "unit/components",
)

ACCOUNT_KEY = base64.b64encode(b"0" * 32).decode()
ACCOUNTS = 500
START_SECONDS = 30


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    ranks = {here / folder: rank for rank, folder in enumerate(SLOW_FOLDERS)}
    items.sort(key=lambda item: ranks.get(item.path.parent, len(ranks)))


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """Makes connection strings, each of a fresh, empty account of one real Azurite."""
    folder = tmp_path_factory.mktemp("azurite")
    ports = {service: _free_port() for service in ("blob", "queue", "table")}
    command = [azurite_executable(), "--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    for service, port in ports.items():
        command += [f"--{service}Host", "127.0.0.1", f"--{service}Port", str(port)]
        # By itself it closes what was idle for 5 s, sometimes just when a client sends; SDKs do not send a POST again.
        command += [f"--{service}KeepAliveTimeout", "600"]
    accounts = ";".join(f"account{number}:{ACCOUNT_KEY}" for number in range(ACCOUNTS))
    process = start_guarded(command, log=folder / "azurite.log", env={**os.environ, "AZURITE_ACCOUNTS": accounts})
    try:
        for port in ports.values():
            _await_port(port)
        numbers = itertools.count()

        def fresh_account() -> str:
            name = f"account{next(numbers)}"
            endpoints = "".join(
                f"{service.capitalize()}Endpoint=http://127.0.0.1:{port}/{name};" for service, port in ports.items()
            )
            return f"DefaultEndpointsProtocol=http;AccountName={name};AccountKey={ACCOUNT_KEY};{endpoints}"

        yield fresh_account
    finally:
        stop(process)


@pytest.fixture
def storage(azurite: Callable[[], str]) -> str:
    """Connection string of an empty storage account."""
    return azurite()


@pytest.fixture(autouse=True)
def _clients_are_closed() -> Iterator[None]:
    """Close what `tests.support` opened, where a test uses it; importing it here would load ONNX for every test."""
    yield
    support = sys.modules.get("tests.support")
    if support is not None:
        support.close_clients()


@pytest.fixture
def project() -> Path:
    """The project's folder."""
    return Path(__file__).resolve().parent.parent


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _await_port(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not connects(port):
        assert time.monotonic() < deadline, f"Azurite does not listen on port {port}"
        time.sleep(0.05)
