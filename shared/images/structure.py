"""Files that are built to keep a decoder busy: Pillow takes their structure apart in Python, part by part, with copies
of all that it has read before, so that some MB of tiny parts take it minutes and gigabytes.

What is counted here is far beyond what cameras and programs write, and found in a fraction of a second.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from shared.errors import ImageRejectedError

# A 100 MB PNG in libpng's pieces of 8 KB has 12,000 parts; a JPEG with its metadata in pieces of 64 KB some hundred.
MAX_PARTS = 100_000
MAX_HEADER_PARTS = 5_000
MAX_HEADER_BYTES = 32_000_000
MAX_LOOSE_BYTES = 50_000
# Of 64 KB each; Pillow puts them together.
MAX_EXIF_PARTS = 32
# Numbers in the tags of a TIFF, such as where each tile is; Pillow makes a Python object of each.
MAX_TAG_VALUES = 200_000
_TIFF_TEXTS = frozenset({1, 2, 6, 7})
_JPEG_FILL = re.compile(rb"[^\xff]*\xff*")


class _TooManyPartsError(Exception):
    pass


def check_structure(content: bytes, image_format: str) -> None:
    """Raises ImageRejectedError for a file that would be taken apart for too long. One that is damaged passes."""
    check = {"JPEG": _jpeg, "PNG": _png, "GIF": _gif, "TIFF": _tiff, "JPEG2000": _jpeg2000}.get(image_format)
    try:
        if check is not None:
            check(content)
    except _TooManyPartsError:
        raise ImageRejectedError(
            f"the {image_format} is made of so many parts that it would take too long to read"
        ) from None
    except (IndexError, OverflowError, struct.error):
        return  # It ends in the middle of a part, or tells of one beyond its end, which the decoder will say.


def _count(limit: int) -> Iterator[int]:
    yield from range(limit)
    raise _TooManyPartsError


def _jpeg(content: bytes) -> None:
    """Segments before the first scan (ITU-T T.81, annex B), and bytes that belong to none."""
    position, loose, exif = 2, 0, 0
    for _ in _count(MAX_HEADER_PARTS):
        fill = _JPEG_FILL.match(content, position)
        end = fill.end() if fill else position
        loose += end - position
        marker = content[end]
        exif += marker == 0xE1 and content.startswith(b"Exif\0\0", end + 3)
        if loose > MAX_LOOSE_BYTES or end > MAX_HEADER_BYTES or exif > MAX_EXIF_PARTS:
            raise _TooManyPartsError
        if marker == 0xDA:
            return
        has_length = marker not in {0x00, 0x01} and not 0xD0 <= marker <= 0xD9
        position = end + 1 + (int.from_bytes(content[end + 1 : end + 3]) if has_length else 0)


def _png(content: bytes) -> None:
    position = 8
    for _ in _count(MAX_PARTS):
        if position >= len(content) or content.startswith(b"IEND", position + 4):
            return
        position += 12 + int.from_bytes(content[position : position + 4])


def _gif(content: bytes) -> None:
    """Extensions and their blocks before the second frame: that it begins is all that is asked of it."""
    position, seen = 13 + _colours(content[10]), 0
    blocks = _count(MAX_PARTS * 10)
    for _ in _count(MAX_HEADER_PARTS):
        kind, start = content[position], position
        if kind == 0x2C:
            seen += 1
            if seen == 2:
                return
            position += 11 + _colours(content[position + 9])
        elif kind == 0x21:
            position += 2
        else:
            return
        while size := content[position]:
            next(blocks)
            position += 1 + size
            if kind == 0x21 and position - start > 1_000_000:
                raise _TooManyPartsError
        position += 1


def _colours(packed: int) -> int:
    return 3 * 2 ** ((packed & 7) + 1) if packed & 0x80 else 0


def _tiff(content: bytes) -> None:
    """Values in the first directory: TIFF 6.0, section 2, and BigTIFF."""
    order = "<" if content.startswith(b"II") else ">"
    is_big = 43 in content[2:4]
    offset = struct.unpack_from(order + ("Q" if is_big else "I"), content, 8 if is_big else 4)[0]
    count = struct.unpack_from(order + ("Q" if is_big else "H"), content, offset)[0]
    entry = struct.Struct(order + ("HHQ8x" if is_big else "HHI4x"))
    start, values = offset + (8 if is_big else 2), 0
    for number in range(min(count, MAX_PARTS)):
        _, kind, length = entry.unpack_from(content, start + number * entry.size)
        # A length that the file can't hold is damage, not a burden.
        values += 0 if kind in _TIFF_TEXTS or length > len(content) else length
    if count > MAX_PARTS or values > MAX_TAG_VALUES:
        raise _TooManyPartsError


def _jpeg2000(content: bytes) -> None:
    """Boxes before the codestream, and the marker segments of its main header: ITU-T T.800, annexes I and A."""
    position = 0
    if not content.startswith(b"\xff\x4f"):
        for _ in _count(MAX_HEADER_PARTS):
            size, kind = struct.unpack_from(">I4s", content, position)
            if kind == b"jp2c":
                break
            if kind == b"jp2h" and MAX_HEADER_BYTES // 8 < size < len(content):
                raise _TooManyPartsError
            if size == 1:
                size = struct.unpack_from(">Q", content, position + 8)[0]
            position += max(size, 8)
        position += 8
    position += 2
    for _ in _count(MAX_HEADER_PARTS):
        if content[position + 1] in {0x90, 0xD9}:
            return
        position += 2 + struct.unpack_from(">H", content, position + 2)[0]
