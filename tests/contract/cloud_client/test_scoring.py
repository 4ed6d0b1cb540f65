"""Batches that are scored by a job on the cluster: submitted once, collected when it has ended."""

from __future__ import annotations

import csv
import datetime as dt
import io
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from azure.ai.ml.entities import Model

from shared.batches import StuckBatchesError, dispatch, progress, settle_job
from shared.batches.dispatching import new_batch
from shared.clients import Clients
from shared.cluster import ENDED_STATUSES, find_job, submit_once
from shared.errors import NotFoundError
from shared.images import receive_image
from shared.jobs import cancel_job, list_jobs
from shared.ledger import TABLE, Batch, Ledger
from shared.pipelines import scoring_pipeline
from shared.rescoring import request_rescoring
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
        tags = {"job": champion.job}
        clients.ml.models.create_or_update(
            Model(name=champion.name, version="1", type="custom_model", path=path, tags=tags)
        )

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
        paths = [name for name in container.list_blob_names() if name.endswith(".csv")]
        texts = [container.download_blob(path).readall().decode() for path in paths]
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
        return App(make(**{**own, **at_once, **changes}), tmp_path)

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
    claimed = new_batch(app.clients, app.ledger)
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
    batch = new_batch(app.clients, app.ledger)
    assert batch is not None
    batch = progress.make_manifest(app.clients, app.ledger, batch)
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
    batch = new_batch(app.clients, app.ledger)
    assert batch is not None
    batch = progress.make_manifest(app.clients, app.ledger, batch)
    app.ledger.advance(batch, state="submitted", job="score-nobody")
    with cloud.faults(NODES_FAIL):
        app.dispatch()
        resumed = app.ledger.batch(batch.id)
        assert resumed is not None
        assert resumed.job == f"score-{batch.id}"
        app.await_job(resumed)


REFUSES = {"service": "arm", "operation": "PUT", "path": "*/jobs/score-*", "status": 400}


def test_a_job_that_azure_ml_refuses_is_tried_again_at_the_next_tick(new_app: Callable[..., App], cloud: Cloud) -> None:
    app = new_app()
    app.drop()
    with cloud.faults(REFUSES):
        app.dispatch()
    assert app.batch().state == "claimed"
    batch = app.batch()
    assert batch.error.startswith("HttpResponseError: ")
    with cloud.faults(NODES_FAIL):
        app.dispatch()
        resumed = app.ledger.batch(batch.id)
        assert resumed is not None
        assert resumed.state in {"submitted", "done"}
        app.await_job(resumed)


def test_images_of_a_job_that_azure_ml_always_refuses_go_into_another_batch(
    new_app: Callable[..., App], cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(progress, "MAX_TRIES", 2)
    app = new_app()
    app.drop()
    with cloud.faults(REFUSES):
        app.dispatch()
        refused = app.batch()
        with pytest.raises(StuckBatchesError, match=refused.id):
            app.dispatch()
        app.dispatch()
        batch = app.batch()
    assert batch.id != refused.id
    given_up = app.ledger.batch(refused.id)
    assert given_up is not None
    assert (given_up.state, given_up.retried, given_up.files) == ("done", 4, ())
    assert {image.attempts for image in app.ledger.members(batch.id)} == {0}


NODES_ARE_BUSY = {**NODES_FAIL, "delay": 3600}


def test_a_job_that_takes_too_long_is_canceled_and_its_images_have_another_attempt(
    new_app: Callable[..., App], cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = new_app(batch_timeout_minutes=1, max_attempts=2)
    app.drop()
    with cloud.faults(NODES_ARE_BUSY):
        app.dispatch()
        batch = app.batch()
        app.dispatch()
        assert app.batch().state == "submitted", "its time is not over"
        early = (dt.datetime.fromisoformat(batch.submitted) - dt.timedelta(minutes=2)).isoformat()
        app.ledger.advance(app.batch(), submitted=early)
        app.dispatch()
        app.await_job(batch)
    settle_job(app.clients, app.ledger, batch.job)
    done = app.ledger.batch(batch.id)
    assert done is not None
    assert (done.state, done.retried, done.errors) == ("done", 3, 1)
    assert {row["image"] for row in app.rows().values()} == {"text.jpg"}


def test_a_job_that_can_not_even_be_canceled_does_not_keep_its_images(
    new_app: Callable[..., App], cloud: Cloud
) -> None:
    app = new_app(batch_timeout_minutes=1, max_attempts=1)
    app.drop()
    with cloud.faults(NODES_ARE_BUSY):
        app.dispatch()
        batch = app.batch()
        late = dt.timedelta(minutes=2, seconds=progress.CANCEL_SECONDS)
        early = (dt.datetime.fromisoformat(batch.submitted) - late).isoformat()
        app.ledger.advance(app.batch(), submitted=early)
        app.dispatch()
        assert app.ledger.open_batches() == []
        assert "did not end within BATCH_TIMEOUT_MINUTES (1)" in app.rows()["red.jpg"]["error"]
        cancel_job(app.clients, batch.job)
        app.await_job(batch)


def test_images_are_scored_again_with_a_named_version(new_app: Callable[..., App]) -> None:
    app = new_app(inline_max_images=100)
    app.drop()
    app.dispatch()
    with pytest.raises(NotFoundError, match="has no version 7"):
        request_rescoring(app.clients, app.ledger, "", "7")
    asked = request_rescoring(app.clients, app.ledger, "", "1")
    assert asked["model"] == f"{app.clients.settings.model_name}:1"
