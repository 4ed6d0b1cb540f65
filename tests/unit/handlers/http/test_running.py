"""From a request to an answer: what all routes have in common."""

from __future__ import annotations

import azure.functions as func
import msgspec
import pytest

from handlers.contract.base import Asked, Told
from handlers.http import Answer, Caller, Key
from handlers.http.running import run
from handlers.http.table import Api
from shared.clients import Clients
from tests.unit.handlers.support import body_of, request

api = Api()
done: list[str] = []


class Question(Asked):
    name: str


class Query(Asked):
    loud: bool = False


class Greeting(Told):
    text: str


@api.post("greet/{whom}", Key.SCORE, query=Query, body=Question, answers={201: Greeting}, is_repeatable=True)
def greet(whom: str, query: Query, body: Question, caller: Caller) -> Answer:
    """Greet somebody."""
    done.append(whom)
    text = f"{body.name} greets {whom}"
    return Answer(Greeting(text=(text.upper() if query.loud else text) + f" ({caller.name})"), 201)


@api.get("greetings", Key.READ)
def greetings() -> Greeting:
    """All greetings."""
    return Greeting(text="hello")


@api.get("broken", Key.READ)
def broken() -> Greeting:
    """Never right."""
    return msgspec.convert({"text": "x", "more": 1}, Greeting)


def post(**options: object) -> func.HttpResponse:
    told = {"body": b'{"name": "Ada"}', "content_type": "application/json", "route": {"whom": "Bob"}, **options}
    return run(greet, request("POST", "/api/greet/Bob", **told))  # type: ignore[arg-type] # as `request` takes them


def test_a_handler_gets_what_its_parameters_name() -> None:
    response = post(params={"loud": "true"})
    assert response.status_code == 201
    assert body_of(response) == {"text": "ADA GREETS BOB (score key)"}


def test_a_repeated_request_with_a_key_is_carried_out_once(clients: Clients) -> None:
    done.clear()
    for _ in range(2):
        assert post(headers={"Idempotency-Key": "k"}).status_code == 201
    assert done == ["Bob"]


def test_a_repeated_request_without_a_key_is_carried_out_again() -> None:
    done.clear()
    for _ in range(2):
        post()
    assert done == ["Bob", "Bob"]


def test_a_read_is_answered_304_to_who_has_it() -> None:
    tag = run(greetings, request()).headers["ETag"]
    assert run(greetings, request(headers={"If-None-Match": tag})).status_code == 304


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"body": b"{}"}, 400),
        ({"params": {"x": "1"}}, 400),
        ({"content_type": "text/plain"}, 415),
        ({"body": b'"' + bytes(2_000_000) + b'"'}, 413),
        ({"headers": {"accept": "text/html"}}, 406),
    ],
)
def test_a_wrong_request_is_a_problem(options: dict[str, object], status: int) -> None:
    response = post(**options)
    assert (response.status_code, response.mimetype) == (status, "application/problem+json")


def test_an_answer_that_the_contract_does_not_tell_of_is_a_defect(caplog: pytest.LogCaptureFixture) -> None:
    assert run(broken, request("GET", "/api/broken?code=secret")).status_code == 500
    assert caplog.records[0].getMessage() == "GET https://app.example/api/broken"


def test_with_entra_who_is_not_signed_in_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_AUTH", "entra")
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")
    done.clear()
    assert post().status_code == 401
    assert done == []
