"""What the handlers of images do with events and messages in the form in which Azure sends them, on real storage."""

from __future__ import annotations

import json
from typing import Any

import pytest

from handlers.images import image_found, image_found_poisoned, image_poisoned, image_too_large, sweep_images
from shared.clients import Clients
from shared.ledger import Image, Ledger
from shared.sweep import FoundImage, message_of
from tests.support import drop_image, plain_jpeg
from tests.unit.handlers.support import blob_created, message, user_function

# As Microsoft.Azure.WebJobs.Extensions.Storage.Blobs writes it: BlobTriggerMessage, indented.
POISON = {
    "Type": "BlobTrigger",
    "FunctionId": "Host.Functions.image_landed",
    "BlobType": "BlockBlob",
    "ContainerName": "images",
    "BlobName": "2026/ä b.jpg",
    "ETag": '"0x8DEB0A5B4C0D000"',
}
PATH = str(POISON["BlobName"])


def poisoned(**changes: Any) -> None:
    user_function(image_poisoned)(message(json.dumps({**POISON, **changes}, indent=2)))


def waiting(clients: Clients) -> list[Image]:
    return [each.image for each in Ledger(clients.tables).waiting(100).images]


def test_an_image_that_could_not_be_taken_in_waits_for_the_row_that_says_so(clients: Clients) -> None:
    etag = drop_image(clients, PATH, plain_jpeg())
    poisoned(ETag=f'"{etag}"')
    (image,) = waiting(clients)
    assert (image.path, image.etag) == (PATH, etag)
    assert image.error == "the image could not be taken in; the app's log says why"


@pytest.mark.parametrize("etag", [None, ""])
def test_a_message_that_does_not_tell_the_etag_is_about_what_is_there(clients: Clients, etag: str | None) -> None:
    present = drop_image(clients, PATH, plain_jpeg())
    poisoned(ETag=etag)
    assert [image.etag for image in waiting(clients)] == [present]


def test_a_content_that_has_replaced_the_poisoned_one_is_not_given_up(clients: Clients) -> None:
    drop_image(clients, PATH, plain_jpeg())
    poisoned()
    assert Ledger(clients.tables).history("images", PATH) == []
    drop_image(clients, "huge.tif", plain_jpeg())
    user_function(image_too_large)(blob_created("images", "huge.tif", etag="0x1", size=250_000_000))
    assert waiting(clients) == []


def test_a_poisoned_image_that_was_taken_in_after_all_stays_as_it_is(clients: Clients) -> None:
    etag = drop_image(clients, PATH, plain_jpeg())
    user_function(image_found)(message(message_of([FoundImage(PATH, etag)])))
    (before,) = waiting(clients)
    poisoned(ETag=etag)
    assert waiting(clients) == [before]
    assert before.error == ""


def test_a_found_image_that_could_not_be_taken_in_waits_for_the_row_that_says_so(clients: Clients) -> None:
    etag = drop_image(clients, PATH, plain_jpeg())
    user_function(image_found_poisoned)(message(message_of([FoundImage(PATH, etag), FoundImage("b", "0x1")])))
    assert {image.path: image.error for image in waiting(clients)} == dict.fromkeys(
        (PATH, "b"), "the image could not be taken in; the app's log says why"
    )


def test_the_timer_sweeps(clients: Clients) -> None:
    drop_image(clients, PATH, plain_jpeg())
    user_function(sweep_images)(None)
    user_function(sweep_images)(None)
    state = clients.blobs.get_blob_client("labelloop", "sweep/state.json").download_blob().readall()
    assert json.loads(state)["since"]
