"""One local stack: Azurite, the local cloud and the Functions host, started in order, watched, and stopped together."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.hooks import postdeploy
from local.cloud.certificate import ensure_certificate
from local.config import STORAGE_SERVICES, StackConfig
from local.locking import StateLock, StateLockedError
from local.processes import start_guarded, stop

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE_SETTINGS = ROOT / "local.settings.example.json"
START_SECONDS = 60.0
RESTART_SECONDS = 1.0
# The example's values are meant for Azure; on a laptop nobody wants to wait a minute for quiet.
LOCAL_PACE = {
    "EXPORT_QUIET_SECONDS": "1",
    "BATCH_INTERVAL": "*/2 * * * * *",
    "BATCH_QUIET_SECONDS": "2",
    # Its nodes start at once.
    "BATCH_MIN_IMAGES": "1",
    "COMPUTE_MAX_NODES": "2",
}


class StackError(Exception):
    """The stack could not be started or kept up; the message says which part, why, and where its log is."""


def delete_state(state: Path) -> bool:
    """Delete a stack's state; False when there is none. Raises StackError when a stack runs on it, or when the folder
    holds something else.
    """
    if not state.exists():
        return False
    if any(state.iterdir()) and not any((state / name).exists() for name in ("stack.json", "lock")):
        raise StackError(f"{state} holds no stack's state, and is not deleted")
    try:
        lock = StateLock(state)
    except StateLockedError as error:
        raise StackError(str(error)) from None
    try:
        shutil.rmtree(state)
    finally:
        lock.release()
    return True


class Stack:
    """The processes of one stack. Use as a context manager, or call `start` and `stop`."""

    def __init__(self, state: Path, *, app: Path = ROOT, say: Callable[[str], None] = print) -> None:
        try:
            self._state_lock = StateLock(state)
        except StateLockedError as error:
            raise StackError(str(error)) from None
        self.config = StackConfig.load_or_create(state)
        self._app = app
        self._say = say
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = threading.Event()
        self._released = False
        self._lock = threading.Lock()

    def __enter__(self) -> Stack:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start all parts and wait until each answers. Raises StackError."""
        ensure_certificate(self.config)
        self._start("azurite")
        self._await("azurite", lambda: connects(self.config.ports["azurite_blob"]))
        self._start("cloud")
        self._start("host")
        self._await("cloud", lambda: connects(self.config.ports["arm"]))
        self._await("host", lambda: _answers(self.config.functions_url))
        key_functions(self.config)
        threading.Thread(target=self._watch, daemon=True).start()

    def stop(self) -> None:
        """Stop all parts, the host first, so that nothing is begun that can't be ended."""
        self._stopping.set()
        with self._lock:
            for name in reversed(list(self._processes)):
                stop(self._processes.pop(name))
        if not self._released:
            self._state_lock.release()
            self._released = True

    def environment(self) -> dict[str, str]:
        """What any Azure client needs to be pointed at this stack."""
        config = self.config
        settings = app_settings(config)
        keys = json.loads(config.host_keys.read_text())
        return {
            "FUNCTIONS_URL": config.functions_url,
            "FUNCTIONS_KEY": keys["function"],
            **{f"FUNCTIONS_{name.upper()}_KEY": value for name, value in _class_keys(keys).items()},
            "DATA_STORAGE": config.connection_string(),
            "ARM_URL": config.arm_url,
            **config.identity_environment(),
            "AZURE_SUBSCRIPTION_ID": config.subscription_id,
            "AZURE_RESOURCE_GROUP": config.resource_group,
            "AZUREML_WORKSPACE_NAME": config.workspace_name,
            "LABELS_CONTAINER": config.default_container,
            "IMAGES_CONTAINER": settings["IMAGES_CONTAINER"],
            "PREDICTIONS_CONTAINER": settings["PREDICTIONS_CONTAINER"],
        }

    def _start(self, name: str) -> None:
        commands = {"azurite": azurite_command, "cloud": cloud_command, "host": self._host_command}
        environment = {**_base_environment(), **self.config.identity_environment(), "TMPDIR": str(self._temporary())}
        if name == "host":
            environment |= app_settings(self.config)
        process = start_guarded(
            commands[name](self.config),
            log=self._log(name),
            env=environment,
            cwd=ROOT,
            keep_open=[self._state_lock.descriptor],
        )
        self._processes[name] = process

    def _host_command(self, config: StackConfig) -> list[str]:
        port = str(config.ports["functions"])
        host = [sys.executable, "-m", "local.functions_host", "--app", str(self._app), "--port", port]
        return [*host, "--keys", str(config.host_keys), "--host-id", config.function_app_name]

    def _temporary(self) -> Path:
        """Where the processes put temporary files: a killed one leaves some, and `reset` is to find them."""
        folder = self.config.state / "tmp"
        folder.mkdir(exist_ok=True)
        return folder

    def _log(self, name: str) -> Path:
        return self.config.logs / f"{name}.log"

    def _await(self, name: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            code = self._processes[name].poll()
            if code is not None:
                raise StackError(f"{name} ended with status {code} at its start:\n{_tail(self._log(name))}")
            if time.monotonic() > deadline:
                raise StackError(f"{name} did not answer within {START_SECONDS:.0f} s:\n{_tail(self._log(name))}")
            time.sleep(0.05)

    def _watch(self) -> None:
        """Start a part again that has died, as a platform does."""
        while not self._stopping.wait(RESTART_SECONDS):
            with self._lock:
                for name, process in list(self._processes.items()):
                    if not self._stopping.is_set() and process.poll() is not None:
                        self._say(f"{name} ended with status {process.returncode}; starting it again")
                        if name == "azurite":
                            self._say("Azurite saves every few seconds: what was written just before is lost")
                        self._start(name)


def key_functions(config: StackConfig) -> None:
    """Give the API's functions their keys, as the hook does after a deployment, by the host's own API."""
    admin = {"x-functions-key": json.loads(config.host_keys.read_text())["master"]}
    url = f"{config.functions_url}/admin/functions"

    def list_keys(function: str) -> dict[str, str]:
        return {each["name"]: each["value"] for each in postdeploy.ask("GET", f"{url}/{function}/keys", admin)["keys"]}

    def set_key(function: str, name: str, value: str) -> None:
        postdeploy.ask("PUT", f"{url}/{function}/keys/{name}", admin, {"name": name, "value": value})

    document = postdeploy.ask("GET", f"{config.functions_url}/api/openapi.json", {})
    if "keys" in document["components"]["securitySchemes"]:
        postdeploy.key_functions(document, list_keys, set_key)


def _class_keys(keys: dict[str, Any]) -> dict[str, str]:
    """The keys of the API's classes, which have the same value for every function."""
    return {name: value for each in keys["functions"].values() for name, value in each.items()}


def app_settings(config: StackConfig) -> dict[str, str]:
    """The function app's settings on this stack: the example's, what the stack is, and what the caller's environment
    sets by the same names.
    """
    example: dict[str, str] = json.loads(EXAMPLE_SETTINGS.read_text())["Values"]
    group = f"/subscriptions/{config.subscription_id}/resourceGroups/{config.resource_group}/providers"
    chosen = {name: os.environ[name] for name in example if name in os.environ}
    # Here the app signs in with its identity, as it does in Azure.
    example.pop("DATA_STORAGE")
    chosen.pop("DATA_STORAGE", None)
    return {
        **example,
        **LOCAL_PACE,
        **chosen,
        "AzureWebJobsStorage": config.connection_string(tls=True),
        "DATA_STORAGE__credential": "managedidentity",
        **{f"DATA_STORAGE__{service}ServiceUri": config.storage_url(service) for service in STORAGE_SERVICES},
        "AZURE_SUBSCRIPTION_ID": config.subscription_id,
        "AZURE_RESOURCE_GROUP": config.resource_group,
        "AZURE_LOCATION": config.location,
        "AZUREML_WORKSPACE_NAME": config.workspace_name,
        "KEY_VAULT_RESOURCE_ID": f"{group}/Microsoft.KeyVault/vaults/labelloop",
        "APPLICATION_INSIGHTS_RESOURCE_ID": f"{group}/Microsoft.Insights/components/labelloop",
        "WEBSITE_SITE_NAME": config.function_app_name,
        "WEBSITE_HOSTNAME": f"127.0.0.1:{config.ports['functions']}",
    }


def azurite_executable() -> str:
    """Azurite as `npm ci` puts it into node_modules. Raises StackError when it is not there."""
    local = ROOT / "node_modules" / ".bin" / "azurite"
    found = str(local) if local.exists() else shutil.which("azurite")
    if not found:
        raise StackError("Azurite is not installed; run `npm ci` in the project's folder (Node.js 20 or newer)")
    return found


def azurite_command(config: StackConfig) -> list[str]:
    """Azurite on the stack's ports and state, over HTTPS. Raises StackError when it is not installed."""
    command = [azurite_executable(), "--location", str(config.state / "azurite"), "--silent", "--skipApiVersionCheck"]
    for service in STORAGE_SERVICES:
        command += [f"--{service}Host", "127.0.0.1", f"--{service}Port", str(config.ports[f"azurite_{service}"])]
    # Identities are taken over HTTPS alone.
    return [
        *command,
        "--disableTelemetry",
        *("--cert", str(config.certificate), "--key", str(config.private_key), "--oauth", "basic"),
    ]


def cloud_command(config: StackConfig) -> list[str]:
    """The local cloud on the stack's state."""
    return [sys.executable, "-m", "local.cloud", "--state", str(config.state)]


def _base_environment() -> dict[str, str]:
    """What a process needs of the caller's environment; the caller's own Azure settings must not reach the stack."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "VIRTUAL_ENV", "OPENBLAS_CORETYPE")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    return {**environment, "PYTHONUNBUFFERED": "1"}


def connects(port: int) -> bool:
    """Whether something listens on a port of this machine."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own host, over HTTP
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _tail(log: Path, lines: int = 30) -> str:
    return f"{log}:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
