"""Route templates and paths, as ASP.NET Core reads them."""

from __future__ import annotations

import pytest

from local.functions_host.errors import FunctionInError
from local.functions_host.routes import decode_path, parse_route


@pytest.mark.parametrize(
    ("template", "path", "params"),
    [
        ("api/health", "API/Health", {}),
        ("api/{name}", "api/x", {"name": "x"}),
        ("api/{name}", "api/x/y", None),
        ("api/{name}", "api", None),
        ("api/{name?}", "api", {}),
        ("api/{name?}", "api/x/", {"name": "x"}),
        ("api/{page=1}", "api", {"page": "1"}),
        ("api/{page=1}", "api/2", {"page": "2"}),
        ("api/{*rest}", "api", {}),
        ("api/{*rest}", "api/a/b", {"rest": "a/b"}),
        ("{*rest}", "a/b", {"rest": "a/b"}),
        ("api/{id:int}", "api/12", {"id": "12"}),
        ("api/{id:int}", "api/3000000000", None),
        ("api/{id:long}", "api/3000000000", {"id": "3000000000"}),
        ("api/{id:int:min(5)}", "api/4", None),
        ("api/{id:int?}", "api", {}),
        ("api/{id:guid}", "api/x", None),
        ("api/{id:guid}", "api/d071b70c-a812-4b54-87d2-7769528e2814", {"id": "d071b70c-a812-4b54-87d2-7769528e2814"}),
        ("api/{name:alpha}.html", "api/page.html", {"name": "page"}),
        ("api/{name:length(2,3)}", "api/abcd", None),
        ("api/{name:regex(^a+$)}", "api/aaa", {"name": "aaa"}),
        ("api/{from}-{to}", "api/1-2", {"from": "1", "to": "2"}),
    ],
)
def test_a_path_matches(template: str, path: str, params: dict[str, str] | None) -> None:
    assert parse_route(template).match(path) == params


@pytest.mark.parametrize("template", ["api/{name", "api/{}", "api/{a}/{a}", "api/{a:nonsense}", "api/{a b}"])
def test_a_template_that_is_none_is_refused_by_name(template: str) -> None:
    with pytest.raises(FunctionInError, match="The route template"):
        parse_route(template)


def test_an_encoded_slash_stays_encoded() -> None:
    assert decode_path("a%20b/c%2fd") == "a b/c%2Fd"
