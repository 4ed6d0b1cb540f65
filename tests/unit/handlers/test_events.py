"""What handlers read out of storage events."""

from __future__ import annotations

import pytest

from handlers.events import BlobEvent, blob_event
from shared.errors import InvalidRequestError
from tests.unit.handlers.support import CONTAINERS, blob_created, event


def test_an_event_names_container_path_etag_and_size() -> None:
    decoded = blob_event(blob_created("images", "2026/a b/ä.jpg", etag="0x8D1", size=123))
    assert decoded == BlobEvent("images", "2026/a b/ä.jpg", "0x8D1", 123)


def test_an_event_without_etag_or_size_is_read_all_the_same() -> None:
    assert blob_event(event(f"{CONTAINERS}/c/blobs/p", {})) == BlobEvent("c", "p", "", 0)
    assert blob_event(event(f"{CONTAINERS}/c/blobs/p", {"contentLength": None})).size == 0


@pytest.mark.parametrize("subject", ["", "/blobServices/default/containers/c", f"{CONTAINERS}/c/blobs/", "models/m:1"])
def test_an_event_about_something_else_is_refused(subject: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"event event-1: its subject .* names no blob"):
        blob_event(event(subject, {}))
