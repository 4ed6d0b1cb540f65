"""The app's own code against the whole local stack, with the unmodified SDKs.

The Functions host runs, since provisioning's handshakes need it, but nothing reaches it by itself: the timer stands
still, and the local cloud loses all events. What the tests call in this process is all that happens.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.storage.blob import ContainerClient

from local.stack import Stack, app_settings
from shared.clients import Clients
from shared.provisioning import provision
from shared.settings import Settings
from tests.support import close_clients, closed_later, plain_jpeg

# The SDK's own deprecations are not this project's, nor are the sockets that it leaves to the garbage collector.
SDK_WARNINGS = (
    r"ignore::DeprecationWarning:azure\.ai\.ml.*",
    r"ignore::DeprecationWarning:azure\.storage\.blob.*",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
NEVER = "0 0 0 1 1 *"
QUIET: tuple[dict[str, Any], ...] = ({"service": "events", "operation": "Microsoft.*", "lost": True},)
NODES_FAIL: dict[str, Any] = {"service": "compute", "path": "*", "exit_code": 3}
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            for warning in SDK_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


@dataclass(frozen=True)
class Cloud:
    """The local cloud, seen from a test."""

    stack: Stack

    @property
    def default_container(self) -> str:
        """Container of the workspace's default datastore."""
        return self.stack.config.default_container

    def set_faults(self, *rules: dict[str, Any]) -> None:
        """These faults are in force, before the ones that keep the stack quiet."""
        config = self.stack.config
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
        """Faults for a while."""
        self.set_faults(*rules)
        try:
            yield
        finally:
            self.set_faults()


@pytest.fixture(scope="package")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A fresh stack, with the process's environment pointing the SDKs at it, as App Service would."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCH_INTERVAL", NEVER)
        with Stack(tmp_path_factory.mktemp("stack"), say=lambda _: None) as stack:
            for name, value in stack.config.identity_environment().items():
                patch.setenv(name, value)
            cloud = Cloud(stack)
            cloud.set_faults()
            yield cloud
            close_clients()


MakeClients = Callable[..., Clients]


@pytest.fixture(scope="package")
def make(cloud: Cloud) -> MakeClients:
    """Makes clients as the deployed app has them, with its identity; settings can be changed by field name."""

    def make(**changes: object) -> Clients:
        environment = {**cloud.stack.environment(), **app_settings(cloud.stack.config)}
        del environment["DATA_STORAGE"]
        environment.update({name.upper(): str(value) for name, value in changes.items()})
        return closed_later(Clients(Settings.from_environment(environment), environment))

    return make


@pytest.fixture(scope="package")
def provisioned(make: MakeClients) -> None:
    clients = make()
    with contextlib.suppress(Exception):
        clients.blobs.create_container(clients.settings.work_container)
    provision(clients)


@pytest.fixture
def clients(make: MakeClients, provisioned: None) -> Clients:
    """Clients of a provisioned workspace."""
    return make()


@pytest.fixture
def default_container(cloud: Cloud, clients: Clients) -> ContainerClient:
    return clients.blobs.get_container_client(cloud.default_container)


@pytest.fixture
def pictures(default_container: ContainerClient) -> dict[str, list[str]]:
    """Six pictures of each colour in the default container: path → labels."""
    paths = {}
    for colour, rgb in COLOURS.items():
        for number in range(6):
            path = f"labelled/{colour}-{number}.jpg"
            default_container.upload_blob(path, io.BytesIO(plain_jpeg(rgb)), overwrite=True)
            paths[path] = [colour]
    return paths


def coco(labels_of: dict[str, list[str]], datastore: str = "workspaceblobstore") -> bytes:
    """A label export as the labelling tool writes it."""
    names = sorted({label for labels in labels_of.values() for label in labels})
    images = [
        {
            "id": number,
            "width": 320.0,
            "height": 240.0,
            "file_name": path,
            "coco_url": f"AmlDatastore://{datastore}/{path}",
        }
        for number, path in enumerate(labels_of, 1)
    ]
    pairs = [(number, label) for number, labels in enumerate(labels_of.values(), 1) for label in labels]
    annotations = [
        {"id": number, "image_id": image, "category_id": names.index(label) + 1, "area": 0.0}
        for number, (image, label) in enumerate(pairs, 1)
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(names, 1)]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories}).encode()
