"""The HTTP API on a running host: its keys, its document, and the examples of its page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

import handlers.api  # noqa: F401 # it has all routes
from handlers.http import Key, api
from handlers.http.document import document, path_in_document
from shared.clients import Clients
from tests.contract.api.conftest import SECONDS, Ask
from tests.contract.cloud.roles import Owner
from tests.contract.local_stack import Cloud
from tests.support import plain_jpeg

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = 5
SCHEMA = schemathesis.openapi.from_dict(document(api.routes, "keys"))
OPERATIONS: dict[str, Any] = {each.ok().label: each.ok() for each in SCHEMA.get_all_operations()}  # type: ignore[union-attr]
# These have rules that no schema tells: parameters that do not go together, names of blobs, images, exports, hosts.
WITH_RULES = {
    "GET /api/images",
    "PUT /api/images/{path}",
    "POST /api/predict",
    "POST /api/train",
    "POST /api/subscriptions",
}


@pytest.mark.parametrize("route", api.routes, ids=lambda route: route.name)
def test_a_route_lets_in_the_keys_of_its_class_and_of_those_above(route: Any, ask: Ask) -> None:
    path = re.sub(r"{\w+}", "x", path_in_document(route))
    # What lets nobody do anything: the key is looked at first.
    refused = {"headers": {"Accept": "image/none"}}
    for key in ("read", "score", "operate"):
        status = ask(route.method, path, key, **refused).status_code
        assert status == (406 if route.key is Key.ANONYMOUS or key in route.key.opened_by else 401), key
    assert ask(route.method, path, **refused).status_code == (406 if route.key is Key.ANONYMOUS else 401)


def test_a_path_that_there_is_not_and_another_method_are_problems_for_everybody(ask: Ask) -> None:
    for method, path, status in [("GET", "/api/modles", 404), ("DELETE", "/api/models", 405), ("GET", "/api/", 404)]:
        response = ask(method, path)
        assert (response.status_code, response.headers["Content-Type"]) == (status, "application/problem+json")
    assert ask("OPTIONS", "/api/predict").headers["Allow"] == "POST, OPTIONS"


def test_head_is_get_without_its_body(ask: Ask) -> None:
    found, head = (ask(method, "/api/models", "read") for method in ("GET", "HEAD"))
    assert (head.status_code, head.content, head.headers["ETag"]) == (200, b"", found.headers["ETag"])


def test_slashes_in_an_images_path_may_be_escaped(ask: Ask) -> None:
    plain, escaped = (ask("GET", f"/api/images/{path}", "read") for path in ("2026/11/a.jpg", "2026%2F11%2Fa.jpg"))
    assert plain.status_code == escaped.status_code == 200
    assert plain.json() == escaped.json()
    assert plain.json()["exists"] is True


def test_health_tells_of_the_workspace_and_the_queues(ask: Ask) -> None:
    report = ask("GET", "/api/health").json()
    assert report["state"] == "healthy", report
    assert report["checks"]["workspace"] == "ok"
    assert report["checks"]["model"] == "multilabel:1"
    assert set(report["queues"]) >= {"provision", "job-events"}


def test_after_a_deployment_the_hook_finds_the_keys_and_sets_what_is_missing(
    cloud: Cloud, clients: Clients, tmp_path: Path, ask: Ask
) -> None:
    config = cloud.stack.config
    token = Owner(config).get_token(config.arm_url).token
    function = f"{clients.function_app_id}/functions/get_model"
    url = f"{config.arm_url}{function}/keys/read?api-version=2024-04-01"
    changed = requests.put(
        url,
        json={"properties": {"name": "read", "value": "another"}},
        headers={"Authorization": f"Bearer {token}"},
        verify=str(config.certificate),
        timeout=SECONDS,
    )
    assert changed.status_code == 200, changed.text
    assert ask("GET", "/api/models/champion", "read").status_code == 401
    azd = tmp_path / "azd"
    azd.write_text(f"#!/bin/sh\necho '{json.dumps({'token': token})}'\n")
    azd.chmod(0o755)
    done = subprocess.run(
        [sys.executable, str(ROOT / "infra" / "hooks" / "postdeploy.py")],
        env={
            "PATH": f"{tmp_path}{os.pathsep}{os.defpath}",
            "SSL_CERT_FILE": str(config.certificate),
            "FUNCTION_APP_RESOURCE_ID": clients.function_app_id,
            "FUNCTION_APP_URL": config.functions_url,
            "RESOURCE_MANAGER_ENDPOINT": config.arm_url,
            "POLL_SECONDS": "0.5",
        },
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "keys read, score and operate: 1 set on " in done.stdout
    assert ask("GET", "/api/models/champion", "read").status_code == 404, "a version that nobody registered"


def blocks() -> list[tuple[str, str]]:
    """The examples of docs/api.md, with their languages."""
    return re.findall(r"^```(sh|python)\n(.*?)^```", (ROOT / "docs" / "api.md").read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("language", "example"), blocks(), ids=lambda each: each.split("\n")[0][:40])
def test_the_examples_of_the_documentation_run(
    language: str, example: str, environment: dict[str, str], clients: Clients, tmp_path: Path
) -> None:
    for path in ("2026/11/cup.jpg", "2026/11/key.jpg"):
        blob = clients.blobs.get_blob_client("images", path)
        if blob.exists():
            blob.delete_blob()
    for name in ("cup.jpg", "key.jpg"):
        (tmp_path / name).write_bytes(plain_jpeg())
    command = ["bash", "-euo", "pipefail", "-c"] if language == "sh" else [sys.executable, "-c"]
    done = subprocess.run(
        [*command, example],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
@pytest.mark.parametrize("label", OPERATIONS)
def test_every_answer_is_one_that_the_document_tells_of(
    label: str, mode: GenerationMode, environment: dict[str, str]
) -> None:
    operation = OPERATIONS[label]
    is_wrong = mode is GenerationMode.NEGATIVE
    is_open = operation.definition.raw["x-labelloop-key"] == "anonymous"
    if is_wrong and is_open and not (operation.query or operation.body):
        return  # Any text is a path, and there is no key: nothing can be wrong.

    @hypothesis.settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        if not is_wrong:
            # Right by themselves are neither: one comes from the page before, the other stands for one request.
            (case.query or {}).pop("cursor", None)
            (case.headers or {}).pop("Idempotency-Key", None)
        response = case.call(
            base_url=environment["FUNCTIONS_URL"],
            headers={"x-functions-key": environment["FUNCTIONS_KEY"]},
            timeout=SECONDS,
        )
        if response.status_code == 400 and b"Invalid header" in response.content:
            return  # The local host's HTTP server does not let every header through to the app.
        excluded = [positive_data_acceptance] if label in WITH_RULES else []
        case.validate_response(response, excluded_checks=excluded)

    check()
