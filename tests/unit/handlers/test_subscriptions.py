"""Subscriptions over HTTP, on real storage, and the queue that delivers to them."""

from __future__ import annotations

import json
import typing
from pathlib import Path
from typing import Any

import pytest

from handlers.contract.subscriptions import EventType
from handlers.routes.subscriptions import (
    create_subscription,
    delete_subscription,
    get_subscription,
    list_subscriptions,
    rotate_secret,
    try_subscription,
)
from handlers.webhooks import deliver_webhook
from shared import events
from shared.clients import Clients
from tests.support import make_clients, prepare_storage
from tests.unit.handlers.conftest import use
from tests.unit.handlers.support import body_of, message, request, user_function
from tests.unit.shared.webhooks.receiver import Receiver

create, delete, get, listed, rotate, trial = map(
    user_function,
    (
        create_subscription,
        delete_subscription,
        get_subscription,
        list_subscriptions,
        rotate_secret,
        try_subscription,
    ),
)
URL = "https://localhost:8443/hooks/t0ken?sig=t0ken"
APP = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/labelloop"


@pytest.fixture
def clients(storage: str, monkeypatch: pytest.MonkeyPatch) -> Clients:
    clients = make_clients(storage, webhook_allowed_hosts="localhost", function_app_resource_id=APP)
    prepare_storage(clients)
    use(clients, monkeypatch)
    return clients


def ask(function: Any, method: str, subscription: str = "", *, body: Any = None, key: str = "", **params: str) -> Any:
    return function(
        request(
            method,
            "/api/subscriptions",
            body=b"" if body is None else json.dumps(body).encode(),
            route={"id": subscription},
            params=params,
            headers={"idempotency-key": key} if key else None,
        )
    )


def make(url: str = URL, **more: Any) -> Any:
    response = ask(create, "POST", body={"url": url, **more})
    assert response.status_code == 201, response.get_body()
    return body_of(response)


def test_the_secret_is_told_when_a_subscription_is_made_and_never_again(clients: Clients) -> None:
    response = ask(create, "POST", body={"url": URL, "events": ["LabelLoop.ImageRejected"], "description": "ours"})
    made = body_of(response)
    assert (response.status_code, response.headers["Location"]) == (201, f"/api/subscriptions/{made['id']}")
    assert made.pop("secret").startswith("whsec_")
    assert made == {
        "id": made["id"],
        "url": "https://localhost:8443/…",
        "events": ["LabelLoop.ImageRejected"],
        "description": "ours",
        "state": "active",
        "reason": None,
        "created": made["created"],
        "last_success": None,
        "last_failure": None,
        "last_error": None,
        "failures": 0,
    }
    assert body_of(ask(get, "GET", made["id"])) == made
    assert body_of(ask(listed, "GET")) == {"subscriptions": [made], "next": None}
    assert body_of(ask(delete, "DELETE", made["id"])) == made
    assert body_of(ask(listed, "GET"))["subscriptions"] == []


def test_the_same_request_with_the_same_key_is_one(clients: Clients) -> None:
    first, again, other = (ask(create, "POST", body={"url": URL}, key=key) for key in ("k", "k", "l"))
    assert body_of(first) == body_of(again)
    assert body_of(first)["id"] != body_of(other)["id"]
    assert ask(create, "POST", body={"url": f"{URL}1"}, key="k").status_code == 422
    assert len(body_of(ask(listed, "GET"))["subscriptions"]) == 2


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://127.0.0.1/t0ken", "not public"),
        ("https://2130706433/t0ken", "not public"),
        ("https://[::ffff:127.0.0.1]/t0ken", "not public"),
        ("https://169.254.169.254/t0ken", "not public"),
        ("http://localhost/t0ken", "https"),
        ("https://me:t0ken@localhost/", "password"),
    ],
)
def test_a_url_that_nothing_may_be_delivered_to_is_refused_in_words(clients: Clients, url: str, words: str) -> None:
    response = ask(create, "POST", body={"url": url})
    problem = body_of(response)
    assert (response.status_code, problem["type"], problem["field"]) == (
        422,
        "urn:labelloop:problem:webhook-refused",
        "url",
    )
    assert words in problem["detail"]
    assert "t0ken" not in response.get_body().decode()


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "url"), ({"url": ""}, "url"), ({"url": URL, "events": ["Training"]}, "events"), ({"url": URL, "a": 1}, "a")],
)
def test_a_request_that_is_not_as_it_must_be_is_refused_by_the_fields_name(
    clients: Clients, body: Any, field: str
) -> None:
    response = ask(create, "POST", body=body)
    assert (response.status_code, body_of(response)["field"]) == (400, field)


def test_the_list_comes_in_pages_the_oldest_first(clients: Clients) -> None:
    ids = [make(f"{URL}{number}")["id"] for number in range(3)]
    first = body_of(ask(listed, "GET", limit="2"))
    second = body_of(ask(listed, "GET", limit="2", cursor=first["next"]))
    assert [each["id"] for each in (*first["subscriptions"], *second["subscriptions"])] == ids
    assert second["next"] is None


@pytest.mark.parametrize(("function", "method"), [(get, "GET"), (delete, "DELETE"), (rotate, "POST"), (trial, "POST")])
@pytest.mark.parametrize("name", ["0" * 24, "a#b/c?", "x"])
def test_a_subscription_that_there_is_not_is_told(clients: Clients, function: Any, method: str, name: str) -> None:
    assert ask(function, method, name).status_code == 404


def test_a_rotated_secret_is_told_once_with_the_time_that_the_old_one_is_good_for(clients: Clients) -> None:
    made = make()
    first, again = (body_of(ask(rotate, "POST", made["id"], key="k")) for _ in range(2))
    assert first == again, "the same request rotates once"
    assert first["secret"] != made["secret"]
    assert first["old_secret_until"] > made["created"]
    assert "secret" not in body_of(ask(get, "GET", made["id"]))


def test_a_test_is_delivered_by_the_queue(clients: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver(tmp_path) as receiver:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(receiver.certificate))
        made = make(receiver.url())
        response = ask(trial, "POST", made["id"])
        assert (response.status_code, response.headers["Location"]) == (202, f"/api/subscriptions/{made['id']}")
        (sent,) = clients.queue("webhooks").receive_messages()
        user_function(deliver_webhook)(message(sent.content))
    told = body_of(response)
    assert receiver.ids == [told["event"]]
    assert json.loads(receiver.deliveries[0].body)["data"] == {"subscription": made["id"]}
    now = body_of(ask(get, "GET", made["id"]))
    assert now["last_success"]
    assert {**now, "last_success": None} == told["subscription"]


def test_the_types_of_the_contract_are_those_that_are_announced() -> None:
    def leaves(kind: type) -> list[type]:
        below: list[type] = kind.__subclasses__()
        return [leaf for each in below for leaf in leaves(each)] if below else [kind]

    assert list(typing.get_args(EventType)) == sorted(
        f"LabelLoop.{kind.__name__}" for kind in leaves(events.Announcement)
    )
