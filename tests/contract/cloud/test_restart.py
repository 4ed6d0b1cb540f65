"""What a killed cloud takes up again: jobs and undelivered events; and how it stops when asked to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from azure.ai.ml import MLClient
from azure.mgmt.eventgrid import EventGridManagementClient
from azure.storage.blob import BlobServiceClient

from local.config import StackConfig
from tests.contract.cloud.conftest import RunningStack
from tests.contract.cloud.pipelines import await_end, children, two_nodes
from tests.contract.cloud.recorder import Recorder, await_true
from tests.contract.cloud.test_event_grid import Grid, in_box

Unique = Callable[[str], str]


def test_a_running_job_goes_on_after_a_kill_without_repeating_finished_nodes(
    stack: RunningStack, ml: MLClient, letters: str, tmp_path: Path, unique: Unique
) -> None:
    name, gate = unique("resumed"), tmp_path / "gate"
    started = gate.with_suffix(".started")
    ml.jobs.create_or_update(two_nodes(name, letters, arguments=f" --wait-for {gate}"))
    await_true(started.exists, "start of the second node", 60)
    assert children(ml, name)["first"].status == "Completed"
    stack.kill_cloud()
    started.unlink()
    stack.restart_cloud()
    await_true(started.exists, "second start of the second node", 60)
    gate.touch()
    assert await_end(ml, name).status == "Completed"
    assert len(stack.events("Microsoft.MachineLearningServices.RunCompleted", children(ml, name)["first"].name)) == 1


def test_an_orderly_stop_also_leaves_jobs_to_be_resumed(
    stack: RunningStack, ml: MLClient, letters: str, tmp_path: Path, unique: Unique
) -> None:
    name, gate = unique("stopped"), tmp_path / "gate"
    started = gate.with_suffix(".started")
    ml.jobs.create_or_update(two_nodes(name, letters, first_arguments=f" --wait-for {gate}"))
    await_true(started.exists, "start of the first node", 60)
    stack.stop_cloud()
    assert stack.cloud.returncode == 0
    gate.touch()
    stack.restart_cloud()
    assert await_end(ml, name).status == "Completed"


def test_events_that_nobody_took_are_delivered_after_a_kill(
    stack: RunningStack,
    event_grid: EventGridManagementClient,
    config: StackConfig,
    recorder: Recorder,
    blobs: BlobServiceClient,
) -> None:
    grid = Grid(event_grid, config)
    container = blobs.get_container_client("box")
    if not container.exists():
        container.create_container()
    recorder.statuses["survivor"] = [500] * 3
    grid.subscribe("survivor", grid.function("survivor"), filter=in_box("survivor/"))
    for number in range(5):
        container.upload_blob(f"survivor/{number}", b"")
    stack.kill_cloud()
    stack.restart_cloud()
    await_true(lambda: len({e["subject"] for e in recorder.events("survivor")}) == 5, "all five events")
    stack.await_idle()
