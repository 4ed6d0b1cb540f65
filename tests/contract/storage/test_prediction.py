"""Predictions asked for at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared import prediction
from shared.clients import Clients
from shared.errors import ImageRejectedError, InvalidRequestError, NoModelError, NotFoundError
from shared.prediction import MAX_IMAGES, StoredImage, Upload, predict_now
from tests.contract.storage.test_images import turned_photo
from tests.support import LABELS, drop_image, make_clients, plain_jpeg, prepare_storage, promote_bundle


@pytest.fixture
def clients(storage: str, tmp_path: Path) -> Clients:
    """An account with a champion."""
    clients = make_clients(storage, max_image_megabytes=1)
    prepare_storage(clients)
    promote_bundle(clients, tmp_path)
    return clients


def test_one_image_gets_its_labels_and_every_probability(clients: Clients) -> None:
    answer = predict_now(clients, [Upload("image", plain_jpeg((0, 255, 0)))])
    assert answer["model"] == "multilabel:1"
    assert answer["thresholds"] == dict.fromkeys(LABELS, 0.5)
    (prediction,) = answer["predictions"]
    assert (prediction["image"], prediction["labels"], prediction["error"]) == ("image", ["green"], None)
    assert list(prediction["probabilities"]) == list(LABELS)
    assert all(0 <= value <= 1 for value in prediction["probabilities"].values())


def test_several_images_are_answered_in_their_order_and_a_bad_one_fails_itself_alone(clients: Clients) -> None:
    images = [
        Upload("blue", plain_jpeg((0, 0, 255))),
        Upload("text", b"no image"),
        Upload("large", bytes(1_000_001)),
        Upload("turned", turned_photo()),
    ]
    blue, text, large, turned = predict_now(clients, images)["predictions"]
    assert (blue["image"], blue["labels"]) == ("blue", ["blue"])
    assert (text["labels"], text["probabilities"]) == ([], {})
    assert text["error"].startswith("not an image")
    assert large["error"] == "the file has 1.0 MB; at most 1 MB are taken"
    assert (turned["labels"], turned["error"]) == (["red"], None)


def test_a_single_image_that_is_none_is_an_error_of_the_whole_request(clients: Clients) -> None:
    with pytest.raises(ImageRejectedError, match="not an image"):
        predict_now(clients, [Upload("image", b"no image")])


@pytest.mark.parametrize("count", [0, MAX_IMAGES + 1])
def test_no_image_or_too_many_are_refused(clients: Clients, count: int) -> None:
    with pytest.raises(InvalidRequestError, match=f"has {count} images; from 1 to 32 are taken") as refusal:
        predict_now(clients, [Upload("image", b"")] * count)
    assert refusal.value.field == "body"


def test_without_a_model_nothing_can_be_predicted(storage: str) -> None:
    clients = make_clients(storage)
    with pytest.raises(NoModelError):
        predict_now(clients, [Upload("image", plain_jpeg())])


def url(clients: Clients, path: str) -> str:
    return f"{clients.account_url.rstrip('/')}/{path}"


def test_an_image_in_storage_is_read_by_its_url(clients: Clients) -> None:
    drop_image(clients, "2026/a ü.jpg", plain_jpeg((0, 0, 255)))
    image = StoredImage(url(clients, "images/2026/a%20%C3%BC.jpg"))
    answer = predict_now(clients, [image])
    (found,) = answer["predictions"]
    assert (found["image"], found["labels"]) == (image.url, ["blue"])
    assert all(value >= 0 for value in answer["milliseconds"].values())
    assert set(answer["milliseconds"]) == {"model", "read", "check", "predict"}


def test_an_image_that_is_not_there_fails_itself_alone_or_the_request_when_it_is_the_only_one(clients: Clients) -> None:
    gone = StoredImage(url(clients, "images/gone.jpg"))
    with pytest.raises(NotFoundError, match=r"there is no image images/gone\.jpg"):
        predict_now(clients, [gone])
    blue, missing = predict_now(clients, [Upload("blue", plain_jpeg((0, 0, 255))), gone])["predictions"]
    assert (blue["labels"], missing["error"]) == (["blue"], "there is no image images/gone.jpg")


def test_an_image_in_storage_that_is_too_large_is_not_read(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    drop_image(clients, "large.jpg", bytes(1_000_001))
    with pytest.raises(ImageRejectedError, match=r"the file has 1\.0 MB"):
        predict_now(clients, [StoredImage(url(clients, "images/large.jpg"))])
    drop_image(clients, "a.jpg", plain_jpeg())
    monkeypatch.setattr(prediction, "MAX_BYTES", len(plain_jpeg()) + 10)
    first, second = predict_now(clients, 2 * [StoredImage(url(clients, "images/a.jpg"))])["predictions"]
    assert (first["error"], first["labels"]) == (None, ["red"])
    assert "ask for fewer at once" in second["error"]


@pytest.mark.parametrize(
    "elsewhere",
    [
        "{account}/labelloop/models/multilabel/train-1/model.onnx",
        "{account}/predictions/a.csv",
        "{account}/images",
        "{account}/images/",
        "{account}/images/../labelloop/a",
        "{account}/images/%2e%2e/labelloop/a",
        "{account}/images/a.jpg?sig=secret",
        "{account}/images/a.jpg#part",
        "https://evil.example/images/a.jpg",
        "http://169.254.169.254/images/a.jpg",
        "{account}.evil.example/images/a.jpg",
        "{account}@evil.example/images/a.jpg",
        "file:///etc/passwd",
        "images/a.jpg",
        "",
    ],
)
def test_nothing_but_the_images_container_is_read(clients: Clients, elsewhere: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        predict_now(clients, [StoredImage(elsewhere.format(account=clients.account_url.rstrip("/")))])
    assert refusal.value.field == "url"
    assert "secret" not in str(refusal.value)
