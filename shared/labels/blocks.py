"""Bytes and lines of an export's file, a block at a time, always UTF-8."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import IO

from shared.labels.model import MAX_RECORD_BYTES

BLOCK_BYTES = 512 * 1024
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


_CONTROLS = bytes({*range(32), 127} - set(b"\t\n\r"))
_ESCAPED = re.compile(rb"\\(?:[bfnrt]|u00[0189]|u007[fF]|u[dD][89a-fA-F])")


class LineTooLongError(ValueError):
    """A line has more than MAX_RECORD_BYTES."""


def blocks(stream: IO[bytes], offset: int = 0, size: int | None = None) -> Iterator[bytes]:
    """The file as UTF-8 without a byte order mark, from `offset` of that text on, in blocks of about `size` bytes.

    Without a mark it is taken for UTF-8. What is wrong UTF-8 stays as it is; what is wrong UTF-16 becomes U+FFFD.
    """
    size = size or BLOCK_BYTES
    start = stream.read(4)
    mark, encoding = next(((mark, encoding) for mark, encoding in _BOMS if start.startswith(mark)), (b"", "utf-8"))
    if encoding == "utf-8":
        stream.seek(len(mark) + offset)
        while block := stream.read(size):
            yield block
        return
    stream.seek(len(mark))
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    ended = False
    while not ended:
        block = stream.read(size)
        ended = not block
        text = decoder.decode(block, final=ended).encode(errors="replace")
        skipped = min(offset, len(text))
        offset -= skipped
        if len(text) > skipped:
            yield text[skipped:]


def line_blocks(stream: IO[bytes]) -> Iterator[bytes]:
    """Blocks that end where a line ends. Raises LineTooLongError."""
    rest = b""
    for block in blocks(stream):
        cut = block.rfind(b"\n") + 1
        if cut:
            yield rest + block[:cut]
            rest = block[cut:]
        else:
            rest += block
        if len(rest) > MAX_RECORD_BYTES:
            raise LineTooLongError
    if rest:
        yield rest


def has_controls(block: bytes) -> bool:
    """Whether there are control characters of ASCII in it, other than tabs and ends of lines.

    To ask this of a block costs a tenth of what it costs to ask each URL in it.
    """
    return len(block.translate(None, _CONTROLS)) != len(block)


def has_escaped_controls(block: bytes) -> bool:
    """Whether some JSON has control characters or halves of pairs in its strings."""
    return b"\x7f" in block or (b"\\" in block and _ESCAPED.search(block) is not None)
