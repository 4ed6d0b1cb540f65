"""One provisioned stack for all tests of this folder."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import ContainerClient

from shared.clients import Clients
from tests.contract.local_stack import (
    IDLE_NODES,
    Cloud,
    MakeClients,
    app_clients,
    ignore_sdk_warnings,
    problems,
    provision,
    running_cloud,
)
from tests.support import plain_jpeg

NODES_FAIL: dict[str, Any] = {"service": "compute", "path": "*", "exit_code": 3}
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ignore_sdk_warnings(items, Path(__file__).parent)


@pytest.fixture(scope="package")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running_cloud(tmp_path_factory.mktemp("stack")) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def idle_nodes(cloud: Cloud) -> Iterator[None]:
    """For modules that look at jobs, not at what their nodes do."""
    with cloud.faults(IDLE_NODES):
        yield


@pytest.fixture(scope="package")
def make(cloud: Cloud) -> MakeClients:
    return functools.partial(app_clients, cloud)


@pytest.fixture(scope="package")
def provisioned(make: MakeClients) -> None:
    report = provision(make())
    assert report["state"] == "ready", problems(report)


@pytest.fixture
def clients(make: MakeClients, provisioned: None) -> Clients:
    """Clients of a provisioned workspace."""
    return make()


@pytest.fixture
def default_container(cloud: Cloud, clients: Clients) -> ContainerClient:
    return clients.blobs.get_container_client(cloud.default_container)


@pytest.fixture
def pictures(default_container: ContainerClient) -> dict[str, list[str]]:
    """Six pictures of each colour in the default container: path → labels. Those that are there are not sent again."""
    labels = {f"labelled/{colour}-{number}.jpg": [colour] for colour in COLOURS for number in range(6)}
    there = set(default_container.list_blob_names(name_starts_with="labelled/"))
    for path, (colour,) in labels.items():
        if path not in there:
            default_container.upload_blob(path, io.BytesIO(plain_jpeg(COLOURS[colour])))
    return labels


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
