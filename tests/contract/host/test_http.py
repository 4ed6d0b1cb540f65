"""HTTP triggers: keys, routes, bodies, answers, and several at once."""

from __future__ import annotations

import http.client
import json
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from local.functions_host.keys import load_or_create_keys
from tests.contract.host.support import RunningHost


def test_an_anonymous_function_needs_no_key(host: RunningHost) -> None:
    assert host.request("GET", "/api/echo").status_code == 201


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("with-key", None, 401),
        ("with-key", "wrong", 401),
        ("with-key", "function", 200),
        ("with-key", "master", 200),
        ("with-master", "function", 401),
        ("with-master", "master", 200),
    ],
)
def test_a_key_opens_what_its_level_allows(host: RunningHost, path: str, key: str | None, status: int) -> None:
    value = host.keys.get(key or "", key or "")
    assert host.request("GET", f"/api/{path}", headers={"x-functions-key": value}).status_code == status
    assert host.request("GET", f"/api/{path}?code={value}").status_code == status


def test_a_key_of_a_function_opens_that_one_alone_and_outlives_the_host(host: RunningHost) -> None:
    admin = {"x-functions-key": host.keys["master"]}
    path = "/admin/functions/with_key/keys"
    assert host.request("PUT", f"{path}/score", json={"name": "score", "value": "s1"}).status_code == 401
    made = host.request("PUT", f"{path}/score", json={"name": "score", "value": "s1"}, headers=admin)
    assert (made.status_code, made.json()) == (201, {"name": "score", "value": "s1"})
    assert host.request("PUT", f"{path}/score", json={"value": "s2"}, headers=admin).status_code == 200
    assert host.request("GET", path, headers=admin).json() == {"keys": [{"name": "score", "value": "s2"}]}
    for target, key, status in [("with-key", "s2", 200), ("with-key", "s1", 401), ("with-master", "s2", 401)]:
        assert host.request("GET", f"/api/{target}", headers={"x-functions-key": key}).status_code == status
    kept = json.loads((host.folder / "keys.json").read_text())
    assert kept["functions"] == {"with_key": {"score": "s2"}}
    assert load_or_create_keys(host.folder / "keys.json").allows("function", "s2", "with_key")


def test_keys_of_what_is_no_function_are_not_found(host: RunningHost) -> None:
    admin = {"x-functions-key": host.keys["master"]}
    assert host.request("PUT", "/admin/functions/nothing/keys/score", json={}, headers=admin).status_code == 404
    assert host.request("DELETE", "/admin/functions/with_key/keys/score", headers=admin).status_code == 404
    wrong = host.request("PUT", "/admin/functions/with_key/keys/score", data=b"[]", headers=admin)
    assert wrong.status_code == 400


def test_without_a_key_the_answer_is_empty(host: RunningHost) -> None:
    response = host.request("GET", "/api/with-key")
    assert (response.status_code, response.content) == (401, b"")


def test_the_keys_are_for_their_owner_only(host: RunningHost) -> None:
    assert stat.S_IMODE((host.folder / "keys.json").stat().st_mode) == 0o600
    assert set(host.keys) == {"master", "function", "system", "functions"}
    assert set(host.keys["system"]) == {"blobs_extension", "eventgrid_extension"}


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("items/7/a/b%20c", {"id": "7", "rest": "a/b c"}),
        ("ITEMS/7", {"id": "7"}),
        ("items/-7/x/", {"id": "-7", "rest": "x"}),
    ],
)
def test_route_parameters_are_given(host: RunningHost, path: str, params: dict[str, str]) -> None:
    assert host.request("GET", f"/api/{path}").json() == params


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/items/seven"), ("GET", "/api/nothing"), ("GET", "/echo"), ("PUT", "/api/items/7")],
)
def test_what_no_route_takes_is_not_found_and_so_is_another_method(host: RunningHost, method: str, path: str) -> None:
    assert host.request(method, path).status_code == 404


def test_head_has_the_headers_but_no_body(host: RunningHost) -> None:
    response = host.request("HEAD", "/api/items/7")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["Content-Length"] == str(len('{"id": "7"}'))


def test_a_request_arrives_whole(host: RunningHost) -> None:
    body = bytes(range(256))
    response = host.request(
        "PATCH",
        "/api/echo?a=1&a=2&empty=",
        data=body,
        headers={"x-sample": "value", "Content-Type": "text/plain; charset=utf-8"},
    )
    assert response.headers["Content-Type"] == "application/json"
    assert response.json() == {
        "method": "PATCH",
        "body": body.hex(),
        "query": {"a": "1,2"},
        "header": "value",
        "url": f"{host.url}/api/echo?a=1&a=2&empty=",
    }


def test_bytes_come_back_as_they_were(host: RunningHost) -> None:
    body = bytes(range(256)) * 1000
    response = host.request("POST", "/api/bytes", data=body)
    assert (response.content, response.headers["Content-Type"]) == (body, "image/jpeg")


def test_each_cookie_has_a_header_of_its_own(host: RunningHost) -> None:
    address = urlsplit(host.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port)
    connection.request("GET", "/api/cookies")
    response = connection.getresponse()
    connection.close()
    assert response.headers.get_all("Set-Cookie") == [
        "first=1; path=/x; secure",
        "second=2; path=/; samesite=strict; httponly",
    ]
    assert response.headers["X-One"] == "1"


def test_an_exception_is_an_empty_500_and_its_trace_is_in_the_log(host: RunningHost) -> None:
    response = host.request("GET", "/api/fail")
    assert (response.status_code, response.content) == (500, b"")
    host.await_output("RuntimeError: this is what went wrong")
    assert 'raise RuntimeError("this is what went wrong")' in host.output()


def test_a_body_of_more_than_100_megabytes_is_refused(host: RunningHost) -> None:
    address = urlsplit(host.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port)
    connection.putrequest("POST", "/api/echo")
    connection.putheader("Content-Length", str(100 * 1024 * 1024 + 1))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize("path", ["meet", "meet-async"])
def test_functions_run_at_the_same_time(host: RunningHost, path: str) -> None:
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda _: host.request("GET", f"/api/{path}").text, range(2)))
    assert answers == ["met", "met"]


def test_what_a_function_prints_and_logs_carries_its_name(host: RunningHost) -> None:
    host.request("GET", "/api/talk")
    host.await_output("talk: said by print")
    host.await_output("WARNING talk: said by logging")


def test_an_answer_that_takes_too_long_is_a_gateway_timeout(slow: Callable[[], RunningHost]) -> None:
    running = slow()
    assert running.request("GET", "/api/wait").status_code == 504
    (running.folder / "release").touch()
    running.await_seen("wait", step="done")


def test_the_status_is_for_the_master_key(host: RunningHost) -> None:
    assert host.request("GET", "/admin/host/status").status_code == 401
    status = host.request("GET", "/admin/host/status", headers={"x-functions-key": host.keys["master"]}).json()
    assert (status["state"], status["id"], status["errors"]) == ("Running", "contract-tests", [])


def test_the_root_says_that_the_app_is_up(host: RunningHost) -> None:
    assert host.request("GET", "/").status_code == 200


def test_the_start_lists_every_function_with_its_trigger(host: RunningHost) -> None:
    before = host.output().partition("listening on ")[0]
    assert "items: httpTrigger [GET,HEAD] /api/items/{id:int}/{*rest} (anonymous)" in before
    assert "on_message: queueTrigger queue sample of DATA" in before
    assert "on_blob: blobTrigger blobs images/{folder}/{name}.jpg of DATA, by Event Grid" in before
    assert "each_year: timerTrigger schedule 0 0 0 1 1 *" in before
    names = {item["name"] for item in _functions(host)}
    assert all(f"{name}: " in before for name in names)


def _functions(host: RunningHost) -> list[dict[str, object]]:
    response = host.request("GET", "/admin/functions", headers={"x-functions-key": host.keys["master"]})
    functions: list[dict[str, object]] = json.loads(response.text)
    return functions
