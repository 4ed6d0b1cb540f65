"""Damaged images: what can be mended is, everything else is refused in words, and nothing else is ever raised."""

from __future__ import annotations

import contextlib
import io
import random
import resource
import time

import numpy as np
import pytest
from PIL import Image

from shared.errors import ImageRejectedError
from shared.images import check_image, load_rgb
from tests.fuzz.mutations import mutated
from tests.fuzz.samples import encoded, picture, samples

SAMPLES = samples()
MUTATIONS = 400
# Of several frames, the first may be in the first half.
SEVERAL = {"MPO", "animated", "pages", "several"}
BASELINE, PROGRESSIVE = (
    encoded(picture(240, 320), "JPEG", quality=90, progressive=progressive) for progressive in (False, True)
)


@pytest.mark.parametrize("content", [BASELINE, PROGRESSIVE, SAMPLES["JPEG cmyk"], SAMPLES["JPEG grey"]], ids=range(4))
@pytest.mark.parametrize("missing", [1, 2, 4, 10])
def test_a_jpeg_that_lacks_its_last_bytes_is_mended(content: bytes, missing: int) -> None:
    checked = check_image(content[:-missing], max_megapixels=1)
    assert checked.prepared is not None, "the blob itself can't be read by every loader"
    assert "the file was cut off" in checked.notes[-1]
    mended, whole = np.asarray(load_rgb(checked.prepared), np.float32), np.asarray(load_rgb(content), np.float32)
    assert np.abs(mended[:-16] - whole[:-16]).mean() < 4


@pytest.mark.parametrize("content", [BASELINE, PROGRESSIVE])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_jpeg_that_lacks_more_is_refused(content: bytes, share: float) -> None:
    with pytest.raises(ImageRejectedError, match="damaged: image file is truncated"):
        check_image(content[: int(len(content) * share)], max_megapixels=1)


def test_a_jpeg_of_one_colour_that_lacks_more_is_refused_though_what_is_missing_looks_the_same() -> None:
    content = encoded(Image.new("RGB", (320, 240), "red"), "JPEG")
    assert check_image(content[:-2], max_megapixels=1).prepared
    with pytest.raises(ImageRejectedError, match="truncated"):
        check_image(content[:-300], max_megapixels=1)


@pytest.mark.parametrize("content", [BASELINE, PROGRESSIVE])
def test_reading_at_an_eighth_of_the_size_finds_the_same_damage_as_decoding_all(content: bytes) -> None:
    def decodes(data: bytes, *, small: bool) -> bool:
        with Image.open(io.BytesIO(data)) as image:
            if small:
                image.draft(None, (image.width // 8, image.height // 8))
            try:
                image.load()
            except OSError:
                return False
            return True

    dice = random.Random(1)  # noqa: S311
    start = content.index(b"\xff\xda")
    for _ in range(150):
        data = bytearray(content[: dice.choice((len(content), dice.randrange(start + 20, len(content))))])
        for _ in range(dice.randrange(4)):
            data[dice.randrange(start + 14, len(data))] = dice.randrange(256)
        assert decodes(bytes(data), small=True) == decodes(bytes(data), small=False)


@pytest.mark.parametrize("name", [name for name in SAMPLES if not SEVERAL & set(name.split())])
def test_half_a_file_is_refused(name: str) -> None:
    content = SAMPLES[name]
    with pytest.raises(ImageRejectedError, match="damaged"):
        check_image(content[: len(content) // 2], max_megapixels=1)


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_damaged_images_bring_nothing_but_a_reason_and_take_little() -> None:
    contents = list(SAMPLES.values())
    taken, before = 0, peak()
    for number in range(MUTATIONS):
        dice = random.Random(number)  # noqa: S311
        content = mutated(dice.choice(contents), contents, dice)
        began = time.perf_counter()
        with contextlib.suppress(ImageRejectedError):
            check_image(content, max_megapixels=100)
            taken += 1
        assert time.perf_counter() - began < 20, f"mutation {number}"
    assert 0 < taken < MUTATIONS
    assert peak() - before < 1_000_000_000
