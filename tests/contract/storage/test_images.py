"""An image has landed: what is kept of it, on real storage."""

from __future__ import annotations

import dataclasses
import io
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from azure.core.exceptions import ResourceModifiedError
from azure.data.tables import UpdateMode
from azure.storage.blob import BlobBlock
from PIL import Image as Pillow

from shared.clients import Clients
from shared.image_pages import image_story
from shared.images import Rejection, receive_image, reject_event, reject_image
from shared.ledger import Batch, Image, Ledger, Settlement
from tests.contract.storage.unreliable import UnreliableClients, Writes
from tests.support import closed_later, drop_image, encoded, make_clients, plain_jpeg, prepare_storage

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


def test_what_of_a_file_is_not_used_is_told_in_its_story_however_often_it_is_batched(inbox: Inbox) -> None:
    frames = [Pillow.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    image = inbox.drop("a.gif", encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert image is not None
    assert inbox.waiting() == [image]
    assert image.notes == "only the first of several frames is looked at"
    (waiting,) = inbox.ledger.waiting(1).images
    inbox.ledger.open_batch(Batch("b1", "claiming", "inline", "", "m", "1", "models/m/1", "2026-11-24T12:00:00+00:00"))
    inbox.ledger.claim("b1", [waiting])
    inbox.ledger.settle("b1", [Settlement(dataclasses.replace(image, notes=""), "waiting")])
    (content,) = image_story(inbox.clients, inbox.ledger, "a.gif")["contents"]
    assert (content["state"], content["notes"]) == ("waiting", [image.notes])


def test_an_image_that_an_older_version_has_noted_has_no_notes(inbox: Inbox) -> None:
    image = inbox.drop("a.jpg", plain_jpeg())
    assert image is not None
    (waiting,) = inbox.ledger.waiting(1).images
    table = inbox.clients.tables.get_table_client("ledger")
    for key in (f"i:{image.key}", waiting.row_key):
        row = table.get_entity(image.partition, key)
        del row["notes"]
        table.update_entity(row, mode=UpdateMode.REPLACE)
    assert inbox.waiting() == [image]
    assert image_story(inbox.clients, inbox.ledger, "a.jpg")["contents"][0]["notes"] == []


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


class Overtaken(Writes):
    """Something happens right before blobs are read, as often as it is told. Counts the requests by method."""

    def __init__(self, happens: Callable[[], object], times: int = 1) -> None:
        super().__init__()
        self.methods: Counter[str] = Counter()
        self._happens, self._times = happens, times

    def send(self, request: Any, send: Callable[[], Any]) -> Any:
        self.methods[request.method] += 1
        if request.method == "GET" and "/images/" in request.url and self._times:
            self._times -= 1
            self._happens()
        return super().send(request, send)


@pytest.fixture
def overtaken(storage: str, inbox: Inbox) -> Callable[..., tuple[Overtaken, Image | None]]:
    """Receives `a.jpg`, of which a trigger has read something that is no longer there, while something happens."""

    def receive(happens: Callable[[], object], times: int = 1) -> tuple[Overtaken, Image | None]:
        requests = Overtaken(happens, times)
        clients = closed_later(UnreliableClients(inbox.clients.settings, storage, requests))
        ledger = Ledger(clients.tables)
        ledger.now()
        requests.methods.clear()
        return requests, receive_image(clients, ledger, "a.jpg", b"what it was before")

    return receive


def test_a_blob_that_is_replaced_while_it_is_read_is_taken_as_it_is_in_the_end(inbox: Inbox, overtaken: Any) -> None:
    drop_image(inbox.clients, "a.jpg", b"no image")
    etags: list[str] = []
    _, image = overtaken(lambda: etags.append(drop_image(inbox.clients, "a.jpg", plain_jpeg())))
    assert image == Image("images", "a.jpg", etags[0], "images", "a.jpg", etags[0])


def test_a_blob_that_vanishes_while_it_is_read_leaves_nothing(inbox: Inbox, overtaken: Any) -> None:
    drop_image(inbox.clients, "a.jpg", plain_jpeg())
    _, image = overtaken(inbox.clients.blobs.get_blob_client("images", "a.jpg").delete_blob)
    assert image is None
    assert inbox.waiting() == []


def test_a_blob_that_grows_too_large_while_it_is_read_is_not_read(inbox: Inbox, overtaken: Any) -> None:
    drop_image(inbox.clients, "a.jpg", plain_jpeg())
    requests, image = overtaken(lambda: drop_image(inbox.clients, "a.jpg", bytes(1_200_000)))
    assert image.error == "the file has 1.2 MB; at most 1 MB are taken"
    # The reading, which was refused, since the blob had changed; and whether anybody wants to hear of a rejection.
    assert requests.methods == {"HEAD": 2, "GET": 2, "POST": 1}


def test_a_blob_that_is_too_large_by_now_is_not_read(inbox: Inbox, overtaken: Any) -> None:
    drop_image(inbox.clients, "a.jpg", bytes(1_200_000))
    requests, image = overtaken(lambda: None)
    assert "1.2 MB" in image.error
    assert requests.methods == {"HEAD": 1, "GET": 1, "POST": 1}, "it is asked who wants to hear of it"


def test_a_blob_that_never_stays_the_same_is_left_to_the_next_try(inbox: Inbox, overtaken: Any) -> None:
    drop_image(inbox.clients, "a.jpg", plain_jpeg())
    with pytest.raises(ResourceModifiedError):
        overtaken(lambda: drop_image(inbox.clients, "a.jpg", plain_jpeg()), times=99)


def test_an_image_costs_a_look_at_its_blob_and_a_transaction(inbox: Inbox, storage: str) -> None:
    requests = Overtaken(lambda: None)
    clients = closed_later(UnreliableClients(inbox.clients.settings, storage, requests))
    drop_image(inbox.clients, "a.jpg", plain_jpeg())
    ledger = Ledger(clients.tables)
    ledger.now()
    requests.methods.clear()
    assert receive_image(clients, ledger, "a.jpg", plain_jpeg())
    assert requests.methods == {"HEAD": 1, "POST": 1}


def test_what_an_event_tells_of_an_older_content_is_done_with(inbox: Inbox) -> None:
    drop_image(inbox.clients, "a.jpg", plain_jpeg())
    assert reject_event(inbox.clients, inbox.ledger, Rejection("a.jpg", "0x1", "too large")) is None
    assert inbox.ledger.history("images", "a.jpg") == []


@pytest.mark.parametrize("told", ['"0x1"', "0x1"])
def test_what_an_event_tells_of_a_blob_that_is_gone_is_noted(inbox: Inbox, told: str) -> None:
    image = reject_event(inbox.clients, inbox.ledger, Rejection("a.jpg", told, "too large"))
    assert image is not None
    assert (image.etag, image.error) == ("0x1", "too large")


def test_an_event_that_does_not_tell_the_etag_is_about_what_is_there(inbox: Inbox) -> None:
    assert reject_event(inbox.clients, inbox.ledger, Rejection("a.jpg", "", "too large")) is None
    etag = drop_image(inbox.clients, "a.jpg", plain_jpeg())
    image = reject_event(inbox.clients, inbox.ledger, Rejection("a.jpg", "", "too large"))
    assert image is not None
    assert image.etag == etag
