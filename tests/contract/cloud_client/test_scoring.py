"""Batches that are scored by a job on the cluster: submitted once, collected when it has ended."""

from __future__ import annotations

import csv
import io
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from azure.ai.ml.entities import Model
from azure.core.exceptions import HttpResponseError

from shared import batches
from shared.batches import dispatch, settle_job
from shared.clients import Clients
from shared.cluster import ENDED_STATUSES, find_job, submit_once
from shared.images import receive_image
from shared.jobs import list_jobs
from shared.ledger import TABLE, Batch, Ledger
from shared.pipelines import scoring_pipeline
from tests.contract.cloud_client.conftest import COLOURS, NODES_FAIL
from tests.contract.local_stack import Cloud, MakeClients
from tests.support import drop_image, plain_jpeg, promote_bundle

JOB_SECONDS = 60
_numbers = itertools.count(1)


class App:
    """An app that scores everything on the cluster, with a registered model and containers of its own."""

    def __init__(self, clients: Clients, folder: Path) -> None:
        self.clients = clients
        self.ledger = Ledger(clients.tables)
        for container in (clients.settings.images_container, clients.settings.predictions_container):
            clients.blobs.create_container(container)
        champion = promote_bundle(clients, folder)
        path = f"azureml://datastores/labelloop/paths/{champion.path}/"
        clients.ml.models.create_or_update(Model(name=champion.name, version="1", type="custom_model", path=path))
        dispatch(clients, self.ledger)

    def drop(self) -> None:
        """Upload an image of each colour and one that is none, and let them be received."""
        images = {f"{name}.jpg": plain_jpeg(rgb) for name, rgb in COLOURS.items()}
        for path, content in {**images, "text.jpg": b"no image"}.items():
            drop_image(self.clients, path, content)
            receive_image(self.clients, self.ledger, path, content)

    def dispatch(self) -> None:
        dispatch(self.clients, self.ledger)

    def batch(self) -> Batch:
        """The only batch under way."""
        (batch,) = self.ledger.open_batches()
        return batch

    def await_job(self, batch: Batch) -> None:
        deadline = time.monotonic() + JOB_SECONDS
        while (job := find_job(self.clients, batch.job)) is None or job.status not in ENDED_STATUSES:
            assert time.monotonic() < deadline, f"job {batch.job} did not end"
            time.sleep(0.2)

    def jobs_of(self, batch: Batch) -> list[str]:
        names = [each["name"] for each in list_jobs(self.clients, kind="scoring")]
        return [name for name in names if batch.id in name]

    def rows(self) -> dict[str, dict[str, str]]:
        container = self.clients.blobs.get_container_client(self.clients.settings.predictions_container)
        texts = [container.download_blob(name).readall().decode() for name in container.list_blob_names()]
        rows = [row for text in texts for row in csv.DictReader(io.StringIO(text, newline=""))]
        assert len({row["image"] for row in rows}) == len(rows)
        return {row["image"]: row for row in rows}


@pytest.fixture
def new_app(make: MakeClients, provisioned: None, tmp_path: Path) -> Iterator[Callable[..., App]]:
    """Makes apps whose settings can be changed by field name. The ledger, which all share, is empty afterwards."""

    def new(**changes: object) -> App:
        number = next(_numbers)
        own = {
            "images_container": f"images-{number}",
            "predictions_container": f"predictions-{number}",
            "model_name": f"colours-{number}",
        }
        at_once = {"inline_max_images": 0, "batch_max_images": 4}
        return App(make(**own, **at_once, **changes), tmp_path)

    yield new
    clients = make()
    clients.tables.delete_table(TABLE)
    Ledger(clients.tables).create()


def test_a_batch_is_scored_by_one_job_and_collected_when_it_has_ended(new_app: Callable[..., App]) -> None:
    app = new_app()
    app.drop()
    app.dispatch()
    batch = app.batch()
    assert (batch.state, batch.route, batch.job) == ("submitted", "cluster", f"score-{batch.id}")
    job = app.clients.ml.jobs.get(batch.job)
    assert job.tags["batch"] == batch.id
    app.dispatch()
    assert app.jobs_of(batch) == [batch.job], "a dispatch while it runs changes nothing"
    app.await_job(batch)
    settle_job(app.clients, app.ledger, batch.job)
    rows = app.rows()
    assert {path: row["labels"] for path, row in rows.items() if path != "text.jpg"} == {
        f"{name}.jpg": name for name in COLOURS
    }
    assert rows["text.jpg"]["error"].startswith("not an image")
    assert app.ledger.open_batches() == []
    settle_job(app.clients, app.ledger, batch.job)
    assert app.rows() == rows


def test_a_job_that_fails_is_told_in_the_rows_of_its_images(new_app: Callable[..., App], cloud: Cloud) -> None:
    app = new_app(max_attempts=1)
    app.drop()
    claimed = batches._new_batch(app.clients, app.ledger)
    assert claimed is not None
    with cloud.faults(NODES_FAIL):
        app.dispatch()
        batch = app.ledger.batch(claimed.id)
        assert batch is not None
        app.await_job(batch)
    app.dispatch()
    rows = app.rows()
    assert len(rows) == 4
    assert rows["red.jpg"]["error"] == f"scoring job {batch.job} ended as Failed"
    assert rows["text.jpg"]["error"].startswith("not an image")


def test_killed_after_the_submission_a_dispatcher_leaves_a_batch_whose_job_is_not_submitted_again(
    new_app: Callable[..., App], cloud: Cloud
) -> None:
    app = new_app(max_attempts=1)
    app.drop()
    batch = batches._new_batch(app.clients, app.ledger)
    assert batch is not None
    batch = batches._write_manifest(app.clients, app.ledger, batch)
    with cloud.faults(NODES_FAIL):
        name = f"score-{batch.id}"
        submit_once(
            app.clients, scoring_pipeline(name, batch, app.clients.settings, account_url=str(app.clients.blobs.url))
        )
        assert app.batch().state == "claimed"
        app.dispatch()
    resumed = app.ledger.batch(batch.id)
    assert resumed is not None
    assert resumed.job == name
    assert len([job for job in app.clients.ml.jobs.list() if job.name == name]) == 1


def test_a_job_that_got_lost_is_submitted_anew(new_app: Callable[..., App], cloud: Cloud) -> None:
    app = new_app()
    app.drop()
    batch = batches._new_batch(app.clients, app.ledger)
    assert batch is not None
    batch = batches._write_manifest(app.clients, app.ledger, batch)
    app.ledger.advance(batch, state="submitted", job="score-nobody")
    with cloud.faults(NODES_FAIL):
        app.dispatch()
        resumed = app.ledger.batch(batch.id)
        assert resumed is not None
        assert resumed.job == f"score-{batch.id}"
        app.await_job(resumed)


def test_a_job_that_azure_ml_refuses_is_tried_again_at_the_next_tick(new_app: Callable[..., App], cloud: Cloud) -> None:
    app = new_app()
    app.drop()
    refuses = {"service": "arm", "operation": "PUT", "path": "*/jobs/score-*", "status": 400}
    with cloud.faults(refuses), pytest.RaisesGroup(HttpResponseError):
        app.dispatch()
    assert app.batch().state == "claimed"
    batch = app.batch()
    with cloud.faults(NODES_FAIL):
        app.dispatch()
        resumed = app.ledger.batch(batch.id)
        assert resumed is not None
        assert resumed.state in {"submitted", "done"}
        app.await_job(resumed)
