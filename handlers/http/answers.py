"""Answers: JSON with an ETag, in a form that the client accepts."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import azure.functions as func
import msgspec

from handlers.http.problems import NOT_ACCEPTABLE, HttpError

JSON = "application/json"
# For pages that stand by themselves; whatever else might get into one must not run.
HTML_HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "X-Content-Type-Options": "nosniff",
}


class Answer(msgspec.Struct, frozen=True):
    """What a handler answers when it is more than a 200 with JSON. `body` is anything that msgspec writes, or bytes of
    the media type; None: no body.
    """

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    media_type: str = JSON


def as_answer(value: Any) -> Answer:
    """What a handler returned, as an answer."""
    return value if isinstance(value, Answer) else Answer(value)


def respond(answer: Answer, *, is_read: bool, none_match: str | None = None) -> func.HttpResponse:
    """The response. A read of something gets a strong ETag of its content and may be kept if it is asked for again;
    where the client has it already (`none_match`: If-None-Match), the answer is an empty 304.
    """
    content = answer.body if isinstance(answer.body, bytes) else b""
    if not isinstance(answer.body, bytes) and answer.body is not None:
        content = msgspec.json.encode(answer.body)
    headers = dict(answer.headers)
    status = answer.status
    if is_read and status == 200:
        tag = headers.setdefault("ETag", f'"{hashlib.sha256(content).hexdigest()[:32]}"')
        headers.setdefault("Cache-Control", "private, no-cache")
        if none_match and _matches(none_match, tag):
            content, status = b"", 304
    else:
        headers.setdefault("Cache-Control", "no-store")
    return func.HttpResponse(content, status_code=status, mimetype=answer.media_type, headers=headers)


def _matches(none_match: str, tag: str) -> bool:
    """RFC 9110, 13.1.2: by weak comparison."""
    given = [each.strip().removeprefix("W/") for each in none_match.split(",")]
    return "*" in given or tag.removeprefix("W/") in given


def check_accept(accept: str | None, media_types: Sequence[str]) -> None:
    """Raises HttpError (406) when a client accepts none of the media types; without a header it accepts all."""
    if not accept or not accept.strip():
        return
    ranges = [_range(each) for each in accept.split(",") if each.strip()]
    for media_type in media_types:
        # The most specific range counts (RFC 9110, 12.5.1).
        fitting = [(specific, quality) for name, specific, quality in ranges if _covers(name, media_type)]
        if fitting and max(fitting)[1] > 0:
            return
    raise HttpError(NOT_ACCEPTABLE, f"Accept is {accept!r}, but the answer is {' or '.join(media_types)}")


def _range(text: str) -> tuple[str, int, float]:
    """A media range: its name, how specific it is, its quality."""
    name, *parameters = (each.strip().lower() for each in text.split(";"))
    quality = next((each.removeprefix("q=") for each in parameters if each.startswith("q=")), "1")
    try:
        weight = float(quality)
    except ValueError:
        weight = 1.0
    return name, 2 - name.count("*"), weight


def _covers(name: str, media_type: str) -> bool:
    main, _, sub = name.partition("/")
    own_main, _, own_sub = media_type.partition("/")
    return main in {"*", own_main} and sub in {"*", own_sub}
