"""One stack, provisioned, with a model and images, whose API is asked over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from shared.clients import Clients
from tests.contract.local_stack import Cloud, app_clients, ignore_sdk_warnings, problems, provision, running_cloud
from tests.support import drop_image, plain_jpeg, promote_bundle

SECONDS = 120.0

Ask = Callable[..., requests.Response]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ignore_sdk_warnings(items, Path(__file__).parent)


@pytest.fixture(scope="package")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with pytest.MonkeyPatch.context() as patch:
        # The tests' own receiver of webhooks.
        patch.setenv("WEBHOOK_ALLOWED_HOSTS", "127.0.0.1")
        with running_cloud(tmp_path_factory.mktemp("stack")) as cloud:
            report = provision(app_clients(cloud))
            assert report["state"] == "ready", problems(report)
            clients = app_clients(cloud)
            promote_bundle(clients, tmp_path_factory.mktemp("bundle"))
            drop_image(clients, "2026/11/a.jpg", plain_jpeg())
            yield cloud


@pytest.fixture
def clients(cloud: Cloud) -> Clients:
    return app_clients(cloud)


@pytest.fixture
def environment(cloud: Cloud) -> dict[str, str]:
    """What `make run` writes to .local/env."""
    return cloud.stack.environment()


@pytest.fixture
def ask(environment: dict[str, str]) -> Ask:
    """One request, with the key of a class, or none."""

    def request(method: str, path: str, key: str = "", **options: Any) -> requests.Response:
        headers = {**options.pop("headers", {})}
        if key:
            headers["x-functions-key"] = environment[f"FUNCTIONS_{key.upper()}_KEY"]
        url = f"{environment['FUNCTIONS_URL']}{path}"
        return requests.request(method, url, headers=headers, timeout=SECONDS, **options)

    return request
