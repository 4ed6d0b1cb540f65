"""The hook after `azd deploy`, run as azd runs it, against an app and a Resource Manager on real sockets."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.unit.infra.support import INFRA

HOOK = INFRA / "hooks" / "postdeploy.py"
APP_ID = "/subscriptions/s/resourceGroups/rg-dev/providers/Microsoft.Web/sites/func-x"
KEYS_PATH = f"{APP_ID}/host/default/listKeys"
FUNCTION_KEYS = re.compile(rf"{APP_ID}/functions/(\w+)/(\w+)/?(\w*)\?api-version=2024-04-01")
Answer = tuple[int, Any]


def resource(identifier: str, state: str, error: str = "") -> dict[str, Any]:
    kind, _, name = identifier.partition(":")
    return {
        "id": identifier,
        "type": kind,
        "name": name,
        "state": state,
        "since": "",
        "error": error,
        "desired": {},
        "actual": None,
    }


def report(state: str, *resources: dict[str, Any], checks: tuple[dict[str, str], ...] = ()) -> Answer:
    return 202 if state == "in_progress" else 200, {
        "state": state,
        "checks": list(checks),
        "resources": list(resources),
    }


def problem(status: int, detail: str) -> Answer:
    return status, {"type": "about:blank", "title": "", "status": status, "detail": detail}


def document(scheme: str = "keys", **classes: str) -> Answer:
    """The part of the app's OpenAPI document that tells the classes of its functions."""
    operations = {
        f"/api/{name}": {
            "get": {
                "operationId": name,
                "x-labelloop-key": each,
                "security": [] if each == "anonymous" else [{scheme: []}],
            }
        }
        for name, each in classes.items()
    }
    return 200, {"paths": operations, "components": {"securitySchemes": {scheme: {}}}}


READY = report("ready", resource("workspace:mlw-x", "ready"), resource("compute:gpu-cluster", "ready"))


@dataclass
class Azure:
    """Resource Manager and the app in one server. Each list of answers is given in order, the last again and again."""

    url: str = ""
    keys: list[Answer] = field(default_factory=lambda: [(200, {"masterKey": "m", "functionKeys": {"default": "k1"}})])
    post: list[Answer] = field(default_factory=lambda: [report("in_progress")])
    get: list[Answer] = field(default_factory=lambda: [READY])
    document: list[Answer] = field(default_factory=lambda: [document()])
    functions: dict[str, dict[str, str]] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if path == "/api/openapi.json":
            return self.document.pop(0) if len(self.document) > 1 else self.document[0]
        if match := FUNCTION_KEYS.fullmatch(path):
            function, verb, name = match.groups()
            return self.function_keys(method, function, verb, name, body)
        self.seen.append((method, path, headers))
        answers = self.keys if path.startswith(KEYS_PATH) else self.post if method == "POST" else self.get
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def function_keys(self, method: str, function: str, verb: str, name: str, body: bytes) -> Answer:
        keys = self.functions.setdefault(function, {})
        if (method, verb) == ("POST", "listkeys"):
            return 200, keys
        assert (method, verb) == ("PUT", "keys")
        told = json.loads(body)["properties"]
        assert told["name"] == name
        keys[name] = told["value"]
        return 201, {"properties": told}


@pytest.fixture
def azure() -> Iterator[Azure]:
    state = Azure()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def do_PUT(self) -> None:
            self._answer()

        def _answer(self) -> None:
            given = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, body = state.answer(self.command, self.path, headers, given)
            content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            is_problem = isinstance(body, dict) and "detail" in body
            self.send_response(status)
            self.send_header("Content-Type", "application/problem+json" if is_problem else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield state
        server.shutdown()
        thread.join()


@pytest.fixture
def azd(tmp_path: Path) -> Path:
    """An azd that only knows how to give a token."""
    path = tmp_path / "azd"
    path.write_text(
        '#!/bin/sh\ncase "$*" in "auth token --output json") token=t0ken;; '
        '"auth token --scope c-1/.default --output json") token=app;; *) exit 1;; esac\n'
        'echo "{\\"token\\": \\"$token\\", \\"expiresOn\\": \\"2027\\"}"\n'
    )
    path.chmod(0o755)
    return path


def run(azure: Azure, azd: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run the hook to its end. azd's own environment is given, nothing else."""
    environment = {
        "PATH": f"{azd.parent}{os.pathsep}{os.defpath}",
        "FUNCTION_APP_RESOURCE_ID": APP_ID,
        "FUNCTION_APP_URL": azure.url,
        "RESOURCE_MANAGER_ENDPOINT": f"{azure.url}/",
        "POLL_SECONDS": "0.02",
        **changes,
    }
    command = [sys.executable, "-I", str(HOOK)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_it_asks_with_the_apps_host_key_and_waits_until_all_is_ready(azure: Azure, azd: Path) -> None:
    azure.get = [
        report("in_progress", resource("workspace:mlw-x", "in_progress"), resource("compute:gpu-cluster", "pending")),
        report("in_progress", resource("workspace:mlw-x", "ready"), resource("compute:gpu-cluster", "in_progress")),
        READY,
    ]
    done = run(azure, azd)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "keys read, score and operate: 0 set on 0 functions",
        f"asking {azure.url}/api/provision ...",
        "  workspace:mlw-x: in_progress",
        "  workspace:mlw-x: ready",
        "  compute:gpu-cluster: in_progress",
        "  compute:gpu-cluster: ready",
        "ready: 2 resources",
    ]
    (keys, *asked) = azure.seen
    assert keys[:2] == ("POST", f"{KEYS_PATH}?api-version=2024-04-01")
    assert keys[2]["authorization"] == "Bearer t0ken"
    assert [each[:2] for each in asked] == [("POST", "/api/provision"), *[("GET", "/api/provision")] * 3]
    assert all(headers["x-functions-key"] == "k1" and "authorization" not in headers for _, _, headers in asked)


CLASSES = {"health": "anonymous", "list_models": "read", "predict": "score", "train": "operate"}


def test_each_function_gets_the_keys_of_its_class_and_of_those_above(azure: Azure, azd: Path) -> None:
    azure.document = [document(**CLASSES)]
    done = run(azure, azd)
    assert done.returncode == 0, done.stderr
    assert "keys read, score and operate: 6 set on 3 functions" in done.stdout
    assert {name: set(keys) for name, keys in azure.functions.items()} == {
        "list_models": {"read", "score", "operate"},
        "predict": {"score", "operate"},
        "train": {"operate"},
    }
    values = {(name, value) for keys in azure.functions.values() for name, value in keys.items()}
    assert len(values) == len({value for _, value in values}) == 3, "one value for each class"
    assert not any(value in done.stdout for _, value in values)


def test_keys_that_there_are_stay_and_new_functions_get_them(azure: Azure, azd: Path) -> None:
    azure.document = [document(**CLASSES)]
    run(azure, azd)
    before = {name: dict(keys) for name, keys in azure.functions.items()}
    azure.document = [document(**CLASSES, list_jobs="read")]
    done = run(azure, azd)
    assert "keys read, score and operate: 3 set on 4 functions" in done.stdout
    assert azure.functions == {**before, "list_jobs": before["list_models"]}


def test_with_entra_the_hook_signs_in_to_the_app_and_sets_no_keys(azure: Azure, azd: Path) -> None:
    azure.document = [document("entra", **CLASSES)]
    done = run(azure, azd, ENTRA_CLIENT_ID="c-1")
    assert done.returncode == 0, done.stderr
    assert azure.functions == {}
    assert azure.seen[-1][2]["authorization"] == "Bearer app"
    done = run(azure, azd)
    assert "ENTRA_CLIENT_ID is not set" in done.stderr


def test_the_master_key_does_where_there_is_no_other(azure: Azure, azd: Path) -> None:
    azure.keys = [(200, {"masterKey": "m", "functionKeys": {}})]
    assert run(azure, azd).returncode == 0
    assert azure.seen[-1][2]["x-functions-key"] == "m"


def test_an_app_that_was_just_deployed_is_waited_for(azure: Azure, azd: Path) -> None:
    azure.keys = [
        (400, {"error": {"code": "BadRequest", "message": "ServiceUnavailable from host runtime"}}),
        *azure.keys,
    ]
    azure.post = [
        (404, "not found"),
        (401, ""),
        (503, "The service is unavailable."),
        problem(503, "Azure does not answer as it should"),
        report("in_progress"),
    ]
    azure.get = [(502, "bad gateway"), READY]
    done = run(azure, azd)
    assert (done.returncode, done.stderr) == (0, "")
    assert "waiting for the app (400: ServiceUnavailable from host runtime)" in done.stdout
    assert "waiting for the app (503: The service is unavailable.)" in done.stdout
    assert done.stdout.endswith("ready: 2 resources\n")


def test_an_app_that_never_starts_is_an_error(azure: Azure, azd: Path) -> None:
    azure.post = [(404, "Function host is not running.")]
    done = run(azure, azd, START_TIMEOUT_SECONDS="0.2")
    assert done.returncode == 1
    assert "did not become ready in time; the last answer was 404: Function host is not running." in done.stderr


def test_an_app_that_can_not_be_reached_is_an_error(azure: Azure, azd: Path) -> None:
    done = run(azure, azd, FUNCTION_APP_URL="http://127.0.0.1:1", START_TIMEOUT_SECONDS="0.1")
    assert done.returncode == 1
    assert "did not become ready in time; the last answer was no answer: " in done.stderr


def test_a_failure_names_what_failed_and_why(azure: Azure, azd: Path) -> None:
    azure.get = [
        report(
            "failed",
            resource("workspace:mlw-x", "ready"),
            resource("compute:gpu-cluster", "failed", "no quota"),
            resource("datastore:images", "conflict", "account is 'other'"),
            resource("environment:labelloop", "waiting", "waits for workspace:mlw-x"),
        )
    ]
    done = run(azure, azd)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "ERROR: provisioning has failed.",
        "  compute:gpu-cluster (failed): no quota",
        "  datastore:images (conflict): account is 'other'",
        "  environment:labelloop (waiting): waits for workspace:mlw-x",
    ]


def test_a_refused_check_is_told_with_what_to_do(azure: Azure, azd: Path) -> None:
    checks = (
        {"check": "permissions", "state": "passed", "message": "all there", "remedy": ""},
        {"check": "quota", "state": "refused", "message": "0 of 4 cores are free", "remedy": "ask for more"},
        {"check": "regions", "state": "unchecked", "message": "may not ask", "remedy": "give the role"},
    )
    azure.get = [report("failed", resource("compute:gpu-cluster", "pending"), checks=checks)]
    done = run(azure, azd)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "ERROR: provisioning has failed.",
        "  quota: 0 of 4 cores are free",
        "    do this: ask for more",
    ]


def test_a_run_that_could_not_plan_says_why(azure: Azure, azd: Path) -> None:
    status, body = report("failed")
    azure.get = [(status, {**body, "error": "Azure does not answer"})]
    done = run(azure, azd)
    assert done.returncode == 1
    assert "Azure does not answer" in done.stderr


def test_provisioning_that_takes_too_long_is_an_error(azure: Azure, azd: Path) -> None:
    azure.get = [report("in_progress", resource("compute:gpu-cluster", "in_progress"), resource("queue:a", "ready"))]
    done = run(azure, azd, PROVISION_TIMEOUT_SECONDS="0.2")
    assert done.returncode == 1
    assert "is not over after 0 s; not ready: compute:gpu-cluster. It goes on in the app" in done.stderr


def test_it_is_skipped_where_others_keep_the_resources(azure: Azure, azd: Path) -> None:
    azure.post = [problem(403, "provisioning is switched off (PROVISIONING=disabled)")]
    done = run(azure, azd)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(
        "skipped: provisioning is switched off (PROVISIONING=disabled). Deploy infra/event-subscriptions.bicep now, if "
        "that has not been done.\n"
    )


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((403, "Ip Forbidden"), "was refused with 403: Ip Forbidden"),
        (problem(500, "setting COMPUTE_SIZE: is 'x'"), "was refused with 500: setting COMPUTE_SIZE: is 'x'"),
    ],
)
def test_an_app_that_refuses_is_an_error_at_once(azure: Azure, azd: Path, answer: Answer, expected: str) -> None:
    azure.post = [answer]
    done = run(azure, azd)
    assert done.returncode == 1
    assert expected in done.stderr
    assert len(azure.seen) == 2


def test_keys_that_may_not_be_read_are_an_error_at_once(azure: Azure, azd: Path) -> None:
    azure.keys = [(403, {"error": {"code": "AuthorizationFailed", "message": "no authorization over scope"}})]
    done = run(azure, azd)
    assert done.returncode == 1
    assert done.stderr == f"ERROR: the keys of {APP_ID} can't be had: 403: no authorization over scope\n"


def test_an_azd_that_is_not_logged_in_is_an_error(azure: Azure, azd: Path) -> None:
    azd.write_text("#!/bin/sh\necho 'not logged in' >&2\nexit 1\n")
    done = run(azure, azd)
    assert done.returncode == 1
    assert "azd auth token: not logged in. Log in with: azd auth login" in done.stderr
    assert not azure.seen


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("FUNCTION_APP_URL", "", "FUNCTION_APP_URL is not set; run azd provision first"),
        ("POLL_SECONDS", "soon", "POLL_SECONDS is 'soon', but must be a number of seconds above 0"),
    ],
)
def test_an_environment_that_is_not_as_it_should_be_is_an_error(
    azure: Azure, azd: Path, name: str, value: str, expected: str
) -> None:
    done = run(azure, azd, **{name: value})
    assert (done.returncode, done.stderr) == (1, f"ERROR: {expected}\n")
