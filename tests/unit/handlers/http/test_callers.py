"""Who calls, and whether they may."""

from __future__ import annotations

import base64
import json
from typing import Any

import azure.functions as func
import pytest

from handlers.http import Key
from handlers.http.callers import caller_of
from handlers.http.problems import HttpError
from tests.unit.handlers.support import request

EASY_AUTH = {"WEBSITE_AUTH_ENABLED": "True"}


def signed_in(*roles: str, provider: str = "aad", **claims: str) -> func.HttpRequest:
    """A request as Easy Auth passes it on."""
    told = [{"typ": name, "val": value} for name, value in claims.items()]
    told += [{"typ": "roles", "val": role} for role in roles]
    principal = {"auth_typ": provider, "claims": told, "name_typ": "name", "role_typ": "roles"}
    return with_header(base64.b64encode(json.dumps(principal).encode()).decode())


def with_header(value: str) -> func.HttpRequest:
    return request("GET", headers={"X-MS-CLIENT-PRINCIPAL": value})


def refused(req: func.HttpRequest, key: Key = Key.READ, environment: Any = EASY_AUTH) -> HttpError:
    with pytest.raises(HttpError) as refusal:
        caller_of(req, key, "entra", environment)
    return refusal.value


def test_with_keys_the_host_has_checked_and_the_caller_is_the_class_of_the_key() -> None:
    assert caller_of(request(), Key.OPERATE, "keys").name == "operate key"


def test_with_keys_a_header_that_anybody_can_send_says_nothing() -> None:
    assert caller_of(signed_in("LabelLoop.Operate", name="eve"), Key.READ, "keys", EASY_AUTH).name == "read key"


@pytest.mark.parametrize("auth", ["keys", "entra"])
def test_what_is_open_to_all_asks_nobody(auth: str) -> None:
    assert caller_of(request(), Key.ANONYMOUS, auth, {}).name == "anonymous"


@pytest.mark.parametrize("environment", [{}, {"WEBSITE_AUTH_ENABLED": "False"}])
def test_without_easy_auth_in_front_nobody_is_believed(environment: dict[str, str]) -> None:
    refusal = refused(signed_in("LabelLoop.Operate", name="eve"), environment=environment)
    assert refusal.kind.status == 500
    assert "has no App Service authentication" in str(refusal)


@pytest.mark.parametrize(
    ("role", "opens"),
    [
        ("LabelLoop.Read", {Key.READ}),
        ("LabelLoop.Score", {Key.READ, Key.SCORE}),
        ("LabelLoop.Operate", {Key.READ, Key.SCORE, Key.OPERATE}),
        ("LabelLoop.Other", set()),
    ],
)
def test_a_role_opens_its_class_and_those_below(role: str, opens: set[Key]) -> None:
    for key in (Key.READ, Key.SCORE, Key.OPERATE):
        if key in opens:
            assert caller_of(signed_in(role, name="Ada"), key, "entra", EASY_AUTH).name == "Ada"
        else:
            refusal = refused(signed_in(role, name="Ada"), key)
            assert refusal.kind.status == 403
            assert str(refusal).startswith("Ada has none of the app roles LabelLoop.")


def test_a_person_is_named_with_the_object_id_and_an_app_by_its_client_id() -> None:
    ada = signed_in("LabelLoop.Read", preferred_username="ada@example.org", oid="o-1")
    assert caller_of(ada, Key.READ, "entra", EASY_AUTH).name == "ada@example.org (o-1)"
    assert caller_of(signed_in("LabelLoop.Read", appid="c-1"), Key.READ, "entra", EASY_AUTH).name == "c-1"
    assert caller_of(signed_in("LabelLoop.Read"), Key.READ, "entra", EASY_AUTH).name == "somebody without a name"


@pytest.mark.parametrize(
    "req",
    [
        request(),
        with_header("no base64"),
        with_header(base64.b64encode(b"no JSON").decode()),
        with_header(base64.b64encode(b'{"claims": 1}').decode()),
        signed_in("LabelLoop.Operate", provider="facebook"),
    ],
)
def test_who_is_not_signed_in_to_entra_is_asked_to(req: func.HttpRequest) -> None:
    refusal = refused(req)
    assert refusal.kind.status == 401
    assert refusal.headers["WWW-Authenticate"] == "Bearer"
