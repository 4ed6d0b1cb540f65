"""From an encoded image to a model's input: as the trainer does it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shared.errors import ImageRejectedError
from shared.preprocessing import MAX_RESIZED, Preprocessing, crop_of, decode, preprocess
from tests.support import encoded, plain_jpeg
from tests.unit.shared.torchvision.images import SCALES, SIZES, picture

RED, BLUE = (255, 0, 0), (0, 0, 255)
EXPECTED = json.loads((Path(__file__).parent / "torchvision" / "expected.json").read_text(encoding="utf-8"))


@contextlib.contextmanager
def at_once(_: int) -> Iterator[None]:
    yield


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", SIZES)
def test_an_input_is_bit_for_bit_what_torchvision_makes_of_the_image(
    size: tuple[int, int], scale: tuple[int, int]
) -> None:
    inputs = preprocess(picture(*size), Preprocessing(*scale))
    digest = hashlib.sha256(np.ascontiguousarray(inputs, "<f4").tobytes()).hexdigest()
    assert digest == EXPECTED["digests"][f"{size[0]}x{size[1]} to {scale[0]}, {scale[1]}"]


def test_the_comparison_with_torchvision_found_no_other_pixel_on_real_photographs() -> None:
    assert EXPECTED["real"]["images"] > 500
    assert EXPECTED["real"]["equal"] == EXPECTED["real"]["images"]


def test_pillow_is_the_one_that_torchvision_was_compared_with() -> None:
    assert PIL.__version__ == EXPECTED["versions"]["PIL"], "run tests/unit/shared/torchvision/make_expected.py again"


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "BMP"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_decoding_gives_the_pixels_that_pillow_gives(file_format: str, mode: str) -> None:
    content = encoded(picture(431, 310).convert(mode), file_format)
    expected = crop_of(Image.open(io.BytesIO(content)).convert("RGB"), Preprocessing())
    assert np.array_equal(decode(content, Preprocessing(), at_once), expected)


def test_a_large_photograph_is_decoded_at_its_full_size() -> None:
    image = picture(1200, 1100)
    content = encoded(image)
    draft = Image.open(io.BytesIO(content))
    draft.draft("RGB", (512, 512))
    how = Preprocessing()
    expected = crop_of(Image.open(io.BytesIO(content)).convert("RGB"), how)
    assert np.array_equal(decode(content, how, at_once), expected)
    assert not np.array_equal(crop_of(draft.convert("RGB"), how), expected), "this image would show the difference"


def test_room_is_asked_for_before_an_image_is_decoded() -> None:
    asked = []

    @contextlib.contextmanager
    def room(pixels: int) -> Iterator[None]:
        asked.append(pixels)
        raise MemoryError
        yield

    with pytest.raises(ImageRejectedError, match="can't be decoded: MemoryError"):
        decode(plain_jpeg(size=(320, 240)), Preprocessing(), room)
    assert asked == [320 * 240]


@pytest.mark.parametrize(
    "content",
    [b"", b"broken", plain_jpeg()[:200], b"GIF89a" + bytes(20), encoded(Image.new("RGB", (9, 9)), "PNG")[:45]],
)
def test_what_can_not_be_decoded_is_refused_with_a_reason(content: bytes) -> None:
    with pytest.raises(ImageRejectedError, match=r"the image can't be decoded: \S"):
        decode(content, Preprocessing(), at_once)


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    image = bytearray(encoded(Image.new("L", (8, 8)), "PNG"))
    header = image.index(b"IHDR")
    image[header + 4 : header + 12] = (60_000).to_bytes(4) * 2
    image[header + 17 : header + 21] = _crc(bytes(image[header : header + 17]))
    with pytest.raises(ImageRejectedError, match="exceeds limit"):
        decode(bytes(image), Preprocessing(), at_once)


def _crc(chunk: bytes) -> bytes:
    import zlib

    return zlib.crc32(chunk).to_bytes(4)


def test_a_normalised_square_of_the_centre_is_what_the_model_gets() -> None:
    image = Image.new("RGB", (512, 256), BLUE)
    image.paste(RED, (0, 0, 100, 256))
    inputs = preprocess(image, Preprocessing())
    assert inputs.shape == (3, 224, 224)
    assert inputs.dtype == np.float32
    np.testing.assert_allclose(inputs[2], (1 - 0.406) / 0.225, rtol=1e-5)
    np.testing.assert_allclose(inputs[0], (0 - 0.485) / 0.229, rtol=1e-5)


def test_a_model_that_normalises_by_itself_gets_values_from_0_to_255() -> None:
    inputs = preprocess(Image.new("RGB", (300, 500), RED), Preprocessing(normalise=False))
    assert inputs[0].min() == inputs[0].max() == 255.0
    assert inputs[1].max() == 0.0


def test_preprocessing_survives_its_card() -> None:
    how = Preprocessing(resize=300, normalise=False)
    assert Preprocessing.from_json(how.to_json()) == how


def test_a_very_long_image_is_cropped_without_resizing_all_of_it() -> None:
    panorama = Image.new("RGB", (60_000, 20), BLUE)
    panorama.paste(RED, (29_990, 0, 30_010, 20))
    inputs = preprocess(panorama, Preprocessing(normalise=False))
    assert inputs.shape == (3, 224, 224)
    assert inputs[0, 112, 112] > 230, "its middle is red"
    assert inputs[2, 112, 112] < 25


def test_a_very_long_image_differs_from_one_resized_entirely_by_rounding_alone() -> None:
    image, how = picture(MAX_RESIZED // 2, 112), Preprocessing()
    whole, part = (
        image.resize((int(how.resize * image.width / 112), how.resize), Image.Resampling.BILINEAR),
        crop_of(image, how),
    )
    assert whole.width > MAX_RESIZED
    left, top = round((whole.width - 224) / 2), 16
    expected = np.asarray(whole.crop((left, top, left + 224, top + 224)), np.int16)
    assert np.abs(part - expected).max() <= 1


@given(st.integers(1, 700), st.integers(1, 700))
def test_any_size_gives_a_whole_crop(width: int, height: int) -> None:
    assert crop_of(Image.new("RGB", (width, height)), Preprocessing()).shape == (224, 224, 3)
