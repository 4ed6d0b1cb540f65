"""The images to be looked at over HTTP, on real storage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from handlers.routes.corrections import put_correction
from handlers.routes.review import review as review_route
from shared.clients import Clients
from shared.ledger import Ledger
from shared.review import candidates
from tests.contract.storage.scored import Account, image
from tests.support import promote_bundle
from tests.unit.handlers.support import body_of, request, user_function

review, put = user_function(review_route), user_function(put_correction)


def ask(**params: str) -> dict[str, Any]:
    answer = review(request(params=params))
    assert answer.status_code == 200, answer.get_body()
    found: dict[str, Any] = body_of(answer)
    return found


def paths(page: dict[str, Any]) -> list[str]:
    return [each["path"] for each in page["images"]]


@pytest.fixture
def scored(clients: Clients, storage: str, tmp_path: Path) -> None:
    """Three images, of which the model is sure, unsure, and sure of what it hardly ever saw."""
    promote_bundle(clients, tmp_path)
    account = Account(storage, prediction_formats="csv")
    labelled = [["red"]] * 50 + [["green"]] * 50
    rows = "".join(json.dumps({"image_url": "u", "label": each}) + "\n" for each in labelled)
    work = clients.blobs.get_container_client(clients.settings.work_container)
    work.upload_blob("datasets/d1/train/train.jsonl", rows)
    card = {"labels": ["red", "green", "blue"], "thresholds": {"red": 0.7}, "data_set": "d1", "preprocessing": {}}
    work.upload_blob("models/multilabel/train-1/card.json", json.dumps(card), overwrite=True)
    outcomes: dict[str, dict[str, Any]] = {
        "sure.jpg": {"probabilities": (0.99, 0.01, 0.01)},
        "unsure.jpg": {"probabilities": (0.71, 0.1, 0.1)},
        "both.jpg": {"labels": ("red", "green"), "probabilities": (0.95, 0.95, 0.0)},
    }
    for path in outcomes:
        account.ledger.record_arrival(image(path), lambda: "0x1")
    account.done([image(path) for path in outcomes], outcomes)


def test_the_least_certain_come_first_and_say_why(scored: None) -> None:
    page = ask()
    assert paths(page) == ["unsure.jpg", "both.jpg", "sure.jpg"]
    first = page["images"][0]
    assert first["why"] == "red 0.71, threshold 0.70"
    assert first["thresholds"] == {"red": 0.7, "green": 0.5, "blue": 0.5}
    assert (page["labels"], page["next"]) == (["red", "green", "blue"], None)
    assert paths(ask(label="blue"))[0] == "unsure.jpg"


def test_what_the_training_never_had_comes_first(scored: None) -> None:
    page = ask(order="surprising")
    assert paths(page)[0] == "both.jpg"
    assert page["images"][0]["why"] == "green and red together: 0 of the training's images, 25 by chance"


def test_what_was_corrected_does_not_come_again_and_pages_go_on(scored: None) -> None:
    first = ask(limit="1")
    body = json.dumps({"etag": "0x1", "labels": ["red"]}).encode()
    assert put(request("PUT", body=body, route={"path": "both.jpg"})).status_code == 200
    assert paths(first) == ["unsure.jpg"]
    assert paths(ask(limit="1", cursor=first["next"])) == ["sure.jpg"]
    assert paths(ask()) == ["unsure.jpg", "sure.jpg"]
    assert review(request(params={"cursor": first["next"], "order": "surprising"})).status_code == 400


def test_work_is_bounded_and_the_next_page_goes_on(scored: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "CHUNK", 1)
    monkeypatch.setattr(candidates, "MAX_LOOKED_UP", 2)
    first = ask()
    assert paths(first) == ["unsure.jpg", "both.jpg"]
    assert paths(ask(cursor=first["next"])) == ["sure.jpg"]


def test_before_there_is_a_model_the_newest_that_wait_come_first(clients: Clients) -> None:
    ledger = Ledger(clients.tables)
    for path in ("old.jpg", "new.jpg"):
        ledger.record_arrival(image(path), lambda: "0x1")
    ledger.record_arrival(image("bad.jpg", error="not an image"), lambda: "0x1")
    page = ask()
    assert paths(page) == ["new.jpg", "old.jpg"]
    assert page["images"][0]["why"] == "there is no model yet"
    assert page["labels"] == []
