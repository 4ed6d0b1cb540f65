"""A node's process: what it may know, how it starts, how it ends."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import local
from local.cloud.identity import IdentityProvider, Principal
from local.cloud.jobs.runs import Run
from local.cloud.rules.ids import WorkspaceScope
from local.config import StackConfig
from local.processes import start_guarded, stop

REPOSITORY = Path(local.__file__).resolve().parent.parent
POLL_SECONDS = 0.05
SYNC_SECONDS = 2.0
TAIL_LINES, TAIL_CHARACTERS = 30, 4000

# Of this process's environment a node gets these and no others: no keys, no tokens.
_PASSED_ON = (
    "OPENBLAS_CORETYPE",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
)


def node_environment(
    config: StackConfig,
    identity: IdentityProvider,
    scope: WorkspaceScope,
    run: Run,
    variables: Mapping[str, str],
    identities: Sequence[Principal],
    client_id: str | None,
) -> dict[str, str]:
    """The environment of a node: what Azure ML sets on one, and where this cloud is.

    MSI_ENDPOINT and MSI_SECRET are Azure ML compute's managed identity (azure-identity, `_credentials/azure_ml.py`).
    `identities` are the cluster's, `client_id` is that of its user-assigned one, if it has one.
    """
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # Not resolved: a virtual environment's python is a link, and its folder is what makes it that environment's.
    binaries = str(Path(sys.executable).parent)
    environment["PATH"] = f"{binaries}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    environment |= {
        "PYTHONUNBUFFERED": "1",
        "AZUREML_RUN_ID": run.run_id,
        "AZUREML_ROOT_RUN_ID": run.root_run_id,
        "AZUREML_EXPERIMENT_NAME": run.experiment,
        "AZUREML_EXPERIMENT_ID": scope.experiment_id(run.experiment),
        "AZUREML_ARM_SUBSCRIPTION": scope.subscription,
        "AZUREML_ARM_RESOURCEGROUP": scope.group,
        "AZUREML_ARM_WORKSPACE_NAME": scope.workspace,
        "AZUREML_ARM_PROJECT_NAME": run.experiment,
        "MSI_ENDPOINT": f"{config.arm_url}/msi/token",
        "MSI_SECRET": identity.compute_secret(identities),
        "ARM_CLOUD_METADATA_URL": config.cloud_metadata_url,
        "REQUESTS_CA_BUNDLE": str(config.certificate),
    }
    if client_id is not None:
        environment["DEFAULT_IDENTITY_CLIENT_ID"] = client_id
    return environment | dict(variables)


def shell_command(folder: Path, command: str) -> list[str]:
    """Run a command line in `folder`, by bash as on Azure ML compute where there is one."""
    shell = shutil.which("bash") or "/bin/sh"
    # The guard runs in the repository, whose package it is; the command must run in its own folder.
    return [shell, "-c", 'cd "$1" && exec "$0" -c "$2"', shell, str(folder), command]


def in_folder(folder: Path, command: Sequence[str]) -> list[str]:
    """Run a program in `folder`."""
    return ["/bin/sh", "-c", 'cd "$0" && exec "$@"', str(folder), *command]


async def run_process(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    sync: Callable[[], Awaitable[None]],
) -> int:
    """Run a guarded process to its end and answer its exit code; `sync` is called every SYNC_SECONDS meanwhile.

    When cancelled, the process and all its children are ended before this returns.
    """
    process = start_guarded(command, log=log, env=environment, cwd=REPOSITORY)
    try:
        waited = 0.0
        while process.poll() is None:
            await asyncio.sleep(POLL_SECONDS)
            waited += POLL_SECONDS
            if waited >= SYNC_SECONDS:
                waited = 0.0
                await sync()
        return int(process.returncode)
    finally:
        await _end(process)


async def _end(process: subprocess.Popen[bytes]) -> None:
    """Also after a normal end: closes the pipe to the guard."""
    await asyncio.shield(asyncio.to_thread(stop, process))


def log_tail(log: Path) -> str:
    """The last lines of a log, for an error message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4 * TAIL_CHARACTERS))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-TAIL_LINES:])[-TAIL_CHARACTERS:]
