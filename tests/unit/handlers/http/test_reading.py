"""What a request says, and what is wrong with it in words."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from handlers.contract.base import Asked
from handlers.http.problems import HttpError
from handlers.http.reading import content_of, json_of, path_of, query_of
from shared.errors import InvalidRequestError
from tests.unit.handlers.support import request


class Inner(Asked):
    name: str


class Sample(Asked):
    kind: Literal["training", "scoring"] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    share: Annotated[float, Meta(ge=0)] = 0.5
    is_on: bool = False
    since: dt.datetime | None = None
    day: dt.date | None = None
    names: Annotated[list[str], Meta(min_length=1, max_length=2)] | None = None
    text: Annotated[str, Meta(max_length=3, min_length=1)] | None = None
    inner: Inner | None = None


class Strict(Asked):
    needed: Annotated[str, Meta(extra={"expected": "a name"})]


def body(content: bytes, kind: type[msgspec.Struct] = Sample) -> msgspec.Struct:
    return json_of(content_of(request("POST", body=content), ("application/json",), 1000), kind)


def test_a_query_is_read_from_text() -> None:
    asked = query_of(
        request(params={"limit": "7", "is_on": "true", "since": "2026-11-24T06:00:00Z", "code": "key"}), Sample
    )
    since = dt.datetime(2026, 11, 24, 6, tzinfo=dt.UTC)
    assert asked == Sample(limit=7, is_on=True, since=since)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("kind", "baking", "training or scoring"),
        ("limit", "0", "a whole number from 1 to 200"),
        ("limit", "many", "a whole number from 1 to 200"),
        ("share", "-1", "a number of at least 0"),
        ("is_on", "maybe", "true or false"),
        ("since", "yesterday", "a time with its zone, e.g. 2026-11-24T06:00:00Z"),
        ("day", "Friday", "a date, e.g. 2026-11-24"),
        ("text", "long", "a text of at most 3 characters that is not empty"),
    ],
)
def test_a_wrong_parameter_is_refused_by_its_name_with_what_would_be_right(
    name: str, value: str, expected: str
) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        query_of(request(params={name: value}), Sample)
    assert refusal.value.field == name
    options = sorted(expected.split(" or "))
    found = str(refusal.value).removeprefix(f"{name} is {value!r}, but must be ")
    assert sorted(found.split(" or ")) == options


def test_an_unknown_parameter_is_refused_by_its_name() -> None:
    with pytest.raises(InvalidRequestError, match=r"the query has no field colour; there are kind, limit") as refusal:
        query_of(request(params={"colour": "red"}), Sample)
    assert refusal.value.field == "colour"
    with pytest.raises(InvalidRequestError, match="the query has x, but there is nothing to ask here"):
        query_of(request(params={"x": "1"}), None)
    assert query_of(request(params={"code": "key", "clientId": "default"}), None) is None


@pytest.mark.parametrize(
    ("content", "kind", "message", "field"),
    [
        (b"{", Sample, "the body is no JSON: ", "body"),
        (b"\xff", Sample, "the body is no JSON: ", "body"),
        (b"[1]", Sample, "the body is [1], but must be a JSON object", "body"),
        (b"{}", Strict, "needed is missing from the body", "needed"),
        (b'{"needed": 1}', Strict, "needed is 1, but must be a name", "needed"),
        (b'{"limit": "7"}', Sample, "limit is '7', but must be a whole number from 1 to 200", "limit"),
        (b'{"names": []}', Sample, "names is [], but must be a list of at least 1 and at most 2, each a text", "names"),
        (b'{"names": ["a", 1]}', Sample, "names is ['a', 1], but must be a list", "names"),
        (b'{"inner": 1}', Sample, "inner is 1, but must be an object", "inner"),
        (b'{"inner": {}}', Sample, "inner.name is missing from the body", "inner.name"),
        (b'{"inner": {"name": "a", "x": 1}}', Sample, "the body has no field inner.x", "inner.x"),
    ],
)
def test_a_wrong_body_is_refused_by_the_name_of_the_field(
    content: bytes, kind: type[msgspec.Struct], message: str, field: str
) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        body(content, kind)
    assert str(refusal.value).startswith(message)
    assert refusal.value.field == field


def test_what_is_wrong_is_shown_shortened() -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        body(b'{"limit": "' + 900 * b"x" + b'"}')
    assert len(str(refusal.value)) < 200


def test_no_body_is_an_empty_object() -> None:
    assert body(b"") == Sample()


@given(st.binary(max_size=200))
def test_no_body_is_more_than_refused(content: bytes) -> None:
    try:
        body(content)
    except InvalidRequestError as error:
        assert error.field  # noqa: PT017


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "json"])
def test_another_media_type_is_told_what_is_taken(media_type: str) -> None:
    with pytest.raises(HttpError) as refusal:
        content_of(request("POST", body=b"{}", content_type=media_type), ("application/json",), 1000)
    assert refusal.value.kind.status == 415
    assert refusal.value.headers == {"Accept": "application/json"}
    assert "it must be application/json" in str(refusal.value)


def test_parameters_of_a_media_type_and_its_case_do_not_matter() -> None:
    req = request("POST", body=b"x", content_type="Image/JPEG; charset=binary")
    assert content_of(req, ("image/*",), 1000).media_type == "image/jpeg"


def test_a_body_that_is_too_large_is_refused_with_both_sizes() -> None:
    with pytest.raises(HttpError, match="the body has 1,001 bytes; at most 1,000 are taken") as refusal:
        content_of(request("POST", body=bytes(1001)), (), 1000)
    assert refusal.value.kind.status == 413


def test_an_escaped_slash_in_the_rest_of_a_path_is_one() -> None:
    assert path_of(request(route={"path": "a%2Fb%2fc"}), ("path",)) == {"path": "a/b/c"}
