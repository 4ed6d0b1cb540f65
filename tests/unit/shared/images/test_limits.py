"""What is too large, too deep or too intricate is refused before it costs much."""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Callable

import pytest
from PIL import Image

from shared.errors import ImageRejectedError
from shared.images import check_image, check_upload
from shared.images.memory import MemoryBudget
from tests.fuzz.mutations import with_checksums
from tests.fuzz.samples import encoded, picture, samples
from tests.support import make_settings

SAMPLES = samples()
JPEG, PNG, GIF = SAMPLES["JPEG rgb"], SAMPLES["PNG rgb"], SAMPLES["GIF"]
JP2, STREAM = SAMPLES["JPEG2000 rgb"], SAMPLES["JPEG2000 stream"]
AFTER_PNG_HEADER = 33
AFTER_GIF_PALETTE = 13 + 3 * 2 ** ((GIF[10] & 7) + 1)


def reason(content: bytes, max_megapixels: int = 100) -> str:
    """Why an image is refused; empty when it is taken."""
    try:
        check_image(content, max_megapixels=max_megapixels)
    except ImageRejectedError as error:
        return str(error)
    return ""


def test_a_file_with_too_many_bytes_is_refused() -> None:
    with pytest.raises(ImageRejectedError, match=r"the file has 1\.0 MB; at most 1 MB are taken"):
        check_upload(bytes(1_000_001), make_settings(max_image_megabytes=1))


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    content = encoded(Image.new("1", (1200, 1000)), "PNG")
    assert reason(content[:100], max_megapixels=1) == "the image has 1200 x 1000 px; at most 1 megapixels are taken"
    assert reason(content, max_megapixels=2) == ""


def test_what_says_that_it_has_more_pixels_than_can_be_allowed_is_refused() -> None:
    content = with_checksums(PNG[:16] + struct.pack(">II", 20_000, 20_000) + PNG[24:])
    assert reason(content).startswith("the image has too many pixels: Image size (400000000 pixels) exceeds limit")
    content = GIF[:6] + struct.pack("<HH", 0xFFFF, 0xFFFF) + GIF[10:]
    assert reason(content).startswith("the image has too many pixels")


def test_a_format_whose_decoder_needs_much_memory_has_a_limit_of_its_own() -> None:
    size = struct.pack(">II", 9000, 9000)
    assert reason(STREAM[:8] + size + STREAM[16:]) == (
        "the image has 9000 x 9000 px; to decode it as JPEG2000 takes too much memory (2106 MB)"
    )


def test_what_cannot_be_written_as_a_jpeg_is_refused() -> None:
    content = encoded(Image.new("L", (70_000, 8)), "TIFF")
    assert "to be converted it may have at most 65500 px on a side" in reason(content)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunks(chunks: bytes) -> bytes:
    return PNG[:AFTER_PNG_HEADER] + chunks + PNG[AFTER_PNG_HEADER:]


def with_extensions(extensions: bytes) -> bytes:
    return GIF[:AFTER_GIF_PALETTE] + extensions + GIF[AFTER_GIF_PALETTE:]


def with_strips(count: int) -> bytes:
    """A TIFF of 4 x 4 px that says of many strips where they are."""
    tags = [(256, 4), (257, 4), (258, 8), (259, 1), (262, 1), (277, 1), (278, 1)]
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags]
    entries += [struct.pack("<HHII", tag, 4, count, 300) for tag in (273, 279)]
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(sorted(entries)) + bytes(4)
    return head.ljust(300, b"\0") + struct.pack("<I", 16) * count


def with_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    content = SAMPLES["JPEG progressive"]
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * count + content[-2:]


INTRICATE: dict[str, Callable[[], bytes]] = {
    "JPEG with loose bytes": lambda: JPEG[:2] + b"\xff" * 100_000 + JPEG[2:],
    "JPEG with tiny segments": lambda: JPEG[:2] + b"\xff\xfe\0\2" * 6_000 + JPEG[2:],
    "JPEG with many EXIF segments": lambda: JPEG[:2] + b"\xff\xe1\0\x10Exif\0\0ABCDEFGH" * 40 + JPEG[2:],
    "PNG with empty chunks": lambda: with_chunks(chunk(b"abCd", b"") * 110_000),
    "GIF with a huge comment": lambda: with_extensions(b"!\xfe" + (b"\xff" + bytes(255)) * 5_000 + b"\0"),
    "GIF with many comments": lambda: with_extensions(b"!\xfe\1c\0" * 6_000),
    "TIFF with many strips": lambda: with_strips(150_000),
    "JPEG2000 with empty boxes": lambda: JP2.replace(b"\0\0\0\x14ftyp", b"\0\0\0\x08free" * 6_000, 1),
    "JPEG2000 with empty segments": lambda: STREAM.replace(b"\xff\x52", b"\xff\x63\0\2" * 6_000, 1),
}


@pytest.mark.parametrize("name", INTRICATE)
def test_a_file_of_too_many_parts_is_refused(name: str) -> None:
    file_format = name.partition(" ")[0]
    assert reason(INTRICATE[name]()) == (
        f"the {file_format} is made of so many parts that it would take too long to read"
    )


def test_a_jpeg_of_too_many_scans_is_refused() -> None:
    assert reason(with_scans(1000)) == "the JPEG has more than 100 scans; they would take too long to decode"


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_a_png_whose_metadata_is_a_bomb_is_refused(kind: bytes) -> None:
    bomb = chunk(kind, b"k\0\0" + zlib.compress(bytes(20_000_000)))
    assert "Decompressed data too large" in reason(with_chunks(bomb))


def test_thousands_of_frames_are_not_looked_at() -> None:
    frames = [Image.new("P", (8, 8), number % 250) for number in range(2000)]
    content = encoded(picture(8, 8), "GIF", save_all=True, append_images=frames)
    assert check_image(content, max_megapixels=1).notes == ("only the first of several frames is looked at",)


def test_who_needs_more_memory_than_is_left_waits_and_nobody_overtakes() -> None:
    budget, order = MemoryBudget(10), list[str]()
    waits = threading.Event()

    def take(name: str, size: int) -> None:
        waits.set()
        with budget.taken(size):
            order.append(name)

    with budget.taken(6):
        large = threading.Thread(target=take, args=("large", 99))
        large.start()
        assert waits.wait(10)
        while not budget._turn.locked():
            pass
        small = threading.Thread(target=take, args=("small", 1))
        small.start()
        order.append("first")
    large.join(10)
    small.join(10)
    assert order == ["first", "large", "small"]
