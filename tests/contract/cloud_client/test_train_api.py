"""POST /api/train, exports and jobs over HTTP."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from azure.ai.ml.entities import Data
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import ContainerClient

from handlers import api, label_exports
from shared.clients import Clients
from shared.cluster import ENDED_STATUSES
from shared.jobs import list_jobs
from shared.training.line import read_line, training_lock, write_line
from tests.contract.cloud_client.conftest import coco
from tests.contract.cloud_client.exporting import await_end, jsonl, landed, new_folder, upload_pictures
from tests.contract.local_stack import MakeClients
from tests.unit.handlers.conftest import use
from tests.unit.handlers.support import body_of, request, user_function


@pytest.fixture
def clients(make: MakeClients, provisioned: None, monkeypatch: pytest.MonkeyPatch) -> Clients:
    clients = make(min_images_per_label=3, model_name="by-request")
    use(clients, monkeypatch)
    return clients


@pytest.fixture
def labels(default_container: ContainerClient) -> dict[str, list[str]]:
    return upload_pictures(default_container, 8)


@pytest.fixture(autouse=True)
def _an_empty_line(clients: Clients) -> Iterator[None]:
    yield
    for job in list_jobs(clients, kind="training"):
        if job["status"] not in ENDED_STATUSES:
            with contextlib.suppress(HttpResponseError):  # It may end by itself meanwhile.
                clients.ml.jobs.begin_cancel(job["name"]).result()
    write_line(clients, read_line(clients), running=None, waiting=None, last=None, unsettled=())


def post(body: Any) -> tuple[int, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = user_function(label_exports.train)(request("POST", "/api/train", body=content))
    return int(answer.status_code), body_of(answer)


def get(function: Any, **route: str) -> tuple[int, Any]:
    answer = user_function(function)(request("GET", "/api/x", route=route))
    return int(answer.status_code), body_of(answer)


def test_an_export_is_trained_on_by_its_path_and_asked_for_again_it_is_the_same_job(
    clients: Clients, default_container: ContainerClient, labels: dict[str, list[str]]
) -> None:
    path = "Labeling/export/coco/asked.json"
    landed(default_container, path, coco(labels))
    status, first = post({"export": path})
    assert (status, first["state"]) == (202, "training")
    status, again = post({"export": f"{default_container.container_name}/{path}"})
    assert (status, again["job"]) == (200, first["job"])
    status, told = get(label_exports.get_export, id=first["export_id"])
    assert (status, told["job"], told["state"]) == (200, first["job"], "training")
    status, listed = get(label_exports.list_exports)
    assert status == 200
    assert first["export_id"] in {each["id"] for each in listed["exports"]}
    status, job = get(api.get_job, name=first["job"])
    assert (status, job["kind"]) == (200, "training")
    assert 0 <= job["progress"] < 1


def test_a_request_may_change_the_training(
    clients: Clients, default_container: ContainerClient, labels: dict[str, list[str]]
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
    clients: Clients, default_container: ContainerClient, labels: dict[str, list[str]], kind: str
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
        ({"export": "a", "model": "x"}, 400, "model is not known"),
        ({"export": "a", "base_models": ["gpt"]}, 400, "BASE_MODELS: is 'gpt'"),
        ({"export": "a", "base_models": "auto"}, 400, "MAX_TRIALS: is 1, but BASE_MODELS is auto"),
        ({"export": "a", "max_trials": 1001}, 400, "a whole number from 1 to 1000"),
        ({"export": "a", "max_trials": "4"}, 400, "max_trials is '4', but must be a whole number"),
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
    clients: Clients, default_container: ContainerClient
) -> None:
    landed(default_container, "Labeling/export/coco/bad.json", b"what is this")
    status, problem = post({"export": "Labeling/export/coco/bad.json"})
    assert status == 400
    assert "is no label export" in problem["detail"]


def test_while_another_export_is_read_a_request_is_told_to_come_back(
    clients: Clients, default_container: ContainerClient, labels: dict[str, list[str]]
) -> None:
    landed(default_container, "Labeling/export/coco/later.json", coco(labels))
    with training_lock(clients) as is_mine:
        assert is_mine
        status, problem = post({"export": "Labeling/export/coco/later.json"})
    assert status == 409
    assert "try again in a minute" in problem["detail"]


def test_a_job_can_be_canceled_once(
    clients: Clients, default_container: ContainerClient, labels: dict[str, list[str]]
) -> None:
    path = "Labeling/export/coco/canceled.json"
    landed(default_container, path, coco(dict(list(labels.items())[2:])))
    job = post({"export": path})[1]["job"]
    cancel = user_function(api.cancel_job)
    answer = cancel(request("POST", f"/api/jobs/{job}/cancel", route={"name": job}))
    assert answer.status_code == 202
    assert body_of(answer)["name"] == job
    assert await_end(clients, job) == "Canceled"
    assert cancel(request("POST", f"/api/jobs/{job}/cancel", route={"name": job})).status_code == 409
    assert cancel(request("POST", "/api/jobs/x/cancel", route={"name": "x"})).status_code == 404
    assert get(api.get_job, name=job)[1]["state"] == "canceled"
