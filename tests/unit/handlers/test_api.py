"""The HTTP API on real storage; what needs Azure ML is in tests/contract/cloud_client."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from azure.core.pipeline.transport import HttpTransport

from handlers import api
from shared.clients import Clients
from shared.models import ClassifierCache
from tests.support import make_clients, plain_jpeg, promote_bundle, without_queues
from tests.unit.handlers.conftest import use
from tests.unit.handlers.support import body_of, request, user_function

predict, health, list_jobs = (user_function(each) for each in (api.predict, api.health, api.list_jobs))
BOUNDARY = "boundary42"


def multipart(*files: tuple[str, bytes]) -> bytes:
    parts = b""
    for name, content in files:
        disposition = f'Content-Disposition: form-data; name="{name}"; filename="{name}.jpg"'
        parts += f"--{BOUNDARY}\r\n{disposition}\r\nContent-Type: image/jpeg\r\n\r\n".encode() + content + b"\r\n"
    return parts + f"--{BOUNDARY}--\r\n".encode()


def post(body: bytes, content_type: str = "image/jpeg"):  # type: ignore[no-untyped-def] # azure.functions is untyped
    return predict(request("POST", "/api/predict", body=body, content_type=content_type))


def test_one_image_as_the_body_is_predicted(clients: Clients, tmp_path: Path) -> None:
    promote_bundle(clients, tmp_path)
    response = post(plain_jpeg((0, 0, 255)))
    assert response.status_code == 200
    (prediction,) = body_of(response)["predictions"]
    assert prediction["labels"] == ["blue"]
    assert prediction["image"] == "image"


def test_several_images_as_form_data_are_predicted_by_their_names(clients: Clients, tmp_path: Path) -> None:
    promote_bundle(clients, tmp_path)
    body = multipart(("first", plain_jpeg((255, 0, 0))), ("second", plain_jpeg((0, 255, 0))), ("first", b"text"))
    response = post(body, f"multipart/form-data; boundary={BOUNDARY}")
    predictions = body_of(response)["predictions"]
    assert sorted((each["image"], each["labels"]) for each in predictions) == [
        ("first.jpg", []),
        ("first.jpg", ["red"]),
        ("second.jpg", ["green"]),
    ]
    gc.collect()  # An upload that was left open is told of here, not in some later test.


@pytest.mark.parametrize(
    ("body", "content_type", "detail"),
    [
        (b"", "image/jpeg", "the file is empty"),
        (b"text", "", "not an image"),
        (
            multipart(),
            f"multipart/form-data; boundary={BOUNDARY}",
            "the form has no file",
        ),
    ],
)
def test_a_request_without_an_image_is_a_problem(
    clients: Clients, tmp_path: Path, body: bytes, content_type: str, detail: str
) -> None:
    promote_bundle(clients, tmp_path)
    response = post(body, content_type)
    assert (response.status_code, response.mimetype) == (400, "application/problem+json")
    assert detail in body_of(response)["detail"]


def test_without_a_model_a_prediction_is_not_available_yet(clients: Clients) -> None:
    response = post(plain_jpeg())
    assert response.status_code == 503
    assert "Retry-After" in response.headers


def test_jobs_of_an_unknown_kind_are_refused_by_the_name_of_the_field(clients: Clients) -> None:
    response = list_jobs(request("GET", "/api/jobs", params={"kind": "baking"}))
    assert response.status_code == 400
    assert body_of(response)["field"] == "kind"
    assert "training or scoring" in body_of(response)["detail"]


def test_health_is_200_when_storage_answers(clients: Clients) -> None:
    response = health(request())
    assert response.status_code == 200
    assert body_of(response)["state"] == "healthy"


def test_health_is_503_when_storage_does_not_answer(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HttpTransport, "sleep", lambda *_: None)
    use(make_clients(without_queues(storage)), monkeypatch)
    response = health(request())
    assert response.status_code == 503
    assert body_of(response)["state"] == "unhealthy"


def test_a_service_that_is_not_provisioned_is_a_problem_that_may_go_away(
    clients: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = promote_bundle(clients, tmp_path)
    monkeypatch.setattr("shared.prediction.classifiers", ClassifierCache())
    clients.blobs.get_blob_client("labelloop", f"{champion.path}/model.onnx").delete_blob()
    response = post(plain_jpeg())
    assert response.status_code == 503
    assert "ResourceNotFoundError" in body_of(response)["detail"]
    assert "Retry-After" in response.headers
