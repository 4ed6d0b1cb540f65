"""A batch whose node is lost while it scores: every image has one outcome afterwards."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import requests
from azure.ai.ml.entities import Model

from shared.clients import Clients
from shared.cluster import ENDED_STATUSES, find_job, status_of, submit_once
from shared.ledger import Batch
from shared.manifests import ManifestRow, manifest_path, part_path, read_lines
from shared.models import ModelStore
from shared.pipelines import scoring_pipeline
from shared.scoring import Outcome
from tests.contract.cloud_client.conftest import COLOURS
from tests.contract.local_stack import Cloud, MakeClients
from tests.support import drop_image, plain_jpeg, write_bundle

JOB_SECONDS = 240
IMAGES_OF_A_SHARD = 5


@pytest.fixture
def batch(make: MakeClients, provisioned: None, tmp_path: Path) -> tuple[Clients, Batch]:
    """A batch of two shards, written and not submitted."""
    clients = make(images_container="images-lost", model_name="lost", compute_max_nodes=1)
    container = clients.settings.work_container
    clients.blobs.create_container("images-lost")
    store = ModelStore(clients.blobs, container, "lost")
    store.upload_bundle(write_bundle(tmp_path), store.bundle_path("lost"))
    address = f"azureml://datastores/labelloop/paths/{store.bundle_path('lost')}/"
    clients.ml.models.create_or_update(Model(name="lost", version="1", type="custom_model", path=address))
    folder = "batches/lost/1/"
    for shard in range(2):
        rows = []
        for number in range(IMAGES_OF_A_SHARD):
            path = f"{shard}-{number}.jpg"
            etag = drop_image(clients, path, plain_jpeg(list(COLOURS.values())[number % 3]))
            rows.append(ManifestRow(f"k:{path}", path, "images-lost", path, etag))
        content = "".join(row.to_json() + "\n" for row in rows)
        clients.blobs.get_blob_client(container, manifest_path(folder, shard)).upload_blob(content.encode())
    return (
        clients,
        Batch(
            id="lost",
            state="claimed",
            route="cluster",
            reason="",
            model_name="lost",
            model_version="1",
            model_path=store.bundle_path("lost"),
            created="2026-11-24T06:00:00Z",
            images=2 * IMAGES_OF_A_SHARD,
            shards=2,
            folder=folder,
        ),
    )


def log_of(cloud: Cloud, run: str) -> str:
    config = cloud.stack.config
    headers, certificate = {"x-admin-key": config.identity_header}, str(config.certificate)
    answer = requests.get(f"{config.arm_url}/admin/runs/{run}/log", headers=headers, verify=certificate, timeout=30)
    answer.raise_for_status()
    return answer.text


def test_every_image_has_one_outcome_after_a_node_was_lost(batch: tuple[Clients, Batch], cloud: Cloud) -> None:
    clients, made = batch
    # The first read of this image takes longer than the node lives.
    slow = {"service": "blob", "operation": "GetBlob", "path": "*/1-2.jpg", "delay": 60, "times": 1}
    lost = {"service": "node", "operation": "score_images", "path": "score-lost", "lost_nodes": 1, "delay": 3}
    with cloud.faults(slow, lost):
        submit_once(clients, scoring_pipeline("score-lost", made, clients.settings, account_url=clients.account_url))

        def ended() -> bool:
            job = find_job(clients, "score-lost")
            return job is not None and status_of(job) in ENDED_STATUSES

        deadline = time.monotonic() + JOB_SECONDS
        while not ended():
            assert time.monotonic() < deadline, "the job did not end"
            time.sleep(0.2)
    job = find_job(clients, "score-lost")
    assert job is not None
    assert status_of(job) == "Completed"
    keys = []
    for shard in range(2):
        blob = clients.blobs.get_blob_client(clients.settings.work_container, part_path(made.folder, shard))
        outcomes = [Outcome.from_json(line) for line in read_lines(blob.download_blob().readall().decode())]
        assert not any(outcome.error for outcome in outcomes)
        keys += [outcome.key for outcome in outcomes]
    assert sorted(keys) == [f"k:{shard}-{number}.jpg" for shard in range(2) for number in range(IMAGES_OF_A_SHARD)]
    (node,) = clients.ml.jobs.list(parent_job_name="score-lost")
    log = log_of(cloud, node.name)
    assert "its node was lost, by fault" in log
    assert "5 of 5 images in" in log
