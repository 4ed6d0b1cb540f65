"""The whole product as its user runs it: `python -m local run`, seen through its dotenv file alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from local.demo.client import Client, wait_for
from local.demo.data import KnownImage, coco_export
from local.demo.report import read_rows

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 90
TRAIN_SECONDS = 300
SCORE_SECONDS = 180


class RunningStack:
    """`python -m local run` on one state folder, which outlives the processes."""

    def __init__(self, state: Path, **settings: str) -> None:
        self.state = state
        self._environment_file = state.parent / f"{state.name}.env"
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Client:
        """Start and wait until it says that it is ready."""
        log = (self.state.parent / f"{self.state.name}.log").open("a")
        command = [sys.executable, "-m", "local", "run", "--state", str(self.state)]
        self._environment_file.unlink(missing_ok=True)
        with log:
            self._process = subprocess.Popen(
                [*command, "--env", str(self._environment_file)],
                cwd=ROOT,
                env={**os.environ, **self._settings},
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )
        wait_for("the stack's start", self._environment_file.exists, seconds=START_SECONDS)
        return self.client()

    def client(self) -> Client:
        """An outside client, by the dotenv file."""
        lines = self._environment_file.read_text().splitlines()
        pairs = (line.partition("=") for line in lines)
        return Client({name: value.strip("'") for name, _, value in pairs})

    def kill(self) -> None:
        """SIGKILL, as when the machine goes down; nothing may be left behind."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        wait_for("the end of all processes", lambda: not self.processes(), seconds=30)

    def stop(self) -> int:
        """SIGTERM, as Ctrl-C; returns the exit status."""
        if self._process is None or self._process.poll() is not None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def processes(self, containing: str = "") -> list[int]:
        """Ids of processes whose command line names this state folder (and `containing`)."""
        listing = subprocess.run(["ps", "-eo", "pid=,args="], check=True, capture_output=True, text=True).stdout
        found = []
        for line in listing.splitlines():
            pid, _, command = line.strip().partition(" ")
            if str(self.state) in command and containing in command and int(pid) != os.getpid():
                found.append(int(pid))
        return found


def provision(client: Client) -> None:
    """Ask for all resources and wait for them."""
    assert client.request("POST", "/api/provision").status == 202
    wait_for("provisioning", lambda: client.get("/api/provision")["state"] == "ready", seconds=120)


def export_labels(client: Client, images: list[KnownImage], name: str = "labels") -> None:
    """Upload labelled images and their COCO export."""
    container = client.environment["LABELS_CONTAINER"]
    client.upload(container, ((f"labelled/{image.name}", image.file.read_bytes()) for image in images))
    url = client.storage.get_container_client(container).url
    export = coco_export(images, "workspaceblobstore", url, "labelled")
    client.upload(container, [(f"Labeling/export/coco/{name}.json", export)])


def jobs(client: Client, kind: str) -> list[dict[str, Any]]:
    """The jobs of a kind, newest first."""
    found: list[dict[str, Any]] = client.get(f"/api/jobs?kind={kind}")["jobs"]
    return found


def steps(client: Client, job: str) -> dict[str, str]:
    """A job's steps with their status."""
    return {step["name"]: step["status"] for step in client.get(f"/api/jobs/{job}")["steps"]}


def rows(client: Client) -> list[dict[str, str]]:
    """All rows of all prediction CSVs."""
    container = client.environment["PREDICTIONS_CONTAINER"]
    return read_rows([client.read(container, path) for path in client.blobs(container, ".csv")])


def await_rows(client: Client, names: set[str], seconds: float = SCORE_SECONDS) -> Counter[str]:
    """Wait until each image has a row; returns how many each has."""
    wait_for(f"rows of {len(names)} images", lambda: names <= {row["image"] for row in rows(client)}, seconds=seconds)
    return Counter(row["image"] for row in rows(client))


def settled(client: Client) -> bool:
    """Whether no batch is under way and nothing waits: two looks at the CSVs, one dispatch apart, agree."""
    before = rows(client)
    time.sleep(5)
    return rows(client) == before


def post_event_again(stack: RunningStack, client: Client, path: str) -> int:
    """Deliver the event of an image once more, as Event Grid may; returns the HTTP status."""
    keys = json.loads((stack.state / "host" / "keys.json").read_text())
    container = client.environment["IMAGES_CONTAINER"]
    blob = client.storage.get_blob_client(container, path)
    properties = blob.get_blob_properties()
    event = {
        "topic": "/subscriptions/s/resourceGroups/r/providers/Microsoft.Storage/storageAccounts/devstoreaccount1",
        "subject": f"/blobServices/default/containers/{container}/blobs/{path}",
        "eventType": "Microsoft.Storage.BlobCreated",
        "id": "again",
        "eventTime": "2026-11-24T00:00:00Z",
        "dataVersion": "",
        "metadataVersion": "1",
        "data": {
            "api": "PutBlob",
            "eTag": str(properties.etag),
            "contentLength": properties.size,
            "contentType": "application/octet-stream",
            "blobType": "BlockBlob",
            "url": blob.url,
        },
    }
    query = f"functionName=Host.Functions.image_landed&code={keys['system']['blobs_extension']}"
    request = urllib.request.Request(  # noqa: S310 - our own host
        f"{client.environment['FUNCTIONS_URL']}/runtime/webhooks/blobs?{query}",
        data=json.dumps([event]).encode(),
        headers={"content-type": "application/json", "aeg-event-type": "Notification"},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
        return int(response.status)
