"""Thumbnails over HTTP, on real storage."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image as Pillow

from handlers.routes.thumbnails import thumbnail as thumbnail_route
from shared.clients import Clients
from shared.errors import ImageRejectedError
from shared.ledger import Image, Ledger
from shared.thumbnails import shrunk
from tests.support import drop_image, encoded, plain_jpeg
from tests.unit.handlers.support import body_of, request, user_function

thumbnail = user_function(thumbnail_route)


def ask(path: str, size: str = "", **headers: str) -> Any:
    params = {"size": size} if size else None
    return thumbnail(request(path=f"/api/thumbnails/{path}", route={"path": path}, params=params, headers=headers))


def picture(answer: Any) -> Pillow.Image:
    assert (answer.status_code, answer.mimetype) == (200, "image/jpeg")
    return Pillow.open(io.BytesIO(answer.get_body()))


def test_an_image_is_shown_small_and_never_larger_than_it_is(clients: Clients) -> None:
    drop_image(clients, "2026/a.jpg", plain_jpeg(size=(1600, 800)))
    assert picture(ask("2026/a.jpg")).size == (256, 128)
    assert picture(ask("2026/a.jpg", "1024")).size == (1024, 512)
    drop_image(clients, "small.jpg", plain_jpeg(size=(40, 20)))
    assert picture(ask("small.jpg")).size == (40, 20)


def test_a_thumbnail_that_the_client_has_is_not_made_again(clients: Clients) -> None:
    drop_image(clients, "a.jpg", plain_jpeg())
    first = ask("a.jpg")
    again = ask("a.jpg", **{"if-none-match": first.headers["ETag"]})
    assert (again.status_code, again.get_body()) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"] != ask("a.jpg", "64").headers["ETag"]
    drop_image(clients, "a.jpg", plain_jpeg((0, 255, 0)))
    assert ask("a.jpg", **{"if-none-match": first.headers["ETag"]}).status_code == 200


def test_what_was_converted_for_the_model_is_what_is_shown(clients: Clients) -> None:
    etag = drop_image(clients, "a.tif", encoded(Pillow.new("RGB", (64, 64), (255, 0, 0)), "TIFF"))
    prepared = clients.blobs.get_blob_client(clients.settings.work_container, "prepared/a.jpg")
    made = str(prepared.upload_blob(plain_jpeg((0, 0, 255), (64, 64)))["etag"]).strip('"')
    image = Image("images", "a.tif", etag, clients.settings.work_container, "prepared/a.jpg", made)
    Ledger(clients.tables).record_arrival(image, lambda: etag)
    red, _, blue = picture(ask("a.tif")).getpixel((32, 32))  # type: ignore[misc] # of an RGB image
    assert blue > red
    prepared.delete_blob()
    red, _, blue = picture(ask("a.tif")).getpixel((32, 32))  # type: ignore[misc]
    assert red > blue


def test_no_image_and_a_wrong_size_are_problems(clients: Clients) -> None:
    assert ask("gone.jpg").status_code == 404
    drop_image(clients, "text.jpg", b"text")
    assert ask("text.jpg").status_code == 422
    assert ask("text.jpg", "5000").status_code == 400
    assert "from 16 to 1024" in body_of(ask("text.jpg", "5000"))["detail"]


def test_a_thumbnail_is_upright() -> None:
    turned = Pillow.new("RGB", (400, 200))
    exif = Pillow.Exif()
    exif[0x0112] = 6
    small = Pillow.open(io.BytesIO(shrunk(encoded(turned, exif=exif), 100, max_megapixels=10)))
    assert small.size == (50, 100)


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "I;16"])
def test_every_kind_of_pixel_is_shown(mode: str) -> None:
    content = encoded(Pillow.new(mode, (300, 150)), "PNG")
    assert Pillow.open(io.BytesIO(shrunk(content, 60, max_megapixels=10))).size == (60, 30)


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(ImageRejectedError, match="at most 1 megapixels"):
        shrunk(plain_jpeg(size=(1200, 1000)), 256, max_megapixels=1)
