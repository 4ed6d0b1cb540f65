"""Predictions asked for at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.clients import Clients
from shared.errors import ImageRejectedError, InvalidRequestError, NoModelError
from shared.models import model_store
from shared.prediction import MAX_IMAGES, predict_now
from tests.contract.storage.test_images import turned_photo
from tests.support import LABELS, make_clients, plain_jpeg, prepare_storage, promote_bundle


@pytest.fixture
def clients(storage: str, tmp_path: Path) -> Clients:
    """An account with a champion."""
    clients = make_clients(storage, max_image_megabytes=1)
    prepare_storage(clients)
    promote_bundle(clients, tmp_path)
    return clients


def test_one_image_gets_its_labels_and_every_probability(clients: Clients) -> None:
    answer = predict_now(model_store(clients), clients.settings, [("image", plain_jpeg((0, 255, 0)))])
    assert answer["model"] == "multilabel:1"
    assert answer["thresholds"] == dict.fromkeys(LABELS, 0.5)
    (prediction,) = answer["predictions"]
    assert (prediction["image"], prediction["labels"], prediction["error"]) == ("image", ["green"], None)
    assert list(prediction["probabilities"]) == list(LABELS)
    assert all(0 <= value <= 1 for value in prediction["probabilities"].values())


def test_several_images_are_answered_in_their_order_and_a_bad_one_fails_itself_alone(clients: Clients) -> None:
    images = [
        ("blue", plain_jpeg((0, 0, 255))),
        ("text", b"no image"),
        ("large", bytes(1_000_001)),
        ("turned", turned_photo()),
    ]
    blue, text, large, turned = predict_now(model_store(clients), clients.settings, images)["predictions"]
    assert (blue["image"], blue["labels"]) == ("blue", ["blue"])
    assert (text["labels"], text["probabilities"]) == ([], {})
    assert text["error"].startswith("not an image")
    assert large["error"] == "the file has 1.0 MB; at most 1 MB are taken"
    assert (turned["labels"], turned["error"]) == (["red"], None)


def test_a_single_image_that_is_none_is_an_error_of_the_whole_request(clients: Clients) -> None:
    with pytest.raises(ImageRejectedError, match="not an image"):
        predict_now(model_store(clients), clients.settings, [("image", b"no image")])


@pytest.mark.parametrize("count", [0, MAX_IMAGES + 1])
def test_no_image_or_too_many_are_refused(clients: Clients, count: int) -> None:
    with pytest.raises(InvalidRequestError, match=f"has {count} images; from 1 to 32 are taken") as refusal:
        predict_now(model_store(clients), clients.settings, [("image", b"")] * count)
    assert refusal.value.field == "body"


def test_without_a_model_nothing_can_be_predicted(storage: str) -> None:
    clients = make_clients(storage)
    with pytest.raises(NoModelError):
        predict_now(model_store(clients), clients.settings, [("image", plain_jpeg())])
