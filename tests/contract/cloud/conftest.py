"""One real stack for the contract tests: Azurite, the local cloud, and a recorder in place of the Functions host."""

from __future__ import annotations

import os
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

with warnings.catch_warnings():
    # azure-ai-ml 1.35 uses what marshmallow 3 deprecates; it says so when it is imported.
    warnings.simplefilter("ignore")
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import AmlCompute, Data, IdentityConfiguration, Workspace
from azure.identity import DefaultAzureCredential
from azure.mgmt.eventgrid import EventGridManagementClient
from azure.mgmt.machinelearningservices import MachineLearningServicesMgmtClient
from azure.storage.blob import BlobServiceClient, ContainerClient

from local.cloud.certificate import ensure_certificate
from local.config import StackConfig
from local.processes import start_guarded, stop
from local.stack import azurite_command, cloud_command, connects
from tests.contract.cloud.arm import Arm
from tests.contract.cloud.recorder import Recorder, await_true
from tests.contract.cloud.roles import Owner, give

ROOT = Path(__file__).resolve().parents[3]
CODE = Path(__file__).parent / "node_code"


# The SDK's own deprecations are not this project's.
SDK_WARNINGS = (
    "ignore::marshmallow.warnings.ChangedInMarshmallow4Warning",
    "ignore::marshmallow.warnings.RemovedInMarshmallow4Warning",
    r"ignore::DeprecationWarning:azure\.ai\.ml.*",
    r"ignore::DeprecationWarning:azure\.storage\.blob.*",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            for warning in SDK_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


class RunningStack:
    """Azurite and the local cloud; the cloud can be killed and started again."""

    def __init__(self, state: Path) -> None:
        self.config = StackConfig.load_or_create(state)
        ensure_certificate(self.config)
        self._azurite = self._start_azurite()
        self.cloud = self._start_cloud()
        self.await_ready()

    def _start_azurite(self) -> subprocess.Popen[bytes]:
        return start_guarded(azurite_command(self.config), log=self.config.logs / "azurite.log", cwd=ROOT)

    def _start_cloud(self) -> subprocess.Popen[bytes]:
        return start_guarded(cloud_command(self.config), log=self.config.logs / "cloud.log", cwd=ROOT)

    def await_ready(self) -> None:
        for name in ("azurite_blob", "azurite_queue", "azurite_table", "arm", "blob", "table_http"):
            await_true(lambda name=name: connects(self.config.ports[name]), f"port of {name}")  # type: ignore[misc]

    def kill_cloud(self) -> None:
        """As a crash would: the guard and, through it, the cloud with its nodes are gone without a goodbye."""
        children = _children(self.cloud.pid)
        for pid in children:
            os.kill(pid, 9)
        stop(self.cloud)

    def restart_cloud(self) -> None:
        self.cloud = self._start_cloud()
        self.await_ready()

    def stop_cloud(self) -> None:
        stop(self.cloud)

    def close(self) -> None:
        stop(self.cloud)
        stop(self._azurite)

    def admin(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"x-admin-key": self.config.identity_header}
        url = f"{self.config.arm_url}/admin{path}"
        return requests.request(
            method, url, headers=headers, verify=str(self.config.certificate), timeout=30, **options
        )

    def await_idle(self, seconds: float = 60) -> None:
        await_true(lambda: self.admin("GET", "/idle").json()["idle"], "idle cloud", seconds)

    def events(self, event_type: str, subject: str) -> list[dict[str, Any]]:
        """Recent events of a type whose subject contains a text, oldest first."""
        found = self.admin("GET", "/events", params={"limit": "1000"}).json()["value"]
        return [e for e in reversed(found) if e["eventType"] == event_type and subject in e["subject"]]


def _children(pid: int) -> list[int]:
    """The children of a process (Linux and macOS)."""
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in listed.stdout.split()]


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """The stack, with the process's environment pointing the unmodified SDKs at it, as App Service would."""
    stack = RunningStack(tmp_path_factory.mktemp("stack"))
    patch = pytest.MonkeyPatch()
    for name, value in stack.config.identity_environment().items():
        patch.setenv(name, value)
    try:
        yield stack
    finally:
        patch.undo()
        stack.close()


@pytest.fixture(scope="package")
def config(stack: RunningStack) -> StackConfig:
    return stack.config


@pytest.fixture(scope="package")
def credential(stack: RunningStack) -> DefaultAzureCredential:
    return DefaultAzureCredential()


@pytest.fixture(scope="package")
def recorder(config: StackConfig) -> Iterator[Recorder]:
    """In the place of the Functions host: answers handshakes, records notifications, fails when told to."""
    recorder = Recorder(config.ports["functions"])
    config.host_keys.parent.mkdir(parents=True, exist_ok=True)
    config.host_keys.write_text(
        '{"master": "m", "function": "f", "system": {"blobs_extension": "b", "eventgrid_extension": "e"}}'
    )
    with recorder:
        yield recorder


@pytest.fixture(scope="package")
def ml(stack: RunningStack, credential: DefaultAzureCredential) -> MLClient:
    """A client of the workspace, which exists with a cluster of two nodes."""
    config = stack.config
    client = MLClient(credential, config.subscription_id, config.resource_group, config.workspace_name)
    providers = f"/subscriptions/{config.subscription_id}/resourceGroups/{config.resource_group}/providers"
    client.workspaces.begin_create(
        Workspace(
            name=config.workspace_name,
            location=config.location,
            storage_account=f"{providers}/Microsoft.Storage/storageAccounts/{config.account_name}",
            key_vault=f"{providers}/Microsoft.KeyVault/vaults/kv",
            application_insights=f"{providers}/Microsoft.Insights/components/ai",
            tags={"application": "labelloop"},
        )
    ).result()
    cluster = client.compute.begin_create_or_update(
        AmlCompute(
            name="gpu-cluster",
            size="Standard_NC4as_T4_v3",
            min_instances=0,
            max_instances=2,
            idle_time_before_scale_down=600,
            identity=IdentityConfiguration(type="system_assigned"),
        )
    ).result()
    for role, scope in (
        ("AzureML Data Scientist", f"Microsoft.MachineLearningServices/workspaces/{config.workspace_name}"),
        ("Storage Blob Data Contributor", f"Microsoft.Storage/storageAccounts/{config.account_name}"),
    ):
        give(config, cluster.identity.principal_id, role, f"{providers}/{scope}")
    return client


@pytest.fixture(scope="package")
def blobs(stack: RunningStack, credential: DefaultAzureCredential) -> Iterator[BlobServiceClient]:
    """Blob storage through the proxy, signed in with the managed identity."""
    with BlobServiceClient(stack.config.storage_url("blob"), credential=credential) as client:
        yield client


@pytest.fixture(scope="package")
def default_container(ml: MLClient, blobs: BlobServiceClient, config: StackConfig) -> ContainerClient:
    return blobs.get_container_client(config.default_container)


@pytest.fixture(scope="package")
def letters(ml: MLClient, default_container: ContainerClient) -> str:
    """A data asset of five small text files: `letters:1`."""
    for letter in "abcde":
        default_container.upload_blob(f"letters/{letter}.txt", letter, overwrite=True)
    path = "azureml://datastores/workspaceblobstore/paths/letters"
    ml.data.create_or_update(Data(name="letters", version="1", type="uri_folder", path=path))
    return "azureml:letters:1"


@pytest.fixture(scope="package")
def event_grid(stack: RunningStack, credential: DefaultAzureCredential) -> Iterator[EventGridManagementClient]:
    config = stack.config
    scopes = [f"{config.arm_url}/.default"]
    with EventGridManagementClient(
        credential, config.subscription_id, base_url=config.arm_url, credential_scopes=scopes
    ) as client:
        yield client


@pytest.fixture(scope="package")
def arm(config: StackConfig) -> Arm:
    """Azure Resource Manager without an SDK, for the owner of the subscription."""
    return Arm(config)


@pytest.fixture(scope="package")
def management(stack: RunningStack) -> Iterator[MachineLearningServicesMgmtClient]:
    """The management SDK of Azure ML, for the owner of the subscription."""
    config = stack.config
    with MachineLearningServicesMgmtClient(
        Owner(config),
        config.subscription_id,
        base_url=config.arm_url,
        credential_scopes=[f"{config.arm_url}/.default"],
    ) as client:
        yield client


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Names that no other test uses."""

    def name(prefix: str) -> str:
        return f"{prefix}-{time.time_ns() % 10**12}"

    return name
