"""Corrections over HTTP, on real storage."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from handlers.routes.corrections import list_corrections, put_correction
from handlers.routes.images import read_image
from shared.clients import Clients
from shared.ledger import Image, Ledger
from shared.review.corrections import Corrections
from shared.review.names import known_labels
from tests.contract.storage.scored import Account, image
from tests.support import drop_image, plain_jpeg, promote_bundle
from tests.unit.handlers.support import body_of, request, user_function

put, listed, story = user_function(put_correction), user_function(list_corrections), user_function(read_image)


def arrive(clients: Clients, path: str, color: tuple[int, int, int] = (200, 30, 30)) -> str:
    """An image arrives; returns its ETag."""
    etag = drop_image(clients, path, plain_jpeg(color))
    Ledger(clients.tables).record_arrival(Image("images", path, etag, "images", path, etag), lambda: etag)
    return etag


def correct(path: str, etag: str, *labels: str) -> Any:
    body = json.dumps({"etag": etag, "labels": labels}).encode()
    return put(request("PUT", f"/api/corrections/{path}", body=body, route={"path": path}))


def test_what_a_person_says_is_kept_with_who_and_when(clients: Clients) -> None:
    etag = arrive(clients, "2026/a b.jpg")
    told = body_of(correct("2026/a b.jpg", f'"{etag}"', "cat", "  big   dog "))
    assert (told["labels"], told["who"], told["model"]) == (["big dog", "cat"], "score key", None)
    assert body_of(listed(request()))["corrections"] == [told]
    (content,) = body_of(story(request(route={"path": "2026/a b.jpg"})))["contents"]
    assert content["correction"] == {name: told[name] for name in ("labels", "who", "when")}


def test_the_same_again_is_one_and_something_else_is_kept_beside_it(clients: Clients) -> None:
    etag = arrive(clients, "a.jpg")
    first, again = (body_of(correct("a.jpg", etag, "cat")) for _ in range(2))
    assert first == again
    assert body_of(correct("a.jpg", etag))["labels"] == []
    kept = Corrections(clients.tables)
    assert [each.labels for each in kept.history("images", "a.jpg")] == [("cat",), ()]
    assert kept.counts()[:2] == (1, 2)
    assert len(body_of(listed(request()))["corrections"]) == 1


def test_an_image_that_was_replaced_has_to_be_looked_at_again(clients: Clients) -> None:
    old = arrive(clients, "a.jpg")
    new = arrive(clients, "a.jpg", (0, 0, 255))
    response = correct("a.jpg", old, "cat")
    assert response.status_code == 409
    assert f"its content is {new}, not {old}" in body_of(response)["detail"]
    assert correct("a.jpg", new, "cat").status_code == 200
    assert correct("b.jpg", new, "cat").status_code == 404


@pytest.mark.parametrize(
    ("labels", "words"),
    [([""], "an empty name"), (["a\0b"], "no text"), (["x" * 300], "256 are allowed"), (["l"] * 101, "may have 100")],
)
def test_what_can_be_no_label_is_refused(clients: Clients, labels: list[str], words: str) -> None:
    response = correct("a.jpg", arrive(clients, "a.jpg"), *labels)
    assert (response.status_code, body_of(response)["field"]) == (400, "labels")
    assert words in body_of(response)["detail"]


def test_spellings_of_one_label_are_one_and_the_models_counts(clients: Clients, tmp_path: Path) -> None:
    promote_bundle(clients, tmp_path)
    etag = arrive(clients, "a.jpg")
    assert body_of(correct("a.jpg", etag, "RED", "Puce", "puce"))["labels"] == ["Puce", "red"]
    assert body_of(correct("a.jpg", etag, "PUCE"))["labels"] == ["Puce"]
    assert list(known_labels(clients).values()) == ["red", "green", "blue", "Puce"]


def test_what_the_model_had_said_stands_beside_it(clients: Clients, storage: str) -> None:
    account, path = Account(storage, prediction_formats="csv"), "a.jpg"
    account.ledger.record_arrival(image(path), lambda: "0x1")
    waiting = account.ledger.waiting(1).images
    batch = account.batch([image(path)], {path: {}})
    account.ledger.claim(batch.id, waiting)
    from shared.results import write_files

    collected = write_files(account.clients, batch, job_error="")
    account.ledger.close_batch(account.ledger.advance(batch, files=collected.paths))
    told = body_of(correct(path, "0x1", "blue"))
    assert (told["predicted"], told["model"], told["labels"]) == (["red"], "multilabel:1", ["blue"])


def test_the_list_goes_on_where_it_ended_the_latest_first(clients: Clients) -> None:
    paths = [f"{number}.jpg" for number in range(5)]
    for path in paths:
        assert correct(path, arrive(clients, path), "cat").status_code == 200
    correct("0.jpg", str(Corrections(clients.tables).get("images", "0.jpg").etag), "dog")  # type: ignore[union-attr]
    found, cursor = [], ""
    while cursor is not None:
        page = body_of(listed(request(params={"limit": "2", **({"cursor": cursor} if cursor else {})})))
        found += [each["path"] for each in page["corrections"]]
        cursor = page["next"]
    assert found == ["0.jpg", "4.jpg", "3.jpg", "2.jpg", "1.jpg"]
    assert listed(request(params={"cursor": "nonsense"})).status_code == 400


def test_several_people_at_once_lose_nothing(clients: Clients) -> None:
    etags = {f"{number}.jpg": arrive(clients, f"{number}.jpg") for number in range(4)}
    said = [(path, etag, label) for path, etag in etags.items() for label in ("cat", "dog", "cow")]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda each: correct(*each).status_code, said))
    assert answers == [200] * len(said)
    kept = Corrections(clients.tables)
    assert len(body_of(listed(request()))["corrections"]) == 4
    assert kept.counts() == (4, 12, 12)
    assert all(len(kept.history("images", path)) == 3 for path in etags)
