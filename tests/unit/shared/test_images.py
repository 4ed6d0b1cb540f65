"""Which files are images, which are refused and why, and what is converted."""

import io

import numpy as np
import pytest
from PIL import Image

from shared.errors import ImageRejectedError
from shared.images import check_image, load_rgb
from tests.support import encoded, plain_jpeg


def check(content: bytes, max_megapixels: int = 100) -> Image.Image | None:
    """The converted image, or None when none was needed."""
    prepared = check_image(content, max_megapixels=max_megapixels).prepared
    return None if prepared is None else Image.open(io.BytesIO(prepared))


@pytest.mark.parametrize(
    "content",
    [
        plain_jpeg(),
        encoded(Image.new("L", (64, 48), 90)),
        encoded(Image.new("RGB", (64, 48)), "PNG"),
        encoded(Image.new("L", (64, 48)), "PNG"),
        encoded(Image.new("RGB", (64, 48)), "BMP"),
        encoded(Image.new("RGB", (64, 48)), progressive=True),
    ],
)
def test_what_every_loader_reads_alike_stays_as_it_is(content: bytes) -> None:
    checked = check_image(content, max_megapixels=100)
    assert checked.prepared is None
    assert checked.width > 0


@pytest.mark.parametrize(
    "content",
    [
        encoded(Image.new("CMYK", (64, 48), (0, 255, 255, 0))),
        encoded(Image.new("RGB", (64, 48), "red"), "WEBP", lossless=True),
        encoded(Image.new("RGB", (64, 48), "red"), "TIFF"),
        encoded(Image.new("P", (64, 48), 0), "GIF"),
        encoded(Image.new("RGB", (64, 48), "red").quantize(4), "PNG"),
    ],
)
def test_other_formats_become_rgb_jpegs_of_the_same_size(content: bytes) -> None:
    converted = check(content)
    assert converted is not None
    assert (converted.format, converted.mode, converted.size) == ("JPEG", "RGB", (64, 48))


def test_exif_orientation_is_applied_and_metadata_is_dropped() -> None:
    image = Image.new("RGB", (64, 48))
    exif = image.getexif()
    exif[0x0112] = 6
    exif[0x010E] = "a secret place"
    converted = check(encoded(image, exif=exif))
    assert converted is not None
    assert converted.size == (48, 64)
    assert not dict(converted.getexif())


def test_transparency_is_put_on_white() -> None:
    converted = check(encoded(Image.new("RGBA", (64, 48), (255, 0, 0, 0)), "PNG"))
    assert converted is not None
    assert converted.getpixel((5, 5)) == (255, 255, 255)


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    pixels = np.full((48, 64), 32768, dtype=np.uint16)
    converted = check(encoded(Image.fromarray(pixels), "PNG"))
    assert converted is not None
    grey = converted.getpixel((5, 5))
    assert isinstance(grey, tuple)
    assert 120 <= grey[0] <= 136


def test_floating_point_grey_is_scaled_to_its_top() -> None:
    converted = check(encoded(Image.fromarray(np.full((48, 64), 0.5, dtype=np.float32)), "TIFF"))
    assert converted is not None
    assert converted.getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"hello, this is text", "not an image; taken are JPEG"),
        (plain_jpeg()[:200], "the image is damaged"),
        (encoded(Image.new("RGB", (64, 48)), "PNG")[:60], "damaged"),
        (encoded(Image.new("RGB", (64, 48)), "PPM"), "not an image"),
    ],
)
def test_what_is_no_image_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(ImageRejectedError, match=reason):
        check_image(content, max_megapixels=100)


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(ImageRejectedError, match="has 1200 x 1000 px; at most 1 megapixels"):
        check_image(encoded(Image.new("1", (1200, 1000)), "PNG"), max_megapixels=1)


def test_a_decompression_bomb_is_refused() -> None:
    bomb = encoded(Image.new("1", (20_000, 20_000)), "PNG")
    with pytest.raises(ImageRejectedError, match="pixels"):
        check_image(bomb, max_megapixels=100)


def test_loading_gives_rgb_or_the_reason() -> None:
    assert load_rgb(encoded(Image.new("L", (10, 10)))).mode == "RGB"
    with pytest.raises(ImageRejectedError, match="can't be decoded"):
        load_rgb(b"nothing")
