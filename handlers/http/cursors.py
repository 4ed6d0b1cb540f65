"""Pages of a list: where the next one begins, as an opaque text that is good for that list alone."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from shared.errors import InvalidRequestError

DEFAULT_LIMIT, MAX_LIMIT = 50, 200

T = TypeVar("T")
P = TypeVar("P")


class PageQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which page of a list."""

    cursor: Annotated[
        str | None,
        Meta(description="where the page begins: `next` of the page before", extra={"expected": "`next` of a page"}),
    ] = None
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="how many at most")] = DEFAULT_LIMIT


def encode_cursor(scope: str, position: Any) -> str:
    """The text for a position, which is anything that msgspec can write. `scope` names the list, with whatever
    filters a position depends on.
    """
    content = msgspec.json.encode((scope, position))
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def decode_cursor(scope: str, cursor: str | None, kind: type[P]) -> P | None:
    """The position that `encode_cursor` was given, None without a cursor. A cursor comes from outside: whoever uses
    the position must not trust it further than `kind` goes.

    Raises InvalidRequestError for anything that is no cursor of this list.
    """
    if not cursor:
        return None
    try:
        content = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        found_scope, position = msgspec.json.decode(content, type=tuple[str, kind])  # type: ignore[valid-type]
    except (ValueError, binascii.Error, msgspec.DecodeError):
        found_scope, position = None, None
    if found_scope != scope:
        raise InvalidRequestError("cursor is none of this list's; take it from `next` of the page before", "cursor")
    return position


def page_of(items: Sequence[T], query: PageQuery, scope: str, key: Callable[[T], str]) -> tuple[list[T], str | None]:
    """A page of a list that is at hand as a whole, and the cursor of the next. `key` names an item; a page begins
    after the item that the one before ended with. Raises InvalidRequestError when that is gone.
    """
    last = decode_cursor(scope, query.cursor, str)
    begin = 0
    if last is not None:
        begin = next((index + 1 for index, each in enumerate(items) if key(each) == last), -1)
        if begin < 0:
            raise InvalidRequestError("cursor points at something that is gone; begin anew without it", "cursor")
    page = list(items[begin : begin + query.limit])
    more = begin + len(page) < len(items)
    return page, encode_cursor(scope, key(page[-1])) if page and more else None
