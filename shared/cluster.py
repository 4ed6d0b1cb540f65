"""What every cluster job shares: the code asset and the Python environment."""

from __future__ import annotations

import atexit
import functools
import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azure.ai.ml.entities import Environment, Job

    from shared.clients import Clients

ROOT = Path(__file__).resolve().parent.parent
CODE_PACKAGES = ("components", "shared")
CONDA_FILE = ROOT / "components" / "environment.yaml"
# A curated base (https://github.com/Azure/AzureML-Containers). onnxruntime brings its own CUDA and cuDNN.
BASE_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-cuda11.8-cudnn8-ubuntu22.04:latest"
ENVIRONMENT_NAME = "labelloop-cluster"
KIND_TAG = "labelloop"
# A job in any other status may still do something.
ENDED_STATUSES = frozenset({"Completed", "Failed", "Canceled"})


@functools.cache
def code_folder() -> Path:
    """A folder with just what runs on the cluster: the modules of `components` and `shared`.

    A copy, since the SDK walks the whole of a code folder, `.python_packages` included, before it looks at an ignore
    file. It is made once a process.
    """
    folder = Path(tempfile.mkdtemp(prefix="labelloop-code-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for package in CODE_PACKAGES:
        for source in sorted((ROOT / package).rglob("*.py")):
            target = folder / "labelloop" / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return folder / "labelloop"


def cluster_environment() -> Environment:
    """The environment of the cluster's steps; its version is a hash of its content, so it changes only with that."""
    from azure.ai.ml.entities import Environment

    return Environment(
        name=ENVIRONMENT_NAME, version=_environment_version(), image=BASE_IMAGE, conda_file=str(CONDA_FILE)
    )


def environment_reference() -> str:
    """How a step names the registered environment. An environment given as an object would be registered again,
    without its name, for every job.
    """
    return f"azureml:{ENVIRONMENT_NAME}:{_environment_version()}"


@functools.cache
def _environment_version() -> str:
    return hashlib.sha256(CONDA_FILE.read_bytes() + BASE_IMAGE.encode()).hexdigest()[:12]


def find_job(clients: Clients, name: str) -> Job | None:
    """A job by name, or None."""
    from azure.core.exceptions import ResourceNotFoundError

    try:
        return clients.ml.jobs.get(name)
    except ResourceNotFoundError:
        return None


def status_of(job: Job) -> str:
    """A job's status as Azure ML spells it, e.g. Running. The SDK gives an enumeration for it, or a plain text."""
    return str(getattr(job.status, "value", job.status))


def submit_once(clients: Clients, job: Job) -> Job:
    """Submit a job under its own name; when a job of that name exists, that one is returned.

    Names derive from what a job is about, so that a step that is carried out twice submits one job. The environment is
    registered first: a newer version of the app may bring a newer one.
    """
    from azure.core.exceptions import HttpResponseError

    clients.ml.environments.create_or_update(cluster_environment())
    try:
        return clients.ml.jobs.create_or_update(job)
    except HttpResponseError:
        existing = find_job(clients, str(job.name))
        if existing is None:
            raise
        return existing
