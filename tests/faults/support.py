"""A whole stack that can be hurt at chosen moments, and what must be true of it afterwards."""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import requests
from azure.ai.ml.entities import Model
from azure.core.credentials import AzureNamedKeyCredential
from azure.data.tables import TableServiceClient
from azure.mgmt.eventgrid.models import Topic
from azure.storage.blob import BlobLeaseClient, BlobServiceClient
from PIL import Image

from local.cloud.storage.blobs import PLATFORM_AGENT
from local.config import StackConfig
from local.demo.client import Client, wait_for
from local.demo.report import read_rows
from local.stack import Stack
from shared.batches import LEASE_PATH
from shared.clients import Clients
from shared.ledger import Ledger
from tests.contract.local_stack import NEVER, Cloud, app_clients
from tests.e2e.support import provision
from tests.support import encoded, plain_jpeg, promote_bundle

# The topic that the app may publish to, as `infra` has it.
TOPIC = "labelloop"
INLINE_MAX_IMAGES = 3
SETTINGS = {
    "INLINE_MAX_IMAGES": str(INLINE_MAX_IMAGES),
    "PREDICTION_FORMATS": "csv,jsonl,parquet",
    "BATCH_INTERVAL": "* * * * * *",
    "BATCH_QUIET_SECONDS": "2",
    # What is lost must not be found before a test asks for it.
    "SWEEP_INTERVAL": NEVER,
    "SWEEP_GRACE_MINUTES": "0",
}
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
END_SECONDS = 120
# A request that the host dies upon is kept back for so long, and then dropped: it never happens.
HELD: dict[str, Any] = {"times": 1, "delay": 300, "reset": True}
# For so long a killed host's messages are in nobody's hands (s).
MESSAGE_LEASE = 4


class QuickStack(Stack):
    """Its host's messages come back soon after it was killed."""

    def _host_command(self, config: StackConfig) -> list[str]:
        return [*super()._host_command(config), "--message-lease", str(MESSAGE_LEASE)]


class FaultyStack:
    """A running, provisioned stack with a champion. What the tests upload and look at is never hurt: they upload as the
    platform, and read from Azurite itself.
    """

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._stack = stack
        self.client = Client(stack.environment())
        self._uploads = BlobServiceClient.from_connection_string(
            stack.config.connection_string(), user_agent=PLATFORM_AGENT
        )
        provision(self.client)
        clients = app_clients(Cloud(stack))
        topic = Topic(location="westeurope", input_schema="CloudEventSchemaV1_0", disable_local_auth=True)
        clients.event_grid.topics.begin_create_or_update(clients.settings.azure_resource_group, TOPIC, topic).result()
        self._promote(clients, folder)
        config = stack.config
        self.settings = clients.settings
        account = f"https://127.0.0.1:{{}}/{config.account_name}"
        options: dict[str, Any] = {
            "credential": AzureNamedKeyCredential(config.account_name, config.account_key),
            "connection_verify": str(config.certificate),
        }
        self._blobs = BlobServiceClient(account.format(config.ports["azurite_blob"]), **options)
        self._tables = TableServiceClient(account.format(config.ports["azurite_table"]), **options)
        self.ledger = Ledger(self._tables)

    def close(self) -> None:
        self.set_faults()
        for each in (self._blobs, self._tables, self._uploads):
            each.close()

    def _promote(self, clients: Clients, folder: Path) -> None:
        champion = promote_bundle(clients, folder)
        path = f"azureml://datastores/{clients.settings.work_container}/paths/{champion.path}/"
        model = Model(name=champion.name, version="1", type="custom_model", path=path, tags={"job": champion.job})
        clients.ml.models.create_or_update(model)

    # Faults

    def set_faults(self, *rules: dict[str, Any]) -> None:
        self._admin("PUT", "faults", {"value": list(rules)})

    def await_faults(self, count: int = 1) -> None:
        """Wait until the first `count` rules have been used up."""
        wait_for("the faults", lambda: set(range(count)) <= self.used_up(), seconds=END_SECONDS, every=0.1)

    def await_all_events(self) -> None:
        """Wait until the local cloud has no event left to deliver, and no job runs."""
        wait_for("all events", lambda: self._admin("GET", "idle")["idle"], seconds=END_SECONDS)

    def hold_at(self, points: Mapping[str, dict[str, Any]]) -> None:
        """Let the host's first request at each of the points hang."""
        self.set_faults(*({**rule, **HELD} for rule in points.values()))

    def kill_at(self, points: Mapping[str, dict[str, Any]]) -> None:
        """Kill the host whenever it hangs at another one of the points, in whatever order it comes to them."""
        died = set[int]()
        while left := [name for number, name in enumerate(points) if number not in died]:
            self._await_more_than(len(died), f"one of {left}")
            self._kill_host()
            # Its threads may have been at several.
            died = self.used_up()

    def _await_more_than(self, count: int, what: str) -> None:
        wait_for(what, lambda: len(self.used_up()) > count, seconds=END_SECONDS, every=0.05)

    def sweep(self) -> None:
        """Look for images whose events were lost, now, as a person may have the host do."""
        url = f"{self._stack.config.functions_url}/admin/functions/sweep_images"
        key = json.loads(self._stack.config.host_keys.read_text())["master"]
        answer = requests.post(url, json={}, headers={"x-functions-key": key}, timeout=30)
        answer.raise_for_status()

    def used_up(self) -> set[int]:
        """The numbers of the rules that were carried out as often as they may be."""
        return {number for number, rule in enumerate(self._admin("GET", "faults")["value"]) if rule["left"] == 0}

    def _kill_host(self) -> None:
        """SIGKILL; the stack starts it again. As time does, too, the dead dispatcher's lease ends."""
        found = [process for process in psutil.Process(os.getpid()).children(recursive=True) if _is_host(process)]
        assert found, "no host runs"
        for process in found:
            process.kill()
        psutil.wait_procs(found, timeout=30)
        blob = self._blobs.get_blob_client(self.settings.work_container, LEASE_PATH)
        if blob.get_blob_properties().lease.state == "leased":
            BlobLeaseClient(blob).break_lease(0)

    def _admin(self, method: str, what: str, document: Any = None) -> Any:
        config = self._stack.config
        answer = requests.request(
            method,
            f"{config.arm_url}/admin/{what}",
            json=document,
            headers={"x-admin-key": config.identity_header},
            verify=str(config.certificate),
            timeout=30,
        )
        answer.raise_for_status()
        return answer.json()

    # Images

    def drop(self, folder: str, count: int) -> set[str]:
        """Upload so many images at once, every other of which has to be converted, and the last of which is none;
        returns their names.
        """
        contents = (_picture(colour, number) for number, colour in enumerate(itertools.cycle(COLOURS.values())))
        files = {f"{folder}/{number}.jpg": content for number, content in zip(range(count), contents, strict=False)}
        files[max(files)] = b"this is no image"
        container = self._uploads.get_container_client(self.settings.images_container)
        for name, content in files.items():
            container.upload_blob(name, content)
        return set(files)

    def assert_each_once(self, names: set[str]) -> None:
        """Wait until nothing is left to do: each image has one row, the text alone an error, and there is no job but
        one of each batch.
        """
        wait_for(
            f"rows of {min(names)} …", lambda: names <= {row["image"] for row in self._rows()}, seconds=END_SECONDS
        )
        wait_for("the end of all batches", self._is_done, seconds=END_SECONDS)
        found = [row for row in self._rows() if row["image"] in names]
        assert Counter(row["image"] for row in found) == Counter(names)
        assert [row["image"] for row in found if row["error"]] == [max(names)]
        labels = dict(zip(sorted(names), itertools.cycle(COLOURS), strict=False))
        assert {row["image"]: row["labels"] for row in found} == {**labels, max(names): ""}
        submitted = {batch.job for batch in self.ledger.done_batches(1000) if batch.job}
        started = [str(job["name"]) for job in self.client.get("/api/jobs?kind=scoring")["jobs"]]
        assert sorted(started) == sorted(submitted), "each job is one batch's, and each batch has one at most"

    def _rows(self) -> list[dict[str, str]]:
        container = self._blobs.get_container_client(self.settings.predictions_container)
        paths = [name for name in map(str, container.list_blob_names()) if name.endswith(".csv")]
        return read_rows([container.download_blob(path).readall() for path in paths])

    def _is_done(self) -> bool:
        return not self.ledger.open_batches() and not self.ledger.count_waiting(1)


def _picture(colour: tuple[int, int, int], number: int) -> bytes:
    """An image of one colour; those of odd numbers have an alpha channel, and so have to be converted."""
    return encoded(Image.new("RGBA", (64, 48), (*colour, 255)), "PNG") if number % 2 else plain_jpeg(colour)


def _is_host(process: Any) -> bool:
    try:
        command = process.cmdline()
    except psutil.Error:
        return False
    return "local.functions_host" in command and "local.processes" not in command
