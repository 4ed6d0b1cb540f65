"""What was accepted survives a crash of everything, at the worst moments, and nothing is done twice."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator

import pytest

from local.demo.client import Client, wait_for
from local.demo.data import KnownImage
from tests.e2e.support import (
    TRAIN_SECONDS,
    RunningStack,
    await_rows,
    export_labels,
    jobs,
    post_event_again,
    provision,
    rows,
    settled,
    steps,
)

pytestmark = pytest.mark.e2e

CLUSTER_IMAGES = 20


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A provisioned stack that sends batches of more than 8 images to the cluster."""
    running = RunningStack(tmp_path_factory.mktemp("crashes") / "state", INLINE_MAX_IMAGES="8")
    try:
        provision(running.start())
        yield running
    finally:
        assert running.stop() == 0
        assert running.processes() == []


@pytest.fixture(scope="module")
def trained(stack: RunningStack, labelled: list[KnownImage]) -> str:
    """The name of a training that survived a kill of everything while AutoML ran."""
    client = stack.client()
    assert client.request("GET", "/api/models/champion").status == 404
    assert client.request("POST", "/api/predict", labelled[0].file.read_bytes(), "image/jpeg").status == 503
    export_labels(client, labelled)
    (job,) = wait_for("a training", lambda: jobs(client, "training"), seconds=60)
    name = str(job["name"])
    wait_for("AutoML to run", lambda: steps(client, name).get("train") == "Running", seconds=60)
    stack.kill()
    client = stack.start()
    wait_for("a model", lambda: client.request("GET", "/api/models/champion").status == 200, seconds=TRAIN_SECONDS)
    wait_for("the end", lambda: client.get(f"/api/jobs/{name}")["status"] == "Completed", seconds=60)
    return name


def test_a_training_survives_and_gives_one_model(stack: RunningStack, trained: str) -> None:
    client = stack.client()
    assert [job["name"] for job in jobs(client, "training")] == [trained]
    models = client.get("/api/models")["models"]
    assert [(model["version"], model["champion"], model["tags"]["job"]) for model in models] == [("1", True, trained)]


def test_the_same_export_again_is_the_same_training(
    stack: RunningStack, trained: str, labelled: list[KnownImage]
) -> None:
    client = stack.client()
    export_labels(client, labelled)
    name = f"{client.environment['LABELS_CONTAINER']}/Labeling/export/coco/labels.json"
    before = client.report(name)
    assert before is not None
    export_labels(client, labelled)
    wait_for("the export to be read again", lambda: content_of(client, name) != before["content"], seconds=60)
    report = client.report(name)
    assert report is not None
    assert (report["state"], report["job"]) == ("trained", trained)
    assert [job["name"] for job in jobs(client, "training")] == [trained]


def test_a_scoring_job_survives_and_every_image_has_one_row(
    stack: RunningStack, trained: str, new: list[KnownImage]
) -> None:
    client = stack.client()
    names = upload(client, new[:CLUSTER_IMAGES], "cluster")
    wait_for("a scoring job", lambda: jobs(client, "scoring"), seconds=60)
    stack.kill()
    client = stack.start()
    counts = await_rows(client, names)
    assert {counts[name] for name in names} == {1}
    assert not any(row["error"] for row in rows(client))


def test_a_killed_host_loses_nothing_between_upload_and_csv(
    stack: RunningStack, trained: str, new: list[KnownImage]
) -> None:
    client = stack.client()
    names = upload(client, new[:CLUSTER_IMAGES], "host")
    for pid in stack.processes("local.functions_host"):
        os.kill(pid, signal.SIGKILL)
    counts = await_rows(client, names)
    assert {counts[name] for name in names} == {1}


def test_an_event_that_comes_twice_gives_one_prediction(
    stack: RunningStack, trained: str, new: list[KnownImage]
) -> None:
    client = stack.client()
    (name,) = upload(client, new[:1], "twice")
    assert post_event_again(stack, client, name) == 202
    await_rows(client, {name})
    assert post_event_again(stack, client, name) == 202
    wait_for("quiet", lambda: settled(client), seconds=60)
    assert [row["image"] for row in rows(client)].count(name) == 1


def test_a_changed_image_is_predicted_again_and_the_old_event_changes_nothing(
    stack: RunningStack, trained: str, new: list[KnownImage]
) -> None:
    client = stack.client()
    (name,) = upload(client, new[:1], "changed")
    await_rows(client, {name})
    client.upload(client.environment["IMAGES_CONTAINER"], [(name, new[1].file.read_bytes())])
    wait_for("the second row", lambda: [row["image"] for row in rows(client)].count(name) == 2, seconds=60)
    several = {image for image, count in Counter(row["image"] for row in rows(client)).items() if count > 1}
    assert several == {name}, "after all that this stack went through, only the changed image has two rows"


def content_of(client: Client, export: str) -> str:
    """Which content of an export its report is about."""
    report = client.report(export)
    assert report is not None
    return str(report["content"])


def upload(client: Client, images: list[KnownImage], folder: str) -> set[str]:
    """Upload images below a folder of their own; returns their names."""
    files = [(f"{folder}/{image.name}", image.file.read_bytes()) for image in images]
    client.upload(client.environment["IMAGES_CONTAINER"], files)
    return {name for name, _ in files}
