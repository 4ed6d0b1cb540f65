"""The table of routes against what the host registers, and what the host makes of it."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import azure.functions as func
import pytest

import handlers.api
from handlers.http import Key, Route, api
from handlers.http.document import document, path_in_document
from handlers.routes.unknown_paths import zz_unknown_path
from local.functions_host.routes import parse_route
from tests.unit.handlers.support import body_of, request

CATCH_ALL = "zz_unknown_path"


def triggers_of(blueprint: func.Blueprint) -> dict[str, dict[str, Any]]:
    functions: list[Any] = [each._function for each in blueprint._function_builders]
    return {str(each.get_function_name()): each.get_trigger().get_dict_repr() for each in functions}


@pytest.fixture(scope="module")
def triggers() -> dict[str, dict[str, Any]]:
    return triggers_of(handlers.api.blueprint)


def test_every_function_of_the_host_that_answers_http_is_a_row_of_the_table(triggers: dict[str, Any]) -> None:
    assert {name: trigger["route"] for name, trigger in triggers.items() if name != CATCH_ALL} == {
        route.name: route.path for route in api.routes
    }
    for route in api.routes:
        assert [each.value for each in triggers[route.name]["methods"]] == list(route.methods)
        level = "anonymous" if route.key is Key.ANONYMOUS else "function"
        assert triggers[route.name]["authLevel"].value == level


def test_with_entra_the_host_lets_everybody_through_and_the_app_asks() -> None:
    assert {each["authLevel"].value for each in triggers_of(api.blueprint("entra")).values()} == {"anonymous"}


def test_the_catch_all_is_the_last_that_the_host_tries(triggers: dict[str, Any]) -> None:
    assert max(triggers, key=str.lower) == CATCH_ALL


def sample(path: str) -> str:
    """A path of a template."""
    return "/".join("x" if part.startswith("{") else part for part in path.split("/"))


def test_no_route_hides_another_from_the_host() -> None:
    """The host takes the first in the order of the functions' names."""
    for one, other in itertools.permutations(api.routes, 2):
        if one.method == other.method and one.name.lower() < other.name.lower():
            assert parse_route(one.path).match(sample(other.path)) is None, (one.name, other.name)


@pytest.mark.parametrize("route", api.routes, ids=lambda route: route.name)
def test_a_route_tells_all_that_the_document_needs(route: Route) -> None:
    assert inspect.cleandoc(route.handler.__doc__ or "").partition("\n\n")[0].endswith((".", ".`"))
    fillable = {"query", "body", "content", "caller", "request", *route.path_names}
    assert set(route.parameters) <= fillable
    assert set(route.path_names) <= set(route.parameters)
    assert ("query" in route.parameters) == (route.query is not None)
    assert ("body" in route.parameters) == (route.body is not None)
    if route.method == "GET":
        assert route.key in {Key.READ, Key.ANONYMOUS}
    else:
        assert route.key in {Key.SCORE, Key.OPERATE}
    if 202 in route.answers or 201 in route.answers:
        assert route.method != "GET"


def test_the_document_has_every_route_once() -> None:
    told = document(api.routes, "keys")
    found = {
        (method.upper(), path, operation["operationId"])
        for path, methods in told["paths"].items()
        for method, operation in methods.items()
    }
    assert found == {(route.method, path_in_document(route), route.name) for route in api.routes}


@pytest.mark.parametrize("auth", ["keys", "entra"])
def test_every_operation_but_the_open_ones_asks_for_what_lets_one_in(auth: str) -> None:
    told = document(api.routes, auth)
    assert set(told["components"]["securitySchemes"]) == {auth}
    for path in told["paths"].values():
        for operation in path.values():
            is_open = operation["x-labelloop-key"] == "anonymous"
            assert operation["security"] == ([] if is_open else [{auth: operation["security"][0][auth]}])
            assert ("401" in operation["responses"]) != is_open


def test_answers_may_gain_fields_and_requests_may_not_have_unknown_ones() -> None:
    schemas = document(api.routes, "keys")["components"]["schemas"]
    assert schemas["ResourceDeletion"]["additionalProperties"] is False
    assert "additionalProperties" not in schemas["Job"]


def unknown(method: str, path: str) -> Any:
    return zz_unknown_path(request(method, f"/api/{path}", route={"path": path}))


def test_an_unknown_path_is_told_where_to_look() -> None:
    response = unknown("GET", "modles")
    assert response.status_code == 404
    assert body_of(response)["type"] == "urn:labelloop:problem:unknown-path"
    assert "/api/openapi.json" in body_of(response)["detail"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "models", "GET, HEAD, OPTIONS"),
        ("DELETE", "Models/7", "GET, HEAD, OPTIONS"),
        ("GET", "predict/", "POST, OPTIONS"),
        ("PATCH", "provision", "GET, HEAD, POST, OPTIONS"),
    ],
)
def test_another_method_is_told_which_there_are(method: str, path: str, allow: str) -> None:
    response = unknown(method, path)
    assert (response.status_code, response.headers["Allow"]) == (405, allow)
    assert method in body_of(response)["detail"]


def test_options_tells_the_methods() -> None:
    response = unknown("OPTIONS", "jobs/x/cancel")
    assert (response.status_code, response.headers["Allow"]) == (204, "POST, OPTIONS")


def test_all_modules_with_routes_are_in_the_api() -> None:
    modules = {inspect.getmodule(route.handler) for route in api.routes}
    assert modules <= set(handlers.api.MODULES)
