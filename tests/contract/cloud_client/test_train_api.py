"""POST /api/train, exports and jobs over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from azure.ai.ml.entities import Data
from azure.storage.blob import ContainerClient

from handlers.routes import exports, jobs
from shared.clients import Clients
from shared.training.line import read_line, training_lock, write_line
from tests.contract.cloud_client.conftest import coco
from tests.contract.cloud_client.exporting import (
    await_end,
    cancel_jobs,
    deliver,
    delivering,
    jsonl,
    landed,
    new_folder,
    upload_pictures,
    use_own_queue,
)
from tests.contract.local_stack import MakeClients
from tests.unit.handlers.conftest import use
from tests.unit.handlers.support import body_of, request, user_function

pytestmark = pytest.mark.usefixtures("idle_nodes")


@pytest.fixture
def clients(make: MakeClients, provisioned: None, monkeypatch: pytest.MonkeyPatch) -> Clients:
    clients = make(min_images_per_label=3, model_name="by-request")
    use(clients, monkeypatch)
    return clients


@pytest.fixture
def labels(default_container: ContainerClient) -> dict[str, list[str]]:
    return upload_pictures(default_container, 8)


@pytest.fixture(autouse=True)
def _an_empty_line(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    use_own_queue(clients, monkeypatch)
    yield
    cancel_jobs(clients)
    write_line(clients, read_line(clients), running=None, waiting=None, last=None, unsettled=())


@pytest.fixture
def worker(clients: Clients, _an_empty_line: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Does what the queue's messages ask for, as the host has it done beside the request."""
    monkeypatch.setattr("shared.training.requests.WAIT_SECONDS", 120)
    with delivering(clients):
        yield


def post(body: Any) -> tuple[int, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = user_function(exports.train)(request("POST", "/api/train", body=content, content_type="application/json"))
    return int(answer.status_code), body_of(answer)


def get(function: Any, **route: str) -> tuple[int, Any]:
    answer = user_function(function)(request("GET", "/api/x", route=route))
    return int(answer.status_code), body_of(answer)


def test_an_export_is_trained_on_by_its_path_and_asked_for_again_it_is_the_same_job(
    clients: Clients, default_container: ContainerClient, labels: dict[str, list[str]], worker: None
) -> None:
    path = "Labeling/export/coco/asked.json"
    landed(default_container, path, coco(labels))
    status, first = post({"export": path})
    assert (status, first["state"]) == (202, "training")
    status, again = post({"export": f"{default_container.container_name}/{path}"})
    assert (status, again["job"]) == (200, first["job"])
    status, told = get(exports.get_export, id=first["export_id"])
    assert (status, told["job"], told["state"]) == (200, first["job"], "training")
    status, listed = get(exports.list_exports)
    assert status == 200
    assert first["export_id"] in {each["id"] for each in listed["exports"]}
    status, job = get(jobs.get_job, name=first["job"])
    assert (status, job["kind"]) == (200, "training")
    assert 0 <= job["progress"] < 1


def test_a_request_may_change_the_training(
    clients: Clients, default_container: ContainerClient, labels: dict[str, list[str]], worker: None
) -> None:
    path = "Labeling/export/coco/changed.json"
    landed(default_container, path, coco(dict(list(labels.items())[1:])))
    status, told = post({"export": path, "base_models": ["resnet50", "vits16r224"], "max_trials": 4})
    assert status == 202
    job = clients.ml.jobs.get(told["job"])
    node = job.jobs["train"]
    assert job.tags["base_models"] == "resnet50,vits16r224"
    assert node.limits.max_trials == 4


@pytest.mark.parametrize("kind", ["mltable", "uri_folder", "uri_file"])
def test_a_registered_data_asset_is_trained_on(
    clients: Clients, default_container: ContainerClient, labels: dict[str, list[str]], kind: str, worker: None
) -> None:
    folder = new_folder()
    landed(default_container, f"{folder}part.jsonl", jsonl(labels))
    if kind == "mltable":
        table = b"paths:\n  - file: ./part.jsonl\ntransformations:\n  - read_json_lines:\n      encoding: utf8\n"
        landed(default_container, f"{folder}MLTable", table)
    uri = f"azureml://datastores/workspaceblobstore/paths/{folder}" + ("part.jsonl" if kind == "uri_file" else "")
    if kind == "mltable":
        # The SDK would look the table up in the internet; the service only keeps what it is told.
        kind = "uri_folder"
    clients.ml.data.create_or_update(Data(name=f"asset-{folder.split('/')[-2]}", version="1", type=kind, path=uri))
    status, told = post({"data_asset": f"asset-{folder.split('/')[-2]}:1"})
    assert (status, told["state"]) in {(202, "training"), (200, "training")}, told
    assert told["export"] == f"azureml:asset-{folder.split('/')[-2]}:1"


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"[]", 400, "must be a JSON object"),
        ({}, 400, 'must have either "export"'),
        ({"export": "a", "data_asset": "b:1"}, 400, 'must have either "export"'),
        ({"export": 5}, 400, "export is 5, but must be a text"),
        ({"export": "a", "model": "x"}, 400, "the body has no field model; there are export"),
        ({"export": "a", "base_models": ["gpt"]}, 400, "BASE_MODELS: is 'gpt'"),
        ({"export": "a", "base_models": "auto"}, 400, "MAX_TRIALS: is 1, but BASE_MODELS is auto"),
        ({"export": "a", "max_trials": 1001}, 400, "a whole number from 1 to 1000"),
        ({"export": "a", "max_trials": "4"}, 400, "max_trials is '4', but must be a whole number"),
        ({"export": "a", "training_batch_size": True}, 400, "training_batch_size is True, but must be a whole number"),
        ({"export": "a", "validation_batch_size": 0}, 400, "a whole number from 1 to 4096"),
        ({"export": "a", "incremental": "yes"}, 400, "incremental is 'yes', but must be true or false"),
        ({"export": "nowhere/x.json"}, 404, "nowhere/x.json does not exist"),
        ({"data_asset": "nobody:3"}, 404, "there is no data asset nobody:3"),
        ({"data_asset": "nobody"}, 400, 'must be "name:version"'),
    ],
)
def test_a_request_that_can_not_be_is_refused_in_words(clients: Clients, body: Any, status: int, detail: str) -> None:
    answered, problem = post(body)
    assert answered == status, problem
    assert detail in problem["detail"]


def test_an_export_that_is_refused_is_a_problem_with_the_reasons(
    clients: Clients, default_container: ContainerClient, worker: None
) -> None:
    landed(default_container, "Labeling/export/coco/bad.json", b"what is this")
    status, problem = post({"export": "Labeling/export/coco/bad.json"})
    assert status == 422
    assert "is no label export" in problem["detail"]


def test_an_export_whose_reading_takes_longer_is_accepted_and_its_report_tells_the_rest(
    clients: Clients,
    default_container: ContainerClient,
    labels: dict[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.training.requests.WAIT_SECONDS", 0)
    monkeypatch.setattr("shared.training.starting.BUSY_SECONDS", 1)
    path = "Labeling/export/coco/later.json"
    landed(default_container, path, coco(labels))
    content = json.dumps({"export": path, "training_batch_size": 8}).encode()
    answer = user_function(exports.train)(request("POST", "/api/train", body=content, content_type="application/json"))
    told = body_of(answer)
    assert (answer.status_code, told["state"], told["job"]) == (202, "queued", "")
    assert answer.headers["Location"] == f"/api/exports/{told['export_id']}"
    assert get(exports.get_export, id=told["export_id"])[1]["state"] == "queued"
    with training_lock(clients) as is_mine:
        assert is_mine
        deliver(clients, 1)
        assert get(exports.get_export, id=told["export_id"])[1]["state"] == "queued", "another is being read"
    assert deliver(clients) >= 1
    report = get(exports.get_export, id=told["export_id"])[1]
    assert report["state"] == "training"
    assert clients.ml.jobs.get(report["job"]).jobs["train"].training_parameters.training_batch_size == 8
    assert post({"export": path, "training_batch_size": 8})[0] == 200, "nothing need be read for that"
    landed(default_container, path, coco(dict(list(labels.items())[3:])))
    status, again = post({"export": path, "training_batch_size": 8})
    assert (status, again["state"]) == (202, "queued")
    default_container.delete_blob(path)
    deliver(clients)
    report = get(exports.get_export, id=told["export_id"])[1]
    assert (report["state"], report["problems"]) == ("refused", ["is not there any more"])


def v1_data_set(clients: Clients, name: str, definition: str) -> None:
    """Register a v1 data set, as the local cloud knows it."""
    configured = clients.settings
    uri = f"azureml://locations/westeurope/workspaces/w/data/{name}/versions/1"
    properties = {"dataType": "mltable", "dataUri": uri, "properties": {"legacyDataflow": definition}}
    path = f"{configured.workspace_id}/data/{name}/versions/1"
    clients.ask_resource_manager("PUT", path, "2023-04-01", body={"properties": properties})


V1 = """\
paths:
- pattern: azureml://subscriptions/{subscription}/resourcegroups/{group}/workspaces/{workspace}/datastores/\
workspaceblobstore/paths/{folder}labeledDatapoints_*.jsonl
transformations:
- read_json_lines:
    encoding: utf8
    include_path_column: false
- convert_column_types:
  - columns: image_url
    column_type: stream_info
- rename_columns: {{label: Label}}
"""


ONE_FILE = "paths:\n- file: azureml://datastores/workspaceblobstore/paths/gone.jsonl"


def test_a_v1_data_set_of_a_labelling_project_is_trained_on_by_its_name(
    clients: Clients, default_container: ContainerClient, labels: dict[str, list[str]], worker: None
) -> None:
    folder, items = new_folder(), list(labels.items())
    for number, part in enumerate((items[::2], items[1::2]), 1):
        landed(default_container, f"{folder}labeledDatapoints_{number}.jsonl", jsonl(dict(part)))
    landed(default_container, f"{folder}summary.json", b"{}")
    configured = clients.settings
    definition = V1.format(
        subscription=configured.azure_subscription_id,
        group=configured.azure_resource_group,
        workspace=configured.azureml_workspace_name,
        folder=folder,
    )
    v1_data_set(clients, "exported_20261124_101112", definition)
    status, told = post({"data_asset": "exported_20261124_101112:1"})
    assert (status, told["state"], told["export"]) == (202, "training", "azureml:exported_20261124_101112:1")
    report = get(exports.get_export, id=told["export_id"])[1]
    assert report["files"] == [f"{folder}labeledDatapoints_{number}.jsonl" for number in (1, 2)]
    assert sum(report["images"].values()) == len(labels)
    assert any("rename_columns" in note for note in report["notes"])
    assert post({"data_asset": "exported_20261124_101112:1"}) == (200, {**told})


@pytest.mark.parametrize(
    ("name", "definition", "detail"),
    [
        ("none", "", "has a definition that is empty"),
        ("dataflow", '{"blocks": [{"type": "Microsoft.DPrep.GetFilesBlock"}]}', "has a definition that names no paths"),
        ("broken", "paths: [", "has a definition that names no paths"),
        (
            "sampled",
            f"{ONE_FILE}\ntransformations: [take: 5]",
            "leaves out rows by take",
        ),
        ("web", "paths: [file: 'https://elsewhere.example/a.jsonl']", "is no blob of the storage account"),
        ("odd", "paths: [query: select]", "is no file, folder or pattern"),
        ("two", f"{ONE_FILE}\n- folder: azureml://datastores/labelloop/paths/b", "lies in several containers"),
    ],
)
def test_a_v1_data_set_that_can_not_be_followed_is_refused_with_what_to_do(
    clients: Clients, name: str, definition: str, detail: str
) -> None:
    v1_data_set(clients, f"v1-{name}", definition)
    status, problem = post({"data_asset": f"v1-{name}:1"})
    assert status == 400
    assert f"v1 data set v1-{name}:1 " in problem["detail"]
    assert detail in problem["detail"]
    assert "export the labels again as COCO or CSV, or register the folder" in problem["detail"]


def test_a_v1_data_set_whose_files_are_gone_is_not_found(clients: Clients) -> None:
    v1_data_set(clients, "v1-gone", ONE_FILE)
    status, problem = post({"data_asset": "v1-gone:1"})
    assert (status, "azureml:v1-gone:1 does not exist" in problem["detail"]) == (404, True)


def test_a_job_can_be_canceled_once(
    clients: Clients, default_container: ContainerClient, labels: dict[str, list[str]], worker: None
) -> None:
    path = "Labeling/export/coco/canceled.json"
    landed(default_container, path, coco(dict(list(labels.items())[2:])))
    job = post({"export": path})[1]["job"]
    cancel = user_function(jobs.cancel_job)
    answer = cancel(request("POST", f"/api/jobs/{job}/cancel", route={"name": job}))
    assert answer.status_code == 202
    assert body_of(answer)["name"] == job
    assert await_end(clients, job) == "Canceled"
    assert cancel(request("POST", f"/api/jobs/{job}/cancel", route={"name": job})).status_code == 409
    assert cancel(request("POST", "/api/jobs/x/cancel", route={"name": "x"})).status_code == 404
    assert get(jobs.get_job, name=job)[1]["state"] == "canceled"
