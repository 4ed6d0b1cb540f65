"""A JSON document read as a stream: its top level is walked, its arrays come in batches, the rest is skipped.

A batch is cut at a place that looks like the end of an element and decoded between brackets. JSON decides whether the
guess was right: text from the start of an element to a place inside one is not valid between brackets. Only then,
and at the end of an array, are strings and brackets counted to find the elements one by one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import IO, Any

import msgspec

from shared.errors import ExportError
from shared.labels.blocks import blocks, has_escaped_controls
from shared.labels.model import MAX_RECORD_BYTES, shortened

_SPACE = re.compile(rb"[ \t\r\n]*")
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+(?P<closed>")?|[\[\]{}]', re.DOTALL)
_SCALAR = re.compile(rb'[^\s,\[\]{}":]+')
_SEAM = re.compile(rb'\}[ \t\r\n]*,[ \t\r\n]*\{[ \t\r\n]*"(?:[^"\\]++|\\.)*+"[ \t\r\n]*:')
_OPENING, _CLOSING = b"[{", b"]}"


def lenient(raw: bytes) -> Any:
    """A JSON value as Python's own reader takes it, which allows NaN. Raises ValueError when that can't read it."""
    try:
        return json.loads(raw.decode(errors="surrogateescape"))
    except RecursionError:
        raise ValueError("is nested too deeply") from None


class Document:
    """`stream` from `offset` on. `name` stands in errors: all methods raise ExportError where it is no JSON.

    `has_controls`: whether the strings read so far may have control characters.
    """

    def __init__(self, stream: IO[bytes], name: str, offset: int = 0) -> None:
        self._blocks = blocks(stream, offset)
        self._name = name
        self._buffer = b""
        self._at = 0
        self._base = offset
        self._ended = False
        self.has_controls = False

    @property
    def offset(self) -> int:
        """Where the next value begins, in bytes from the start of the text."""
        return self._base + self._at

    def walk(self) -> Iterator[str]:
        """The keys of the document's object. The caller reads (`elements`) or skips (`skip`) each one's value."""
        self._expect(b"{")
        while self._next() != b"}":
            if self._next() != b'"':
                raise self._malformed("a key")
            raw = self._take_value()
            try:
                key = lenient(raw)
            except ValueError:
                raise self._malformed("a key") from None
            self._expect(b":")
            self._next()
            yield str(key)
            if self._next() == b",":
                self._at += 1
            elif self._next() != b"}":
                raise self._malformed("',' or '}'")
        self._at += 1
        self.end()

    def end(self) -> None:
        """Check that nothing follows."""
        if self._next(may_end=True):
            raise self._malformed("the end of the document")

    def peek(self) -> bytes:
        """The first byte of the next value."""
        return self._next()

    def skip(self) -> None:
        """Pass over a value of any size."""
        if self._next() not in (b"{", b"["):
            self._take_value()
            return
        depth = 0
        while True:
            end = self._at
            for token in _TOKEN.finditer(self._buffer, self._at):
                first = self._buffer[token.start()]
                if first in _OPENING:
                    depth += 1
                elif first in _CLOSING:
                    depth -= 1
                    if not depth:
                        self._at = token.end()
                        return
                elif not token["closed"]:
                    end = token.start()
                    break
            else:
                end = len(self._buffer)
            self._at = end
            self._more()

    def elements(
        self, decoder: msgspec.json.Decoder[list[Any]], unreadable: Callable[[int, bytes], list[Any]]
    ) -> Iterator[tuple[int, list[Any]]]:
        """The elements of an array of objects in batches, each with the number of its first, from 1.

        `decoder` decodes a list of them; `unreadable` gets the number and the text of an element that it can't decode,
        and returns what is to stand for it: a list of one, or of none.
        """
        self._expect(b"[")
        count, seam, first = 1, b"", True
        while True:
            if self._next() == b"]" and first:
                self._at += 1
                return
            self._fill()
            first = False
            cut = self._buffer.rfind(seam, self._at) if seam else -1
            if cut > self._at and (batch := _decoded(decoder, self._buffer[self._at : cut + 1])) is not None:
                yield count, batch
                count += len(batch)
                self._at = self._buffer.index(b"{", cut + 1)
                continue
            spans, seam, done = self._spans()
            together = _decoded(decoder, b",".join(self._buffer[start:end] for start, end in spans))
            if together is not None:
                yield count, together
                count += len(together)
            else:
                for start, end in spans:
                    raw = self._buffer[start:end]
                    if rows := _decoded(decoder, raw) or unreadable(count, raw):
                        yield count, rows
                    count += 1
            self._at = done
            if self._buffer[done - 1 : done] == b"]":
                return

    def _spans(self) -> tuple[list[tuple[int, int]], bytes, int]:
        """The whole elements in the buffer, the seam between the first two, and the place behind what follows them: a
        comma, or the bracket that ends the array.
        """
        while True:
            spans: list[tuple[int, int]] = []
            at = done = self._at
            while (end := self._end_of(at)) is not None:
                after = _SPACE.match(self._buffer, end).end()  # type: ignore[union-attr]
                if after == len(self._buffer):
                    if self._ended:
                        raise self._cut_off()
                    break
                if self._buffer[after : after + 1] not in (b",", b"]"):
                    self._at = after
                    raise self._malformed("',' or ']'")
                spans.append((at, end))
                done = after + 1
                if self._buffer[after] == ord("]"):
                    break
                at = _SPACE.match(self._buffer, done).end()  # type: ignore[union-attr]
            if spans:
                seam = _SEAM.match(self._buffer, spans[0][1] - 1)
                return spans, seam[0] if seam else b"", done
            self._more()

    def _end_of(self, start: int) -> int | None:
        """Where the value at `start` ends; None if that lies beyond the buffer."""
        head = self._buffer[start : start + 1]
        if not head:
            return None
        if head not in (b"{", b"[", b'"'):
            scalar = _SCALAR.match(self._buffer, start)
            if scalar is None:
                self._at = start
                raise self._malformed("a value")
            return scalar.end() if scalar.end() < len(self._buffer) or self._ended else None
        depth = 0
        for token in _TOKEN.finditer(self._buffer, start):
            first = self._buffer[token.start()]
            if first in _OPENING:
                depth += 1
            elif first in _CLOSING:
                depth -= 1
            elif not token["closed"]:
                return None
            if not depth:
                return token.end()
        return None

    def _take_value(self) -> bytes:
        while (end := self._end_of(self._at)) is None:
            self._more()
        raw, self._at = self._buffer[self._at : end], end
        return raw

    def _next(self, *, may_end: bool = False) -> bytes:
        """The next byte that is not white space, which is not taken; none at the end."""
        while True:
            self._at = _SPACE.match(self._buffer, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._buffer):
                return self._buffer[self._at : self._at + 1]
            if may_end and self._ended:
                return b""
            self._more(may_end=may_end)

    def _expect(self, token: bytes) -> None:
        if self._next() != token:
            raise self._malformed(repr(token.decode()))
        self._at += 1

    def _fill(self) -> None:
        """See to it that half a block can be looked at, so that a batch is worth its while."""
        if not self._ended and len(self._buffer) - self._at < 256 * 1024:
            self._more(may_end=True)

    def _more(self, *, may_end: bool = False) -> None:
        if len(self._buffer) - self._at > MAX_RECORD_BYTES:
            raise ExportError(
                self._name, [f"has a value of more than {MAX_RECORD_BYTES // 1024**2} MiB at byte {self.offset}"]
            )
        block = next(self._blocks, b"")
        if not block:
            if self._ended and not may_end:
                raise self._cut_off()
            self._ended = True
        self.has_controls |= has_escaped_controls(self._buffer[-6:] + block)
        self._base += self._at
        self._buffer, self._at = self._buffer[self._at :] + block, 0

    def _cut_off(self) -> ExportError:
        return ExportError(self._name, ["is not JSON: it ends in the middle; was it cut off?"])

    def _malformed(self, expected: str) -> ExportError:
        found = shortened(self._buffer[self._at : self._at + 20].decode(errors="replace"))
        return ExportError(self._name, [f"is not JSON: expected {expected} at byte {self.offset}, found {found}"])


def _decoded(decoder: msgspec.json.Decoder[list[Any]], elements: bytes) -> list[Any] | None:
    try:
        return decoder.decode(b"[" + elements + b"]")
    except (ValueError, RecursionError):
        return None
