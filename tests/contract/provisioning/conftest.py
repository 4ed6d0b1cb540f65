"""A fresh stack for each module, since its tests change what all of them see. They run in order."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.clients import Clients
from tests.contract.local_stack import Cloud, MakeClients, app_clients, ignore_sdk_warnings, running_cloud


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ignore_sdk_warnings(items, Path(__file__).parent)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running_cloud(tmp_path_factory.mktemp("stack")) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def make(cloud: Cloud) -> MakeClients:
    return functools.partial(app_clients, cloud)


@pytest.fixture
def clients(make: MakeClients) -> Clients:
    """The app's clients, as its settings are."""
    return make()
