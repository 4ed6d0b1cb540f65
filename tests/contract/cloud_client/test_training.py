"""From a label export to a submitted training, once per content; and the jobs as the API tells them."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import ContainerClient

from handlers.label_exports import label_export_train
from handlers.routes import jobs
from shared.clients import Clients
from shared.cluster import ENDED_STATUSES, find_job
from shared.datasets import export_id, get_export
from shared.errors import InvalidRequestError, NotFoundError
from shared.jobs import get_job, list_jobs
from shared.training import LandedExport, settle_training, train_on_export
from tests.contract.cloud_client.conftest import NODES_FAIL, coco
from tests.contract.cloud_client.exporting import cancel_jobs, upload_pictures
from tests.contract.local_stack import Cloud, MakeClients
from tests.unit.handlers.conftest import use
from tests.unit.handlers.support import body_of, message, request, user_function

JOB_SECONDS = 60
_numbers = itertools.count(1)

pytestmark = pytest.mark.usefixtures("idle_nodes")


@pytest.fixture
def clients(make: MakeClients, provisioned: None) -> Clients:
    return make(min_images_per_label=3, export_quiet_seconds=0)


@pytest.fixture
def pictures(default_container: ContainerClient) -> dict[str, list[str]]:
    return upload_pictures(default_container, 8)


@pytest.fixture(autouse=True)
def _nothing_goes_on_training(clients: Clients) -> Iterator[None]:
    """A training would work for half a minute; that it succeeds is the end-to-end tests' matter."""
    yield
    cancel_jobs(clients)


@pytest.fixture
def export(default_container: ContainerClient) -> Callable[[bytes], LandedExport]:
    """Uploads a label export under a new name."""

    def upload(content: bytes) -> LandedExport:
        path = f"Labeling/export/coco/export-{next(_numbers)}.json"
        answer = default_container.upload_blob(path, content)
        return LandedExport(str(default_container.container_name), path, str(answer.get_blob_properties().etag))

    return upload


def report(clients: Clients, export: LandedExport) -> dict[str, Any]:
    """What was written about an export, for people."""
    return get_export(clients.blobs, "labelloop", export_id(f"{export.container}/{export.path}"))


def ended(clients: Clients, name: str) -> str:
    """A job's status when it has ended."""
    deadline = time.monotonic() + JOB_SECONDS
    while True:
        job = find_job(clients, name)
        assert job is not None
        if job.status in ENDED_STATUSES:
            return str(job.status.value)
        assert time.monotonic() < deadline, job.status
        time.sleep(0.2)


def test_an_export_becomes_a_data_set_and_a_training(
    clients: Clients, export: Callable[[bytes], LandedExport], pictures: dict[str, list[str]]
) -> None:
    landed = export(coco(pictures))
    outcome = train_on_export(clients, landed)
    assert outcome.created
    assert outcome.job.startswith("train-")
    job = clients.ml.jobs.get(outcome.job)
    assert job.experiment_name == "labelloop"
    assert job.tags["export"] == f"{landed.container}/{landed.path}"
    written = report(clients, landed)
    assert (written["state"], written["job"], written["problems"]) == ("training", outcome.job, [])
    assert sum(written["images"].values()) == 24
    data_set = job.tags["data_set"]
    asset = clients.ml.data.get("multilabel-data", data_set)
    assert asset.tags["labels"] == "3"
    names = clients.blobs.get_container_client("labelloop").list_blob_names(name_starts_with=f"datasets/{data_set}/")
    files = {name.removeprefix(f"datasets/{data_set}/") for name in names}
    tables = {f"{split}/{file}" for split in written["images"] for file in (f"{split}.jsonl", "MLTable")}
    assert files == {*tables, "labelling.npy"}
    lines = (
        clients.blobs.get_blob_client("labelloop", f"datasets/{data_set}/train/train.jsonl").download_blob().readall()
    )
    row = json.loads(lines.splitlines()[0])
    assert row["image_url"].startswith("azureml://subscriptions/")
    assert "/datastores/workspaceblobstore/paths/differing/" in row["image_url"]
    assert row["image_details"] == {"format": "jpg", "width": "96px", "height": "96px"}
    assert row["label"][0] in {"red", "green", "blue"}


def test_images_that_do_not_exist_are_left_out_and_the_report_names_them(
    clients: Clients, export: Callable[[bytes], LandedExport], pictures: dict[str, list[str]]
) -> None:
    landed = export(coco({**pictures, "labelled/not there.jpg": ["red"]}))
    assert train_on_export(clients, landed).problems == ()
    missing, *others = report(clients, landed)["warnings"]
    assert missing.startswith("1 images are left out, since they do not exist: ")
    assert missing.endswith("/labelled/not there.jpg")
    assert ["AutoML's own" in each or "are enlarged" in each for each in others] == [True, True], "it is a small set"


def test_the_same_content_again_is_the_same_job_even_under_another_name(
    clients: Clients, export: Callable[[bytes], LandedExport], pictures: dict[str, list[str]]
) -> None:
    content = coco(pictures)
    first = train_on_export(clients, export(content))
    again = export(content)
    second = train_on_export(clients, again)
    assert (second.job, second.created) == (first.job, False)
    assert report(clients, again)["job"] == first.job


def test_other_settings_of_the_training_are_another_job(
    make: MakeClients, clients: Clients, export: Callable[[bytes], LandedExport], pictures: dict[str, list[str]]
) -> None:
    landed = export(coco(pictures))
    first = train_on_export(clients, landed)
    clients.ml.jobs.begin_cancel(first.job).result()
    second = train_on_export(make(min_images_per_label=3, export_quiet_seconds=0, base_models="vits16r224"), landed)
    assert second.created
    assert second.job != first.job


def test_an_export_that_is_not_quiet_yet_is_looked_at_again_when_it_may_be(
    make: MakeClients, provisioned: None, export: Callable[[bytes], LandedExport]
) -> None:
    clients = make(export_quiet_seconds=600)
    landed = export(b"{}")
    queue = clients.queue("label-exports")
    before = queue.get_queue_properties().approximate_message_count or 0
    assert train_on_export(clients, landed).state == "landing"
    assert (queue.get_queue_properties().approximate_message_count or 0) == before + 1
    assert queue.peek_messages() == [], "it is not to be seen before the export has been quiet"
    with pytest.raises(NotFoundError):
        report(clients, landed)
    queue.clear_messages()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"not json", "is no label export"),
        (coco({"labelled/red-0.jpg": ["red"]}), "0 usable labelled images"),
        (coco({f"labelled/{number}.jpg": ["red"] for number in range(12)}, datastore="nowhere"), "no blob datastore"),
    ],
)
def test_a_bad_export_starts_nothing_and_leaves_a_report_with_the_reasons(
    make: MakeClients, provisioned: None, export: Callable[[bytes], LandedExport], content: bytes, reason: str
) -> None:
    clients = make(min_images_per_label=1, export_quiet_seconds=0)
    before = {each["name"] for each in list_jobs(clients)}
    landed = export(content)
    outcome = train_on_export(clients, landed)
    assert (outcome.job, outcome.created) == ("", False)
    assert reason in " ".join(outcome.problems)
    written = report(clients, landed)
    assert written["state"] == "refused"
    assert written["problems"] == list(outcome.problems)
    assert {each["name"] for each in list_jobs(clients)} == before


def test_settings_that_can_not_succeed_start_nothing_and_the_report_says_what_to_set(
    make: MakeClients, clients: Clients, export: Callable[[bytes], LandedExport], pictures: dict[str, list[str]]
) -> None:
    del pictures["differing/green-0.jpg"]
    landed = export(coco(pictures))
    settings = {"min_images_per_label": 3, "export_quiet_seconds": 0}
    outcome = train_on_export(make(**settings, training_batch_size=1000), landed)
    assert (outcome.state, outcome.job) == ("refused", "")
    written = report(clients, landed)
    assert "vitb16r224 with 1000 images at once (TRAINING_BATCH_SIZE) needs about" in written["problems"][0]
    assert written["what_to_do"] == ["set TRAINING_BATCH_SIZE to 48, or COMPUTE_SIZE to a size with more memory"]
    assert sum(written["images"].values()) == 23
    other = train_on_export(make(**settings, training_batch_size=4), landed)
    assert other.created, "other settings are another decision about the same files"
    assert clients.ml.jobs.get(other.job).jobs["train"].training_parameters.training_batch_size == 4


def test_an_export_that_can_not_be_trained_on_now_is_reported_as_failed_and_can_be_tried_again(
    clients: Clients, cloud: Cloud, export: Callable[[bytes], LandedExport], pictures: dict[str, list[str]]
) -> None:
    del pictures["differing/red-0.jpg"]
    landed = export(coco(pictures))
    refuses = {"service": "arm", "operation": "PUT", "path": "*/jobs/train-*", "status": 400}
    with cloud.faults(refuses), pytest.raises(HttpResponseError):
        train_on_export(clients, landed)
    written = report(clients, landed)
    assert written["state"] == "failed"
    assert written["problems"]
    assert train_on_export(clients, landed).created
    assert report(clients, landed)["state"] == "training"


def test_an_export_that_was_deleted_meanwhile_is_let_go(clients: Clients, cloud: Cloud) -> None:
    assert train_on_export(clients, LandedExport(cloud.default_container, "tested/gone.json")).state == "gone"


def test_a_training_that_failed_is_told_with_its_steps_and_the_export_can_be_trained_on_again(
    clients: Clients, cloud: Cloud, export: Callable[[bytes], LandedExport], pictures: dict[str, list[str]]
) -> None:
    del pictures["differing/blue-0.jpg"]
    landed = export(coco(pictures))
    with cloud.faults(NODES_FAIL):
        first = train_on_export(clients, landed).job
        assert ended(clients, first) == "Failed"
    settle_training(clients, first)
    assert report(clients, landed)["state"] == "training failed"
    job = get_job(clients, first)
    assert (job["name"], job["kind"], job["status"]) == (first, "training", "Failed")
    assert set(job["tags"]) == {"export", "data_set", "base_models"}
    assert (job["state"], job["step"]) == ("failed", None)
    assert "3" in job["error"], job["error"]
    assert job["node_hours"] >= 0
    assert job["created_at"]
    assert "train" in {step["name"] for step in job["steps"]}
    assert all(step["job"] and step["status"] for step in job["steps"])
    assert train_on_export(clients, landed).job == first, "the same message again is no new export"
    clients.blobs.get_blob_client(landed.container, landed.path).upload_blob(coco(pictures), overwrite=True)
    again = train_on_export(clients, landed)
    assert (again.job, again.created) == (f"{first}-2", True)
    assert not train_on_export(clients, landed).created
    settle_training(clients, first)
    written = report(clients, landed)
    assert (written["job"], written["state"]) == (f"{first}-2", "training"), "the first one's late event says nothing"


@pytest.mark.parametrize("job", ["score-b1", "train-unknown"])
def test_the_end_of_no_known_training_changes_no_report(clients: Clients, job: str) -> None:
    settle_training(clients, job)


def test_jobs_are_told_newest_first_by_kind_and_no_more_than_asked_for(
    make: MakeClients, clients: Clients, export: Callable[[bytes], LandedExport], pictures: dict[str, list[str]]
) -> None:
    landed = export(coco(pictures))
    older = train_on_export(clients, landed).job
    cancels = make(min_images_per_label=3, export_quiet_seconds=0, random_seed=8, on_newer_export="cancel")
    newer = train_on_export(cancels, landed).job
    names = [each["name"] for each in list_jobs(clients, kind="training")]
    assert names.index(newer) < names.index(older)
    assert len(list_jobs(clients, kind="training", limit=1)) == 1
    assert [each["name"] for each in list_jobs(clients, kind="training", after=names[0])] == names[1:]
    with pytest.raises(InvalidRequestError, match="gone"):
        list_jobs(clients, after="never")
    assert all(each["kind"] == "scoring" for each in list_jobs(clients, kind="scoring"))


def test_a_job_that_does_not_exist_is_not_found(clients: Clients) -> None:
    with pytest.raises(NotFoundError, match="there is no job train-nobody"):
        get_job(clients, "train-nobody")


def test_the_api_and_the_queue_do_the_same(
    clients: Clients,
    export: Callable[[bytes], LandedExport],
    pictures: dict[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(clients, monkeypatch)
    landed = export(coco(pictures))
    user_function(label_export_train)(message(landed.to_message()))
    job = report(clients, landed)["job"]
    listed = user_function(jobs.list_jobs)(request("GET", "/api/jobs", params={"kind": "training"}))
    assert job in {each["name"] for each in body_of(listed)["jobs"]}
    told = user_function(jobs.get_job)(request("GET", f"/api/jobs/{job}", route={"name": job}))
    assert body_of(told)["name"] == job
    missing = user_function(jobs.get_job)(request("GET", "/api/jobs/x", route={"name": "x"}))
    assert missing.status_code == 404
