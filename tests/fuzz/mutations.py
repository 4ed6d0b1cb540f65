"""Ways to damage a file."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Sequence

# What lengths, counts and offsets are wrong by.
ODD_VALUES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
PNG = b"\x89PNG\r\n\x1a\n"
# Most of what decoders decide on stands near the beginning.
HEADER_BYTES = 512


def mutated(content: bytes, others: Sequence[bytes], dice: random.Random) -> bytes:
    """A damaged copy; `others` are files from which parts may come."""
    data = bytearray(content)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 8))):
        if len(data) > 4:
            _damage(data, others, dice)
    result = bytes(data)
    # Pillow does not look into a chunk of a PNG whose checksum is wrong.
    return with_checksums(result) if result.startswith(PNG) and dice.random() < 0.8 else result


def _damage(data: bytearray, others: Sequence[bytes], dice: random.Random) -> None:
    start = dice.randrange(min(len(data), HEADER_BYTES) if dice.random() < 0.6 else len(data))
    length = dice.choice((1, 2, 4, 16, 64, 1024, len(data)))
    match dice.randrange(8):
        case 0:
            data[start] ^= 1 << dice.randrange(8)
        case 1:
            for _ in range(dice.choice((1, 4, 16))):
                data[dice.randrange(len(data))] = dice.randrange(256)
        case 2 | 3:
            form = dice.choice(("B", "<H", ">H", "<I", ">I"))
            size = struct.calcsize(form)
            value = dice.choice(ODD_VALUES) & (256**size - 1)
            data[start : start + size] = struct.pack(form, value)
        case 4:
            del data[start:]
        case 5:
            del data[start : start + length]
        case 6:
            data[start:start] = data[start : start + length] * dice.choice((1, 2, 50))
        case 7:
            other = dice.choice(others)
            begin = dice.randrange(len(other))
            data[start : start + length] = other[begin : begin + length]


def with_checksums(content: bytes) -> bytes:
    """A PNG whose chunks' checksums are right again."""
    parts, position = [PNG], len(PNG)
    while position + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, position)
        body = content[position + 4 : position + 8 + length]
        if position + 12 + length > len(content):
            break
        parts.append(struct.pack(">I", length) + body + struct.pack(">I", zlib.crc32(body)))
        position += 12 + length
    return b"".join(parts) + content[position:]
