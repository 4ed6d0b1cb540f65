"""Predictions over HTTP, on real storage."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest

from handlers.routes.predict import predict as predict_route
from shared.clients import Clients
from shared.models import ClassifierCache
from tests.support import drop_image, plain_jpeg, promote_bundle
from tests.unit.handlers.support import body_of, request, user_function

predict = user_function(predict_route)
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


def test_images_in_storage_are_predicted_by_their_urls(clients: Clients, tmp_path: Path) -> None:
    promote_bundle(clients, tmp_path)
    drop_image(clients, "2026/a b.jpg", plain_jpeg((0, 255, 0)))
    url, missing = (f"{clients.account_url.rstrip('/')}/images/{path}" for path in ("2026/a%20b.jpg", "gone.jpg"))
    response = post(json.dumps({"urls": [url, missing]}).encode(), "application/json")
    found, gone = body_of(response)["predictions"]
    assert (found["image"], found["labels"]) == (url, ["green"])
    assert (gone["labels"], gone["error"]) == ([], "there is no image images/gone.jpg")
    assert post(json.dumps({"url": missing}).encode(), "application/json").status_code == 404
    assert body_of(response)["milliseconds"]["read"] > 0


@pytest.mark.parametrize(
    ("body", "content_type", "status", "detail"),
    [
        (b"", "image/jpeg", 422, "the file is empty"),
        (b"text", "", 422, "not an image"),
        (multipart(), f"multipart/form-data; boundary={BOUNDARY}", 400, "the form has no file"),
        (b"text", "multipart/form-data", 400, "the form has no file"),
        (plain_jpeg(), "text/plain", 415, "Content-Type is 'text/plain'; it must be image/*"),
        (b"{}", "application/json", 400, 'either "url" or "urls"'),
        (b'{"url": "a", "urls": ["b"]}', "application/json", 400, 'either "url" or "urls"'),
        (b'{"urls": []}', "application/json", 400, "urls is [], but must be a list of at least 1 and at most 32"),
        (b'{"url": "https://acct.example/images/a.jpg"}', "application/json", 400, "is no blob of the storage account"),
    ],
)
def test_a_request_without_an_image_is_a_problem(
    clients: Clients, tmp_path: Path, body: bytes, content_type: str, status: int, detail: str
) -> None:
    promote_bundle(clients, tmp_path)
    response = post(body, content_type)
    assert (response.status_code, response.mimetype) == (status, "application/problem+json")
    assert detail in body_of(response)["detail"]


def test_without_a_model_a_prediction_is_not_available_yet(clients: Clients) -> None:
    response = post(plain_jpeg())
    assert response.status_code == 503
    assert "Retry-After" in response.headers


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
