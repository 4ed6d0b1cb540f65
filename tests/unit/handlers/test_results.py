"""What became of images, over HTTP: lists, stories, batches, files of predictions, re-scorings. On real storage."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest

from handlers.routes import batches, images, predictions
from shared import image_pages
from shared.clients import Clients
from shared.ledger import Image, Ledger
from tests.contract.storage.scored import FAILED, NO_IMAGE, NOON, Account, image
from tests.support import make_clients, plain_jpeg, promote_bundle
from tests.unit.handlers.conftest import use
from tests.unit.handlers.support import body_of, request, user_function

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def filled(azurite: Callable[[], str]) -> str:
    """Connection string of an account with two batches that have ended, one under way, and images that wait."""
    account = Account(azurite()).prepare()
    account.done(
        [image("2026/a.jpg"), image("2026/b.jpg"), image("text.jpg", error="not an image")],
        {"2026/a.jpg": {}, "2026/b.jpg": FAILED, "text.jpg": NO_IMAGE},
    )
    green = {"labels": ("green",), "probabilities": (0.1, 0.8, 0.1)}
    account.done([image("2027/c.jpg")], {"2027/c.jpg": green}, created=NOON + dt.timedelta(hours=1))
    account.batch([image(f"open/{n:02}.jpg") for n in range(30)], {}, created=NOON + dt.timedelta(hours=2))
    for n in range(5):
        account.ledger.record_arrival(image(f"waits/{n}.jpg"), lambda: "0x1")
    return account.storage


@pytest.fixture
def account(filled: str, monkeypatch: pytest.MonkeyPatch) -> Account:
    account = Account(filled)
    use(account.clients, monkeypatch)
    return account


def get(handler: Any, path: str = "", **params: str) -> func.HttpResponse:
    route = {"path": path, "id": path} if path else None
    response: func.HttpResponse = user_function(handler)(request("GET", "/api/x", params=params, route=route))
    return response


def pages(handler: Any, name: str, **params: str) -> list[Rows]:
    """A list's pages to its end."""
    found: list[Rows] = []
    while True:
        response = get(handler, **params)
        assert response.status_code == 200, response.get_body()
        page = body_of(response)
        found.append(page[name])
        if page["next"] is None:
            return found
        params["cursor"] = page["next"]


def paths(found: list[Rows]) -> list[str]:
    return [each["path"] for page in found for each in page]


@pytest.mark.parametrize("limit", ["1", "2", "50"])
def test_images_come_page_by_page_newest_batch_first(account: Account, limit: str) -> None:
    found = pages(images.list_images, "images", limit=limit)
    assert paths(found)[0] == "2027/c.jpg"
    assert sorted(paths(found)) == ["2026/a.jpg", "2026/b.jpg", "2027/c.jpg", "text.jpg"]
    assert all(len(page) <= int(limit) for page in found)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"state": "scored"}, ["2026/a.jpg", "2027/c.jpg"]),
        ({"state": "failed"}, ["2026/b.jpg"]),
        ({"state": "rejected"}, ["text.jpg"]),
        ({"label": "green"}, ["2027/c.jpg"]),
        ({"label": "red", "min_probability": "0.95"}, []),
        ({"min_probability": "0.85"}, ["2026/a.jpg"]),
        ({"prefix": "2026/"}, ["2026/a.jpg", "2026/b.jpg"]),
        ({"after": "2026-11-24T12:30:00Z"}, ["2027/c.jpg"]),
        ({"before": "2026-11-24T12:30:00+00:00"}, ["2026/a.jpg", "2026/b.jpg", "text.jpg"]),
        ({"after": "2026-11-25"}, []),
    ],
)
def test_images_are_found_by_what_became_of_them(account: Account, params: dict[str, str], expected: list[str]) -> None:
    assert sorted(paths(pages(images.list_images, "images", **params))) == expected


def test_an_image_is_told_with_its_labels_and_probabilities(account: Account) -> None:
    ((found,),) = pages(images.list_images, "images", state="scored", prefix="2026/")
    assert found == {
        "path": "2026/a.jpg",
        "etag": "0x1",
        "state": "scored",
        "arrived": None,
        "batch": "20261124-120000-ab12",
        "model": "multilabel:1",
        "labels": ["red"],
        "probabilities": {"red": 0.9, "green": 0.2, "blue": 0.1},
        "error": "",
        "file": "2026/11/24/20261124-120000-ab12.csv",
        "scored_at": "2026-11-24T12:05:00Z",
    }


@pytest.mark.parametrize("limit", ["2", "7", "50"])
def test_images_that_wait_or_are_in_a_batch_come_in_the_order_of_their_turn(account: Account, limit: str) -> None:
    waiting = pages(images.list_images, "images", state="waiting", limit=limit)
    assert paths(waiting) == [f"waits/{n}.jpg" for n in range(5)]
    batched = pages(images.list_images, "images", state="batched", limit=limit)
    assert sorted(paths(batched)) == [f"open/{n:02}.jpg" for n in range(30)]
    assert batched[0][0]["batch"] == "20261124-140000-ab12"
    assert paths(pages(images.list_images, "images", state="waiting", prefix="waits/3")) == ["waits/3.jpg"]


def test_one_answer_reads_a_bounded_number_of_shards(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_pages, "MAX_SHARDS", 1)
    batched = pages(images.list_images, "images", state="batched")
    assert len(batched) > 1
    assert len(paths(batched)) == 30


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"state": "lost"}, "state"),
        ({"state": "waiting", "label": "red"}, "label"),
        ({"min_probability": "2"}, "min_probability"),
        ({"after": "yesterday"}, "after"),
        ({"after": "2026-11-24T12:00:00"}, "after"),
        ({"limit": "201"}, "limit"),
        ({"cursor": "x"}, "cursor"),
    ],
)
def test_a_question_that_can_not_be_is_refused_by_the_name_of_its_field(
    account: Account, params: dict[str, str], field: str
) -> None:
    response = get(images.list_images, **params)
    assert (response.status_code, body_of(response)["field"]) == (400, field)


def test_a_cursor_is_good_for_its_filters_alone(account: Account) -> None:
    following = body_of(get(images.list_images, limit="1"))["next"]
    assert get(images.list_images, limit="1", cursor=following, state="scored").status_code == 400


def test_an_images_story_has_every_content_newest_first(clients: Clients, tmp_path: Path) -> None:
    ledger = Ledger(clients.tables)
    put = user_function(images.put_image)
    for colour in ((255, 0, 0), (0, 0, 255)):
        put(request("PUT", "/api/images/a/b.jpg", body=plain_jpeg(colour), route={"path": "a/b.jpg"}))
        etag = body_of(get(images.read_image, "a/b.jpg"))["etag"]
        ledger.record_arrival(Image("images", "a/b.jpg", etag, "images", "a/b.jpg", etag), etag.__str__)
    story = body_of(get(images.read_image, "a/b.jpg"))
    assert (story["path"], story["container"], story["exists"]) == ("a/b.jpg", "images", True)
    newest, oldest = story["contents"]
    assert newest["etag"] == story["etag"]
    assert (newest["state"], oldest["state"]) == ("waiting", "superseded")
    assert (newest["prepared"], newest["attempts"], newest["job"]) == (False, 0, None)
    clients.blobs.get_blob_client("images", "a/b.jpg").delete_blob()
    gone = body_of(get(images.read_image, "a/b.jpg"))
    assert (gone["exists"], gone["etag"], len(gone["contents"])) == (False, None, 2)
    assert get(images.read_image, "never.jpg").status_code == 404


def test_the_story_of_a_scored_image_tells_why_and_by_which_job(clients: Clients, storage: str) -> None:
    account = Account(storage)
    made = image("scored.jpg")
    account.ledger.record_arrival(made, lambda: "0x1")
    batch = account.batch([made], {"scored.jpg": {}})
    account.ledger.claim(batch.id, account.ledger.waiting(10).images)
    from shared.results import collect

    collect(account.clients, account.ledger, batch, job_error="")
    (content,) = body_of(get(images.read_image, "scored.jpg"))["contents"]
    assert (content["state"], content["labels"], content["model"]) == ("scored", ["red"], "multilabel:1")
    assert (content["batch"], content["job"], content["reason"]) == (batch.id, f"score-{batch.id}", "three")
    assert content["arrived"] is not None


def put_image(path: str, body: bytes = b"x", headers: dict[str, str] | None = None) -> func.HttpResponse:
    asked = request("PUT", "/api/images", body=body, content_type="image/png", route={"path": path}, headers=headers)
    response: func.HttpResponse = user_function(images.put_image)(asked)
    return response


def test_an_image_is_put_into_storage_as_it_is(clients: Clients) -> None:
    made = put_image("2026/a ü.png", b"bytes")
    assert made.status_code == 201
    told = body_of(made)
    blob = clients.blobs.get_blob_client("images", "2026/a ü.png")
    assert blob.download_blob().readall() == b"bytes"
    properties = blob.get_blob_properties()
    assert properties.content_settings.content_type == "image/png"
    assert told == {
        "path": "2026/a ü.png",
        "container": "images",
        "etag": properties.etag.strip('"'),
        "url": blob.url,
    }
    assert made.headers["Location"] == "/api/images/2026/a%20%C3%BC.png"
    assert put_image("2026/a ü.png", b"more").status_code == 200


def test_only_what_is_not_there_yet_is_put_when_that_is_asked(clients: Clients) -> None:
    assert put_image("once.png", b"x", {"If-None-Match": "*"}).status_code == 201
    again = put_image("once.png", b"other", {"If-None-Match": "*"})
    assert (again.status_code, body_of(again)["field"]) == (412, "If-None-Match")
    assert clients.blobs.get_blob_client("images", "once.png").download_blob().readall() == b"x"
    assert put_image("once.png", b"x", {"If-None-Match": '"x"'}).status_code == 400


@pytest.mark.parametrize("path", ["../a", "a//b", "a/./b", "a.", "a\nb", "a\\b", "a/", "x" * 1025, "/".join("a" * 300)])
def test_a_path_that_no_blob_has_is_refused(clients: Clients, path: str) -> None:
    response = put_image(path)
    assert (response.status_code, body_of(response)["field"]) == (400, "path")


def test_an_image_that_is_too_large_is_not_stored(
    clients: Clients, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(make_clients(storage, max_image_megabytes=1), monkeypatch)
    response = put_image("large.png", bytes(1_000_001))
    assert (response.status_code, body_of(response)["detail"]) == (422, "the file has 1.0 MB; at most 1 MB are taken")


@pytest.mark.parametrize("limit", ["1", "2", "50"])
def test_batches_come_page_by_page_those_under_way_first(account: Account, limit: str) -> None:
    found = [each["id"] for page in pages(batches.list_batches, "batches", limit=limit) for each in page]
    assert found == [f"20261124-1{hour}0000-ab12" for hour in (4, 3, 2)]
    (opened,), (done,) = (pages(batches.list_batches, "batches", state=state) for state in ("open", "done"))
    assert [each["state"] for each in opened] == ["submitted"]
    assert [each["state"] for each in done] == ["done", "done"]


def test_a_batch_is_told_by_its_id(account: Account) -> None:
    told = body_of(get(batches.get_batch, "20261124-120000-ab12"))
    assert (told["state"], told["model"], told["images"]) == ("done", "multilabel:1", 3)
    assert told["created"] == "2026-11-24T12:00:00Z"
    for unknown in ("20200101-000000-aaaa", "no/id", "done:x", "ü"):
        assert get(batches.get_batch, unknown).status_code == 404


def test_predictions_are_downloaded_in_a_format_of_choice(account: Account) -> None:
    csv = get(predictions.get_predictions)
    assert csv.mimetype.startswith("text/csv")
    lines = csv.get_body().decode().splitlines()
    assert lines[0].startswith("image,labels,prob_red")
    assert len(lines) == 5
    rows = get(predictions.get_predictions, format="jsonl", label="green").get_body().decode().splitlines()
    assert [json.loads(row)["image"] for row in rows] == ["2027/c.jpg"]
    assert get(predictions.get_predictions, format="parquet").get_body()[:4] == b"PAR1"
    assert get(predictions.get_predictions, format="xml").status_code == 400
    later = get(predictions.get_predictions, **{"from": "2026-11-24T12:30:00Z", "to": "2026-11-25", "format": "jsonl"})
    assert len(later.get_body().splitlines()) == 1


def test_while_more_predictions_follow_a_link_leads_to_them(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.results.pages.PAGE_ROWS", 3)
    asked = {"format": "jsonl", "from": "2026-11-01", "to": "2026-12-01"}
    first = get(predictions.get_predictions, **asked)
    link = first.headers["Link"]
    assert link.startswith("</api/predictions?")
    assert link.endswith('>; rel="next"')
    from urllib.parse import parse_qsl, urlsplit

    following = dict(parse_qsl(urlsplit(link.partition(">")[0].lstrip("<")).query))
    assert asked.items() <= following.items()
    second = get(predictions.get_predictions, **following)
    assert "Link" not in second.headers
    assert len(first.get_body().splitlines()) + len(second.get_body().splitlines()) == 4


def test_a_rescoring_is_accepted_and_the_same_again_is_the_same(clients: Clients, tmp_path: Path) -> None:
    promote_bundle(clients, tmp_path)
    ask = user_function(batches.score)
    asked = {"body": b'{"prefix": "2026/"}', "content_type": "application/json"}
    first, again = (ask(request("POST", "/api/score", **asked)) for _ in range(2))  # type: ignore[arg-type]
    told = body_of(first)
    assert (first.status_code, told["state"], told["model"]) == (202, "planning", "multilabel:1")
    assert body_of(again)["id"] == told["id"]
    assert first.headers["Location"] == f"/api/scores/{told['id']}"
    assert body_of(get(batches.get_score, told["id"]))["prefix"] == "2026/"
    assert get(batches.get_score, "nothing").status_code == 404
