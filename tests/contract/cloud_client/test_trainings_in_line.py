"""One training at a time: the newest export waits, or takes the place of the running one; whatever is lost or killed.

All events are lost here, so that every end is found by the timer.
"""

from __future__ import annotations

import pydoc
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from azure.storage.blob import ContainerClient

from shared.clients import Clients
from shared.cluster import ENDED_STATUSES, find_job, status_of
from shared.jobs import list_jobs
from shared.training import LandedExport, look_after_trainings, train_on_export
from shared.training.line import read_line, write_line
from shared.training.reports import note_request
from tests.contract.cloud_client.conftest import coco
from tests.contract.cloud_client.exporting import (
    await_end,
    cancel_jobs,
    deliver,
    landed,
    report_on,
    upload_pictures,
    use_own_queue,
)
from tests.contract.local_stack import MakeClients

BASE = {"min_images_per_label": 3, "export_quiet_seconds": 0, "experiment_name": "line"}

pytestmark = pytest.mark.usefixtures("idle_nodes")


@pytest.fixture
def clients(make: MakeClients, provisioned: None) -> Clients:
    return make(**BASE, model_name="in-line")


@pytest.fixture
def labels(default_container: ContainerClient) -> dict[str, list[str]]:
    return upload_pictures(default_container, 8)


@pytest.fixture(autouse=True)
def _an_empty_line(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    use_own_queue(clients, monkeypatch)

    def cancel_all() -> None:
        cancel_jobs(clients)
        write_line(clients, read_line(clients), running=None, waiting=None, last=None, unsettled=())

    cancel_all()
    yield
    cancel_all()


Export = Callable[[str, int], LandedExport]


@pytest.fixture
def export(default_container: ContainerClient, labels: dict[str, list[str]], request: pytest.FixtureRequest) -> Export:
    """Uploads an export with a number of labels less than all, so that each number is another content."""

    def upload(name: str, without: int) -> LandedExport:
        kept = dict(list(labels.items())[without:])
        return landed(default_container, f"line/{request.node.name}/{name}.json", coco(kept))

    return upload


def state(clients: Clients, export: LandedExport) -> tuple[str, str]:
    report = report_on(clients, f"{export.container}/{export.path}")
    return report["state"], report["job"]


def test_while_one_trains_only_the_newest_export_waits_and_is_trained_when_it_ends(
    clients: Clients, export: Export
) -> None:
    first = export("first", 0)
    job = train_on_export(clients, first).job
    second, third = export("second", 1), export("third", 2)
    assert train_on_export(clients, second).state == "waiting"
    assert state(clients, second) == ("waiting", "")
    assert train_on_export(clients, third).state == "waiting"
    assert state(clients, second)[0] == "superseded"
    look_after_trainings(clients)
    assert deliver(clients, 2) == 0, "nothing has its turn while the first one trains"
    clients.ml.jobs.begin_cancel(job).result()
    assert await_end(clients, job) == "Canceled"
    look_after_trainings(clients)
    assert state(clients, first) == ("training canceled", job)
    assert deliver(clients) >= 1
    told, new = state(clients, third)
    assert told == "training"
    running = read_line(clients).running
    assert running is not None
    assert running.job == new
    assert read_line(clients).waiting is None
    assert state(clients, second)[0] == "superseded"


def test_an_export_that_is_older_than_what_trains_or_waits_is_superseded(clients: Clients, export: Export) -> None:
    oldest = export("oldest", 0)
    _wait_a_second()
    older = export("older", 1)
    _wait_a_second()
    newest = export("newest", 2)
    assert train_on_export(clients, older).state == "training"
    assert train_on_export(clients, newest).state == "waiting"
    assert train_on_export(clients, oldest).state == "superseded"
    waiting = read_line(clients).waiting
    assert waiting is not None
    assert waiting.export.endswith("newest.json")


def _wait_a_second() -> None:
    """Blobs' times are whole seconds."""
    time.sleep(1.1)


def test_the_running_training_is_canceled_for_a_newer_export_where_the_setting_says_so(
    make: MakeClients, clients: Clients, export: Export
) -> None:
    cancels = make(**BASE, model_name="in-line", on_newer_export="cancel")
    first, second = export("first", 0), export("second", 1)
    old = train_on_export(cancels, first).job
    outcome = train_on_export(cancels, second)
    assert (outcome.state, outcome.created) == ("training", True)
    assert await_end(cancels, old) == "Canceled"
    look_after_trainings(cancels)
    assert state(cancels, first) == ("training canceled", old)
    assert state(cancels, second) == ("training", outcome.job)
    assert read_line(cancels).unsettled == ()


def test_the_same_export_twice_is_one_job_even_while_it_trains(clients: Clients, export: Export) -> None:
    first = train_on_export(clients, export("one", 0))
    again = train_on_export(clients, export("one", 0))
    assert (again.job, again.created, again.state) == (first.job, False, "training")
    assert read_line(clients).waiting is None


def test_the_end_of_a_training_is_told_in_the_reports_of_all_exports_that_share_it(
    clients: Clients, export: Export
) -> None:
    first, second = export("first", 4), export("second", 4)
    job = train_on_export(clients, first).job
    assert (train_on_export(clients, second).job, state(clients, second)) == (job, ("training", job))
    clients.ml.jobs.begin_cancel(job).result()
    assert await_end(clients, job) == "Canceled"
    note_request(clients, f"{second.container}/{second.path}")
    look_after_trainings(clients)
    assert state(clients, first) == ("training canceled", job)
    assert state(clients, second) == ("queued", job), "it will be told when it is looked at"
    third = export("third", 4)
    again = train_on_export(clients, third).job
    assert train_on_export(clients, second).job == again == f"{job}-2"
    clients.ml.jobs.begin_cancel(again).result()
    await_end(clients, again)
    look_after_trainings(clients)
    assert state(clients, second) == state(clients, third) == ("training canceled", again)
    assert state(clients, first) == ("training canceled", job), "what shared the first attempt keeps it"


def test_labels_of_very_different_frequency_are_weighted_in_the_loss(
    clients: Clients, default_container: ContainerClient
) -> None:
    common = {path: ["common"] for path in upload_pictures(default_container, 16, "imbalanced")}
    for path in list(common)[:3]:
        common[path] = ["common", "rare"]
    one = landed(default_container, "line/imbalanced.json", coco(common))
    outcome = train_on_export(clients, one)
    assert clients.ml.jobs.get(outcome.job).jobs["train"].training_parameters.weighted_loss == 1
    assert "the loss is weighted" in " ".join(report_on(clients, outcome.export)["notes"])


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    "step",
    [
        "starting.write_line",
        "starting.save_labelling",
        "submission.datasets.register_data_asset",
        "submission.submit_once",
        "starting.note_sharing",
        "starting.write_report",
    ],
)
def test_a_worker_that_is_killed_between_two_steps_leaves_one_training(
    clients: Clients, export: Export, monkeypatch: pytest.MonkeyPatch, step: str, moment: str
) -> None:
    one = export(f"{step}-{moment}", 3)
    target = f"shared.training.{step}"
    before = {job["name"] for job in list_jobs(clients, kind="training", limit=200)}
    with monkeypatch.context() as patch:
        real: Any = pydoc.locate(target)

        def killed(*given: Any, **named: Any) -> Any:
            if moment == "after":
                real(*given, **named)
            raise Killed

        patch.setattr(target, killed)
        with pytest.raises(Killed):
            train_on_export(clients, one)
    outcome = train_on_export(clients, one)
    assert outcome.state == "training"
    assert state(clients, one) == ("training", outcome.job)
    job = find_job(clients, outcome.job)
    assert job is not None
    assert status_of(job) not in ENDED_STATUSES
    running = read_line(clients).running
    assert running is not None
    assert running.job == outcome.job
    after = {each["name"] for each in list_jobs(clients, kind="training", limit=200)}
    assert after - before == {outcome.job}
