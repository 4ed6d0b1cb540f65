"""Colour profiles: what looks different by one is converted, what does not stays, and broken ones are let be."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image, ImageCms

from shared.images import check_image, load_rgb
from tests.fuzz.samples import encoded, picture
from tests.unit.shared.images.profiles import DISPLAY_P3, SRGB, grey_profile, rgb_profile

P3 = rgb_profile(DISPLAY_P3)
ORANGE = (230, 120, 40)
# By the matrix from Display P3 to sRGB in linear light: 1.2249 -0.2247 0 / -0.0420 1.0420 0 / -0.0197 -0.0786 1.0979.
ORANGE_IN_SRGB = (247, 113, 0)


def prepared(content: bytes) -> bytes | None:
    return check_image(content, max_megapixels=1).prepared


def orange(file_format: str, mode: str = "RGB", **options: Any) -> bytes:
    image = Image.new("RGB", (32, 32), ORANGE)
    return encoded(image.quantize(2) if mode == "P" else image.convert(mode), file_format, **options)


@pytest.mark.parametrize(
    "content",
    [
        orange("JPEG", quality=95, subsampling=0, icc_profile=P3),
        orange("PNG", icc_profile=P3),
        orange("WEBP", lossless=True, icc_profile=P3),
        orange("TIFF", icc_profile=P3),
        orange("AVIF", quality=95, subsampling="4:4:4", icc_profile=P3),
        orange("HEIF", quality=95, chroma=444, icc_profile=P3),
        orange("PNG", "RGBA", icc_profile=P3),
        orange("PNG", "P", icc_profile=P3),
    ],
)
def test_colours_of_a_wider_space_become_srgb(content: bytes) -> None:
    converted = prepared(content)
    assert converted is not None
    assert load_rgb(converted).getpixel((5, 5)) == pytest.approx(ORANGE_IN_SRGB, abs=6)


@pytest.mark.parametrize(
    "profile",
    [
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        rgb_profile(SRGB, 2.2),
        grey_profile(1.0),
        b"no profile",
        P3[:200],
        P3[:-200],
        bytes(5_000_000),
    ],
)
def test_a_profile_that_changes_nothing_or_cannot_be_used_leaves_the_image_where_it_is(profile: bytes) -> None:
    assert prepared(encoded(picture(), "JPEG", icc_profile=profile)) is None


def test_grey_with_another_curve_is_converted() -> None:
    grey = Image.new("L", (32, 32), 128)
    assert prepared(encoded(grey, "JPEG", icc_profile=grey_profile(2.2))) is None
    converted = prepared(encoded(grey, "JPEG", icc_profile=grey_profile(1.0)))
    assert converted is not None
    assert load_rgb(converted).getpixel((5, 5)) == pytest.approx((188, 188, 188), abs=2)


def test_a_broken_profile_of_an_image_that_is_converted_is_let_be() -> None:
    converted = prepared(orange("TIFF", icc_profile=b"no profile"))
    assert converted is not None
    assert load_rgb(converted).getpixel((5, 5)) == pytest.approx(ORANGE, abs=3)
