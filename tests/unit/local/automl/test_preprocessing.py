"""AutoML's validation transform."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from local.automl.preprocessing import UnreadableImageError, crop, decode, to_planes


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("size", [(640, 480), (333, 777), (50, 20), (256, 256), (300, 256)])
def test_every_size_becomes_one_square(size: tuple[int, int]) -> None:
    assert crop(Image.new("RGB", size)).shape == (224, 224, 3)


def test_the_middle_is_kept_and_the_aspect_ratio_too() -> None:
    image = Image.new("RGB", (512, 256), "blue")
    image.paste("red", (128 + 16, 16, 128 + 16 + 224, 16 + 224))
    assert (crop(image) == (255, 0, 0)).all()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_every_mode_is_read_as_rgb(mode: str) -> None:
    kind = "TIFF" if mode == "CMYK" else "PNG"
    assert decode(encoded(Image.new(mode, (40, 30)), kind)).shape == (224, 224, 3)


def test_orientation_is_not_looked_at() -> None:
    image = Image.new("RGB", (300, 400), "white")
    image.paste("black", (0, 0, 300, 200))
    exif = Image.Exif()
    exif[0x0112] = 3
    pixels = decode(encoded(image, "JPEG", exif=exif.tobytes()))
    assert pixels[:80].mean() < 30
    assert pixels[-80:].mean() > 220


@pytest.mark.parametrize("data", [b"", b"no image", encoded(Image.new("RGB", (90, 90), "red"), "PNG")[:80]])
def test_broken_files_are_refused(data: bytes) -> None:
    with pytest.raises(UnreadableImageError):
        decode(data)


def test_planes_keep_values_and_move_channels() -> None:
    planes = to_planes(np.arange(2 * 2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 2, 3))
    assert planes.shape == (2, 3, 2, 2)
    assert planes.dtype == np.float32
    assert planes[0, :, 0, 0].tolist() == [0, 1, 2]
