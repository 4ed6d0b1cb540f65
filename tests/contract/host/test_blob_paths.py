"""Blob URLs and the path patterns of blob triggers."""

from __future__ import annotations

import pytest

from local.functions_host.blobs import match_path, split_blob_url


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://acc.blob.core.windows.net/images/a/b%20c.jpg", ("images", "a/b c.jpg")),
        ("https://127.0.0.1:10000/acc/images/a/b.jpg", ("images", "a/b.jpg")),
        ("http://localhost:10000/acc/images/b.jpg", ("images", "b.jpg")),
    ],
)
def test_a_blob_url_names_container_and_blob(url: str, parts: tuple[str, str]) -> None:
    assert split_blob_url(url) == parts


@pytest.mark.parametrize("url", ["https://acc.blob.core.windows.net/images", "http://127.0.0.1/acc/images/", "x"])
def test_what_is_no_blob_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not the URL of a blob"):
        split_blob_url(url)


@pytest.mark.parametrize(
    ("pattern", "path", "names"),
    [
        ("images/{name}", "images/a/b.jpg", {"name": "a/b.jpg"}),
        ("images/{folder}/{name}.{ext}", "images/a/b.c.jpg", {"folder": "a", "name": "b.c", "ext": "jpg"}),
        ("images/{name}.jpg", "images/a.png", None),
        ("images", "images/any/thing", {}),
        ("images", "others/any", None),
        ("images/{x}/{x}", "images/a/a", {"x": "a"}),
    ],
)
def test_a_path_matches(pattern: str, path: str, names: dict[str, str] | None) -> None:
    assert match_path(pattern, path) == names
