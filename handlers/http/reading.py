"""What a request says: its query and its JSON body as typed values, other bodies as bytes."""

from collections.abc import Mapping
from typing import Any, TypeVar

import azure.functions as func
import msgspec

from handlers.http.problems import CONTENT_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, HttpError
from shared.errors import InvalidRequestError

JSON = "application/json"
IDEMPOTENCY_KEY = "Idempotency-Key"
MAX_JSON_BYTES = 1024 * 1024
# Names of the key of the host, and of who it belongs to, in a query: not the app's business.
HOST_PARAMETERS = frozenset({"code", "clientid"})

S = TypeVar("S", bound=msgspec.Struct)


class Content(msgspec.Struct, frozen=True):
    """A body that need not be JSON. `media_type` in lower case without parameters, empty when the client told none."""

    media_type: str
    body: bytes
    request: func.HttpRequest


def content_of(req: func.HttpRequest, media_types: tuple[str, ...], most_bytes: int) -> Content:
    """The body, if it is of one of the media types (`image/*` stands for all images) or of none, and not too large.
    Raises HttpError: 415, 413.
    """
    media_type = (req.headers.get("content-type") or "").partition(";")[0].strip().lower()
    body = req.get_body() or b""
    if len(body) > most_bytes:
        raise HttpError(
            CONTENT_TOO_LARGE, f"the body has {len(body):,} bytes; at most {most_bytes:,} are taken", field="body"
        )
    wildcard = media_type.partition("/")[0] + "/*"
    # Without a type the content itself tells: it is read as what the route takes. Where none is taken, none is read.
    if body and media_types and media_type and media_type not in media_types and wildcard not in media_types:
        known = " or ".join(media_types)
        raise HttpError(
            UNSUPPORTED_MEDIA_TYPE,
            f"Content-Type is {media_type!r}; it must be {known}",
            field="Content-Type",
            headers={"Accept": known.replace(" or ", ", ")},
        )
    return Content(media_type, body, req)


def query_of(req: func.HttpRequest, kind: type[S] | None) -> S | None:
    """The query as a struct, whose numbers and switches are read from text. Raises InvalidRequestError."""
    given = {name: value for name, value in req.params.items() if name.lower() not in HOST_PARAMETERS}
    if kind is None:
        if given:
            first = next(iter(given))
            raise InvalidRequestError(f"the query has {first}, but there is nothing to ask here", first)
        return None
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _explained(error, kind, given, "the query") from None


def json_of(content: Content, kind: type[S]) -> S:
    """A JSON body as a struct; no body is an empty object. Raises InvalidRequestError."""
    try:
        value = msgspec.json.decode(content.body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        why = str(error).removeprefix("JSON is malformed: ")
        raise InvalidRequestError(f"the body is no JSON: {why}", "body") from None
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _explained(error, kind, value, "the body") from None


def _explained(error: msgspec.ValidationError, kind: type[msgspec.Struct], value: Any, whole: str) -> Exception:
    from handlers.http.words import explained

    return explained(error, kind, value, whole)


def path_of(req: func.HttpRequest, names: tuple[str, ...]) -> Mapping[str, str]:
    """The parts of the path by name. In the rest of a path the host leaves `%2F` as it is; it stands for a slash."""
    return {name: req.route_params.get(name, "").replace("%2F", "/").replace("%2f", "/") for name in names}
