"""Which files are images, which stay as they are, and what the others are converted to."""

from __future__ import annotations

import io
import itertools
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared.errors import ImageRejectedError
from shared.images import CheckedImage, check_image, load_rgb
from tests.fuzz.samples import HEIGHT, WIDTH, encoded, picture, rotated, samples, see_through

SAMPLES = samples()
AS_IT_IS = {
    "JPEG rgb",
    "JPEG grey",
    "JPEG progressive",
    "JPEG restarts",
    "MPO",
    "PNG rgb",
    "PNG animated",
    "BMP rgb",
}
TURNED = {"JPEG turned", "WEBP lossy", "AVIF rgb", "HEIF rgb"}
OPAQUE_COLOURS = [
    name
    for name in SAMPLES
    if not any(word in name for word in ("grey", "alpha", "transparent", "key", "1 bit", "fax", "float"))
]


def check(content: bytes) -> CheckedImage:
    return check_image(content, max_megapixels=100)


def seen(content: bytes) -> Image.Image:
    """The image that is scored."""
    return load_rgb(check(content).prepared or content)


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of two RGB images, of 255."""
    assert one.size == other.size
    return float(np.abs(np.asarray(one, np.float32) - np.asarray(other, np.float32)).mean())


@pytest.mark.parametrize("name", SAMPLES)
def test_every_kind_of_image_is_taken_and_only_what_needs_it_is_converted(name: str) -> None:
    checked = check(SAMPLES[name])
    assert checked.format == name.partition(" ")[0]
    assert {checked.width, checked.height} == {WIDTH, HEIGHT}
    assert (checked.prepared is None) == (name in AS_IT_IS)
    if checked.prepared is not None:
        with Image.open(io.BytesIO(checked.prepared)) as converted:
            assert (converted.format, converted.mode) == ("JPEG", "RGB")
            assert sorted(converted.size) == [HEIGHT, WIDTH]
            assert converted.info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi"}


@pytest.mark.parametrize("name", OPAQUE_COLOURS)
def test_what_is_scored_is_what_a_person_sees(name: str) -> None:
    shown = picture().transpose(Image.Transpose.ROTATE_270) if name in TURNED else picture()
    assert difference(seen(SAMPLES[name]), shown) < 12


@pytest.mark.parametrize("name", [name for name in SAMPLES if "grey" in name or "float" in name])
def test_grey_is_scaled_from_black_to_white(name: str) -> None:
    pixels = np.asarray(seen(SAMPLES[name]))
    assert pixels.min() < 20
    assert pixels.max() > 200
    assert len(np.unique(pixels)) > 50, "clipped values would be few"


@pytest.mark.parametrize("name", [name for name in SAMPLES if "alpha" in name])
def test_transparency_is_put_on_white(name: str) -> None:
    expected = Image.new("RGB", (WIDTH, HEIGHT), "white")
    expected.paste(picture(), mask=see_through().getchannel("A"))
    assert difference(seen(SAMPLES[name]), expected) < 12


@pytest.mark.parametrize(
    "content",
    [
        encoded(Image.new("RGBA", (64, 48), (255, 0, 0, 0)), "PNG"),
        encoded(Image.new("LA", (64, 48), (0, 0)), "PNG"),
        encoded(Image.new("RGB", (64, 48), (1, 2, 3)), "PNG", transparency=(1, 2, 3)),
        encoded(Image.new("L", (64, 48), 7), "PNG", transparency=7),
        encoded(Image.new("RGB", (64, 48), "red").quantize(2), "PNG", transparency=0),
        encoded(Image.new("RGB", (64, 48), "red").quantize(2), "GIF", transparency=0),
    ],
)
def test_whatever_says_that_a_pixel_is_transparent_makes_it_white(content: bytes) -> None:
    assert seen(content).getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("pixels", "grey"),
    [
        (np.full((48, 64), 32768, np.uint16), 128),
        (np.full((48, 64), 0.5, np.float32), 255),
        (np.full((48, 64), np.inf, np.float32), 255),
        (np.full((48, 64), np.nan, np.float32), 0),
        (np.zeros((48, 64), np.float32), 0),
        (np.full((48, 64), 70_000, np.int32), 255),
        (np.full((48, 64), 32768, np.int32), 128),
        (np.full((48, 64), -5, np.int32), 0),
    ],
)
def test_deep_grey_is_scaled_to_its_top(pixels: Any, grey: int) -> None:
    content = encoded(Image.fromarray(pixels), "TIFF")
    assert seen(content).getpixel((5, 5)) == pytest.approx((grey, grey, grey), abs=2)


@pytest.mark.parametrize("orientation", range(10))
def test_every_orientation_is_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(picture(), "JPEG", quality=95, exif=exif)
    shown = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(orientation)
    assert (check(content).prepared is None) == (shown is None)
    assert difference(seen(content), picture() if shown is None else picture().transpose(shown)) < 12


def test_exif_data_that_cannot_be_read_turn_nothing() -> None:
    content = encoded(picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert check(content).prepared is None


def test_no_metadata_is_copied() -> None:
    content = encoded(picture(), "JPEG", exif=rotated(), comment=b"a secret comment", dpi=(300, 300), xmp=b"<secret/>")
    prepared = check(content).prepared
    assert prepared is not None
    assert b"secret" in content
    assert b"secret" not in prepared


@pytest.mark.parametrize(("name", "brand"), [("HEIF rgb", b"heic"), ("AVIF rgb", b"avif")])
def test_a_file_that_names_its_codec_only_among_its_other_brands_is_taken(name: str, brand: bytes) -> None:
    content = SAMPLES[name]
    assert content[8:12] == brand
    renamed = content[:8] + b"mif1" + content[12:]
    assert brand in renamed[16:64]
    assert seen(renamed).tobytes() == seen(content).tobytes()


@pytest.mark.parametrize("name", SAMPLES)
def test_frames_after_the_first_are_noted(name: str) -> None:
    notes = check(SAMPLES[name]).notes
    several = any(word in name for word in ("animated", "pages", "several"))
    assert notes == (("only the first of several frames is looked at",) if several else ())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"hello, this is text", "not an image; taken are JPEG, .*HEIF$"),
        (b"BMW makes cars, and has done so for years", "the image is damaged"),
        (b"\xff\xd8\xff\xd9", "it begins like JPEG, but can't be read as such"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "not an image"),
        (b"RIFF\0\0\0\0WAVE", "not an image"),
        (SAMPLES["JPEG rgb"][:200], "damaged"),
        (SAMPLES["PNG rgb"][:60], "damaged"),
        (b"II+\0\x08\0\0\0" + b"\xff" * 100, "damaged"),
        (encoded(picture(), "PPM"), "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "not an image"),
    ],
    # Named by their numbers: an encoded profile has the time in it.
    ids=itertools.count(),
)
def test_what_is_no_image_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(ImageRejectedError, match=reason):
        check(content)


def test_loading_gives_rgb_or_the_reason() -> None:
    assert load_rgb(SAMPLES["JPEG grey"]).mode == "RGB"
    with pytest.raises(ImageRejectedError, match="not an image"):
        load_rgb(b"nothing")
    with pytest.raises(ImageRejectedError, match="damaged"):
        load_rgb(SAMPLES["JPEG rgb"][:-200])
