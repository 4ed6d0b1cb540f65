"""Reading the images of a manifest shard, on real storage."""

from __future__ import annotations

import base64

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient, StandardBlobTier

from shared.clients import Clients
from shared.errors import ImageRejectedError
from shared.scoring import ManifestRow, read_images, read_manifest
from tests.support import drop_image, make_clients, prepare_storage


@pytest.fixture
def clients(storage: str) -> Clients:
    clients = make_clients(storage)
    prepare_storage(clients)
    return clients


def row(path: str, etag: str = "") -> ManifestRow:
    return ManifestRow(f"k:{path}", path, "images", path, etag)


def test_many_images_come_in_the_order_of_their_rows(clients: Clients) -> None:
    paths = [f"{number}.jpg" for number in range(40)]
    for path in paths:
        drop_image(clients, path, path.encode())
    assert list(read_images(clients.blobs, [row(path) for path in paths])) == [path.encode() for path in paths]


def test_an_image_whose_etag_is_known_is_read_as_it_was_or_not_at_all(clients: Clients) -> None:
    etag = drop_image(clients, "a.jpg", b"one")
    assert list(read_images(clients.blobs, [row("a.jpg", etag)])) == [b"one"]
    drop_image(clients, "a.jpg", b"two")
    (refused,) = read_images(clients.blobs, [row("a.jpg", etag)])
    assert isinstance(refused, ImageRejectedError)
    assert "replaced before it was scored" in str(refused)


def test_an_archived_image_fails_itself_alone(clients: Clients) -> None:
    drop_image(clients, "a.jpg", b"one")
    drop_image(clients, "b.jpg", b"two")
    clients.blobs.get_blob_client("images", "a.jpg").set_standard_blob_tier(StandardBlobTier.ARCHIVE)
    archived, other = read_images(clients.blobs, [row("a.jpg"), row("b.jpg")])
    assert isinstance(archived, ImageRejectedError)
    assert "can't be read: " in str(archived)
    assert other == b"two"


def test_missing_rights_are_not_the_images_fault(clients: Clients, storage: str) -> None:
    drop_image(clients, "a.jpg", b"one")
    wrong_key = base64.b64encode(b"1" * 32).decode()
    parts = dict(part.split("=", 1) for part in storage.split(";") if part)
    connection = ";".join(f"{name}={value}" for name, value in {**parts, "AccountKey": wrong_key}.items())
    with BlobServiceClient.from_connection_string(connection) as blobs, pytest.raises(HttpResponseError) as refusal:
        list(read_images(blobs, [row("a.jpg")]))
    assert refusal.value.status_code == 403


def test_a_path_with_any_character_survives_the_manifest() -> None:
    odd = row('2026/ä\u2028b\x85c "d".jpg')
    assert read_manifest(odd.to_json() + "\n" + row("b").to_json() + "\n") == [odd, row("b")]
