"""What every label export comes down to, and what is said of the rows that are not understood."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import msgspec

from shared.errors import ExportError

MAX_EXAMPLES = 10
MAX_RECORD_BYTES = 8 * 1024 * 1024
MAX_URL_CHARS = 4096
MAX_PIXELS = 1_000_000


class LabelledImage(msgspec.Struct, frozen=True, gc=False):
    """One row of an export: an image and its labels, sorted, each once.

    `url` stands as the export spells it, but a relative path is made a URL. Sizes in px, 0 if unknown. `confidence` is
    the lowest that the export states for one of the labels, 1 if it states none: below 1 a model labelled the image
    and no person confirmed it. `negative`: a person said that the image has none of the labels; an image with no labels
    that is not negative was perhaps never looked at. `record` is the line (CSV, JSON Lines) or the number of the
    image in the document, from 1. A million of them are made: hence no dataclass.
    """

    url: str
    labels: tuple[str, ...]
    width: int = 0
    height: int = 0
    confidence: float = 1.0
    negative: bool = False
    file: str = ""
    record: int = 0

    @property
    def where(self) -> str:
        """File and line or number, for messages."""
        return f"{self.file}:{self.record}"


@dataclass(frozen=True, slots=True)
class ExportFile:
    """One file of an export: its `path` (within its container), `size` in bytes, and how to read it from its start,
    as often as need be, as a stream that can seek. A file on disk is best: COCO is read twice.
    """

    path: str
    size: int
    open: Callable[[], IO[bytes]]

    @classmethod
    def on_disk(cls, file: Path, path: str | None = None) -> ExportFile:
        """A local file that stands for `path`, by default its own name."""
        return cls(path or file.name, file.stat().st_size, lambda: file.open("rb"))


class IncompleteExportError(ExportError):
    """Files of the export are still to come. `missing` names them."""

    def __init__(self, export: str, missing: list[str]) -> None:
        shown = ", ".join(missing[:MAX_EXAMPLES]) + (", …" if len(missing) > MAX_EXAMPLES else "")
        super().__init__(export, [f"is not complete yet: it lacks {shown}"])
        self.missing = missing


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that was not understood, or understood only by a guess."""

    where: str
    detail: str


@dataclass(slots=True)
class Problems:
    """Problems by kind: how many, and the first few as examples. `lost` counts rows that gave no image."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Problem]] = field(default_factory=dict)
    lost: int = 0

    def add(self, kind: str, where: str, detail: str, *, lost: int = 0, count: int = 1) -> None:
        self.counts[kind] += count
        self.lost += lost
        examples = self.examples.setdefault(kind, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(Problem(where, detail))

    def lines(self) -> list[str]:
        """All of it in words, a line each."""
        lines = []
        for kind, count in self.counts.items():
            examples = self.examples[kind]
            lines += [f"{kind}: {each.where}: {each.detail}" for each in examples]
            if count > len(examples):
                lines.append(f"{kind}: and {count - len(examples)} more")
        return lines


def shortened(value: object, length: int = 80) -> str:
    """A value of an export as it may stand in a message: one line, printable, not long."""
    text = repr(value[: length + 1] if isinstance(value, (str, bytes)) else value)
    return text if len(text) <= length else text[:length] + "…"
