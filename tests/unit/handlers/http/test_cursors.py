"""Pages of lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.http import PageQuery, decode_cursor, encode_cursor, page_of
from shared.errors import InvalidRequestError


@given(st.tuples(st.text(), st.integers(-(2**53), 2**53)))
def test_a_cursor_keeps_its_position(position: tuple[str, int]) -> None:
    cursor = encode_cursor("images", position)
    assert cursor.isascii()
    assert not set(cursor) & set("+/=&?")
    assert decode_cursor("images", cursor, tuple[str, int]) == position


@given(st.text(min_size=1))
def test_anything_else_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidRequestError, match="cursor is none of this list's") as refusal:
        decode_cursor("images", cursor, str)
    assert refusal.value.field == "cursor"


def test_a_cursor_of_another_list_or_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidRequestError):
        decode_cursor("images", encode_cursor("batches", "a"), str)
    with pytest.raises(InvalidRequestError):
        decode_cursor("images", encode_cursor("images", 1), str)


@given(st.lists(st.integers(), unique=True, max_size=30), st.integers(1, 7))
def test_the_pages_of_a_list_are_the_list(items: list[int], limit: int) -> None:
    found: list[int] = []
    query = PageQuery(limit=limit)
    while True:
        page, following = page_of(items, query, "numbers", str)
        assert len(page) <= limit
        found += page
        if following is None:
            break
        query = PageQuery(cursor=following, limit=limit)
    assert found == items


def test_a_page_after_something_that_is_gone_says_so() -> None:
    _, following = page_of([1, 2, 3], PageQuery(limit=1), "numbers", str)
    with pytest.raises(InvalidRequestError, match="gone"):
        page_of([2, 3], PageQuery(cursor=following), "numbers", str)
