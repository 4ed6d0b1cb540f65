"""Answers: JSON, ETags, and what the client accepts."""

from __future__ import annotations

import datetime as dt

import pytest

from handlers.http.answers import Answer, check_accept, respond
from handlers.http.problems import HttpError
from tests.unit.handlers.support import body_of


def test_json_is_answered_unescaped_with_times_in_utc() -> None:
    time = dt.datetime(2026, 11, 24, 6, tzinfo=dt.UTC)
    response = respond(Answer({"label": "Äpfel", "time": time}, 202, {"Location": "/api/x"}), is_read=False)
    assert (response.status_code, response.mimetype) == (202, "application/json")
    assert response.headers["Location"] == "/api/x"
    assert response.get_body().decode() == '{"label":"Äpfel","time":"2026-11-24T06:00:00Z"}'
    assert response.headers["Cache-Control"] == "no-store"


def test_a_read_has_an_etag_of_its_content() -> None:
    first, same, other = (respond(Answer(body), is_read=True) for body in ({"a": 1}, {"a": 1}, {"a": 2}))
    assert first.headers["ETag"] == same.headers["ETag"] != other.headers["ETag"]
    assert first.headers["ETag"].startswith('"')
    assert body_of(first) == {"a": 1}


@pytest.mark.parametrize("given", ["{tag}", "W/{tag}", '"x", {tag}', "*"])
def test_what_the_client_has_is_not_sent_again(given: str) -> None:
    tag = respond(Answer({"a": 1}), is_read=True).headers["ETag"]
    response = respond(Answer({"a": 1}), is_read=True, none_match=given.format(tag=tag))
    assert (response.status_code, response.get_body(), response.headers["ETag"]) == (304, b"", tag)


def test_what_has_changed_is_sent() -> None:
    assert respond(Answer({"a": 2}), is_read=True, none_match='"x"').status_code == 200


def test_what_is_not_there_yet_has_no_etag() -> None:
    assert "ETag" not in respond(Answer({}, 503), is_read=True, none_match="*").headers


def test_bytes_are_answered_as_they_are() -> None:
    response = respond(Answer(b"\xff\xd8", media_type="image/jpeg"), is_read=True)
    assert (response.get_body(), response.mimetype) == (b"\xff\xd8", "image/jpeg")


@pytest.mark.parametrize(
    "accept",
    [None, "", "*/*", "application/json", "application/*;q=0.5", "text/html, */*;q=0.1", "APPLICATION/JSON; q=1"],
)
def test_a_client_that_accepts_json_is_answered(accept: str | None) -> None:
    check_accept(accept, ["application/json"])


@pytest.mark.parametrize("accept", ["text/html", "image/*", "application/json;q=0", "*/*, application/json;q=0"])
def test_a_client_that_accepts_nothing_that_there_is_gets_406(accept: str) -> None:
    with pytest.raises(HttpError, match="but the answer is application/json") as refusal:
        check_accept(accept, ["application/json"])
    assert refusal.value.kind.status == 406
