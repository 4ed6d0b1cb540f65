"""An image has landed: what is kept of it, on real storage."""

from __future__ import annotations

import io
from typing import Any

import pytest
from azure.storage.blob import BlobBlock
from PIL import Image as Pillow

from shared.clients import Clients
from shared.images import Rejection, receive_image, reject_image
from shared.ledger import Image, Ledger
from tests.support import drop_image, encoded, make_clients, plain_jpeg, prepare_storage

ROTATED = 6


class Inbox:
    """The images container and the ledger behind it."""

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self.ledger = prepare_storage(clients)

    def receive(self, path: str, given: bytes) -> Image | None:
        """What the blob trigger calls, with the content that it has read."""
        return receive_image(self.clients, self.ledger, path, given)

    def drop(self, path: str, content: bytes) -> Image | None:
        drop_image(self.clients, path, content)
        return self.receive(path, content)

    def waiting(self) -> list[Image]:
        return [each.image for each in self.ledger.waiting(100).images]

    def prepared(self) -> list[str]:
        return list(self.clients.blobs.get_container_client("labelloop").list_blob_names(name_starts_with="prepared/"))

    def read(self, image: Image) -> bytes:
        blob = self.clients.blobs.get_blob_client(image.source_container, image.source_path)
        content: bytes = blob.download_blob().readall()
        return content


@pytest.fixture
def inbox(storage: str) -> Inbox:
    return Inbox(make_clients(storage, max_image_megabytes=1, max_image_megapixels=1))


def turned_photo() -> bytes:
    """A photo that lies on its side, as a camera writes it: 64 x 48 px, to be shown as 48 x 64."""
    photo = Pillow.new("RGB", (64, 48), "red")
    exif = photo.getexif()
    exif[0x0112] = ROTATED
    return encoded(photo, exif=exif)


def test_an_image_that_every_loader_reads_is_scored_where_it_lies(inbox: Inbox) -> None:
    etag = drop_image(inbox.clients, "2026/a.jpg", plain_jpeg())
    image = inbox.receive("2026/a.jpg", plain_jpeg())
    assert image == Image("images", "2026/a.jpg", etag, "images", "2026/a.jpg", etag)
    assert inbox.waiting() == [image]
    assert inbox.prepared() == []


def test_an_image_that_needs_it_is_converted_once_beside_the_original(inbox: Inbox) -> None:
    image = inbox.drop("a.jpg", turned_photo())
    assert image is not None
    assert (image.container, image.path) == ("images", "a.jpg")
    assert (image.source_container, image.source_etag) == ("labelloop", "")
    assert inbox.prepared() == [image.source_path]
    with Pillow.open(io.BytesIO(inbox.read(image))) as converted:
        assert converted.size == (48, 64)
    assert inbox.waiting() == [image]


def test_the_same_picture_under_two_names_is_converted_to_one_blob(inbox: Inbox) -> None:
    first, second = inbox.drop("a.jpg", turned_photo()), inbox.drop("b.jpg", turned_photo())
    assert first is not None
    assert second is not None
    assert first.source_path == second.source_path
    assert inbox.prepared() == [first.source_path]


@pytest.mark.parametrize("content", [plain_jpeg(), turned_photo(), b"no image"])
def test_the_same_event_again_changes_nothing(inbox: Inbox, content: bytes) -> None:
    assert inbox.drop("a.jpg", content) is not None
    before = inbox.waiting()
    assert inbox.receive("a.jpg", content) is None
    assert inbox.waiting() == before


def test_another_content_under_the_same_name_is_another_image(inbox: Inbox) -> None:
    first, second = inbox.drop("a.jpg", plain_jpeg()), inbox.drop("a.jpg", plain_jpeg((0, 0, 255)))
    assert first is not None
    assert second is not None
    assert first.etag != second.etag
    assert inbox.waiting() == [second]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"no image", "not an image"),
        (plain_jpeg()[:300], "damaged"),
        (encoded(Pillow.new("L", (1100, 1000))), "at most 1 megapixels"),
        (bytes(1_000_001), "the file has 1.0 MB; at most 1 MB are taken"),
    ],
)
def test_what_is_no_image_waits_with_its_reason(inbox: Inbox, content: bytes, reason: str) -> None:
    image = inbox.drop("x", content)
    assert image is not None
    assert reason in image.error
    assert inbox.waiting() == [image]
    assert inbox.prepared() == []


def test_a_blob_that_was_replaced_since_the_trigger_read_it_is_taken_as_it_is_now(inbox: Inbox) -> None:
    etag = drop_image(inbox.clients, "a.jpg", turned_photo())
    image = inbox.receive("a.jpg", given=plain_jpeg())
    assert image is not None
    assert image.etag == etag
    with Pillow.open(io.BytesIO(inbox.read(image))) as scored:
        assert scored.size == (48, 64), "the content and the etag belong together"


def test_a_blob_without_a_known_md5_is_read_again(inbox: Inbox) -> None:
    blob = inbox.clients.blobs.get_blob_client("images", "a.jpg")
    # A blob of several blocks has no MD5, unless its writer gave one.
    blob.stage_block("AAAA", plain_jpeg())
    blob.commit_block_list([BlobBlock("AAAA")])
    assert not blob.get_blob_properties().content_settings.content_md5
    image = inbox.receive("a.jpg", plain_jpeg())
    assert image is not None
    assert inbox.waiting() == [image]
    assert not image.error


def test_a_blob_that_is_gone_when_its_event_comes_leaves_nothing(inbox: Inbox) -> None:
    assert inbox.receive("gone.jpg", plain_jpeg()) is None
    assert inbox.waiting() == []


def test_a_rejection_is_noted_once_whatever_the_etag_looks_like(inbox: Inbox) -> None:
    def reject(etag: str) -> Image | None:
        rejection = Rejection("huge.tif", etag, "too large")
        return reject_image(inbox.clients, inbox.ledger, rejection)

    image = reject('W/"0x8D"')
    assert image is not None
    assert (image.etag, image.error) == ("0x8D", "too large")
    assert reject("0x8D") is None
    assert inbox.waiting() == [image]


def test_an_event_of_an_older_content_that_comes_late_does_not_supersede_the_newer_one(inbox: Inbox) -> None:
    newer = inbox.drop("a.jpg", plain_jpeg())
    rejection = Rejection("a.jpg", "0x1", "too large")
    assert reject_image(inbox.clients, inbox.ledger, rejection) is not None
    assert inbox.waiting() == [newer]
    assert {row["etag"]: row["state"] for row in inbox.ledger.history("images", "a.jpg")}["0x1"] == "superseded"


def test_of_two_contents_of_a_blob_that_is_gone_the_one_told_last_waits(inbox: Inbox) -> None:
    inbox.drop("a.jpg", plain_jpeg())
    inbox.clients.blobs.get_blob_client("images", "a.jpg").delete_blob()
    rejection = Rejection("a.jpg", "0x1", "too large")
    image = reject_image(inbox.clients, inbox.ledger, rejection)
    assert inbox.waiting() == [image]


def content(etag: str) -> Image:
    return Image("images", "a.jpg", etag, "images", "a.jpg", etag)


class OvertakenLedger(Ledger):
    """Another worker notes something right before the first transaction of this one."""

    def __init__(self, tables: Any, other: Image) -> None:
        super().__init__(tables)
        self._other: Image | None = other

    def _transact(self, operations: Any) -> None:
        other, self._other = self._other, None
        if other is not None:
            super().record_arrival(other, lambda: other.etag)
        super()._transact(operations)


def test_of_two_workers_with_the_same_event_one_notes_the_image(inbox: Inbox) -> None:
    assert not OvertakenLedger(inbox.clients.tables, content("0x1")).record_arrival(content("0x1"), lambda: "0x1")
    assert inbox.waiting() == [content("0x1")]


def test_of_two_contents_that_come_at_once_both_are_noted(inbox: Inbox) -> None:
    inbox.ledger.record_arrival(content("0x0"), lambda: "0x0")
    assert OvertakenLedger(inbox.clients.tables, content("0x1")).record_arrival(content("0x2"), lambda: "0x2")
    assert inbox.waiting() == [content("0x2")]
    assert {row["etag"]: row["state"] for row in inbox.ledger.history("images", "a.jpg")} == {
        "0x0": "superseded",
        "0x1": "superseded",
        "0x2": "waiting",
    }
