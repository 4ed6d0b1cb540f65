"""Label names: normalised, several taken out of one cell, and the spellings of one name brought together."""

from __future__ import annotations

import ast
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import msgspec

from shared.errors import ExportError
from shared.labels.model import Problems, shortened

MAX_LABELS = 10_000
MAX_LABEL_CHARS = 256
MAX_FORMS = 10
MAX_CELL_CHARS = 16_384
MAX_ENTRIES = 100_000
SEPARATORS = ";|,"
_SEPARATOR = re.compile(r"[;|,]")
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\ufffd\ufffe\uffff]")


class LabelError(ValueError):
    """A label that can't be one; the message says why."""


@dataclass(slots=True)
class Entry:
    """Labels as one way of writing them means them, and how many images have it. `cell`: it is a text that may hold
    several labels.
    """

    labels: tuple[str, ...]
    negative: bool = False
    cell: bool = False
    images: int = 0


def is_text(value: str) -> bool:
    """Whether a string holds characters only: no control characters, no halves of pairs, nothing undecodable."""
    return value.isprintable() or not _NO_TEXT.search(value)


def normalised(label: str) -> str:
    """A label in Unicode NFC, without white space around it and with single blanks in it. Raises LabelError."""
    if len(label) > MAX_CELL_CHARS:
        raise LabelError(f"label {shortened(label)} has {len(label)} characters; {MAX_LABEL_CHARS} are allowed")
    name = " ".join(unicodedata.normalize("NFC", label).replace("\ufeff", "").split())
    if len(name) > MAX_LABEL_CHARS:
        raise LabelError(f"label {shortened(name)} has {len(name)} characters; {MAX_LABEL_CHARS} are allowed")
    if not is_text(name):
        raise LabelError(f"label {shortened(name)} has characters that are no text")
    return name


class Names:
    """The label names of one export.

    While it is read, `entries` holds the labels by the way they are written, so that each way is understood once.
    Only when all of it was read is it known which spelling of a label is the most frequent, and which parts of a cell
    are labels: hence `settle`, and then `resolve`. `known` are labels of an earlier model; their spelling wins.
    """

    def __init__(self, export: str, known: Iterable[str] = (), *, cells: bool = False) -> None:
        self._export = export
        self.entries: dict[Hashable, Entry] = {}
        self._cells = cells
        self._known = {normalised(label) for label in known}
        self.images = 0
        self._whole: Counter[str] = Counter()
        self._joined: Counter[str] = Counter()
        self._labels: set[str] = set()
        self._written: dict[str, set[str]] = defaultdict(set)
        self._spelling: dict[str, str] = {}
        self._resolved: dict[tuple[str, ...], tuple[str, ...]] = {}

    def entry(self, key: Hashable, written: Iterable[str], *, negative: str | None = None) -> Entry:
        """The entry for labels as they are `written`, from now on found by `key`. `negative`: a label that says that
        there is none. Raises LabelError when one of them is empty or can't be a label.
        """
        names = set()
        for each in written:
            name = normalised(each)
            if not name:
                raise LabelError("a label has an empty name")
            if len(self._written) < MAX_LABELS and len(forms := self._written[name]) < MAX_FORMS:
                forms.add(each)
            names.add(name)
        is_negative = negative is not None and negative in {name.casefold() for name in names}
        if is_negative:
            names = {name for name in names if name.casefold() != negative}
        return self._put(key, Entry(tuple(sorted(names)), negative=is_negative and not names))

    def cell_entry(self, cell: str) -> Entry:
        """The entry for a cell that holds one label, several, or none. A JSON list is read as such, and so is the
        list that Python writes; a text with separators stays one until `settle`. Raises LabelError.
        """
        if len(cell) > MAX_CELL_CHARS:
            raise LabelError(
                f"the label cell {shortened(cell)} has {len(cell)} characters; is a quotation mark left open?"
            )
        text = cell.strip()
        if not text:
            return self._put(cell, Entry(()))
        if text[0] == "[" and text[-1] == "]" and (items := _listed(text)) is not None:
            return self.entry(cell, items)
        if not _SEPARATOR.search(text):
            return self.entry(cell, (cell,))
        for part in _SEPARATOR.split(text):
            normalised(part)
        return self._put(cell, Entry((" ".join(unicodedata.normalize("NFC", text).split()),), cell=True))

    def _put(self, key: Hashable, entry: Entry) -> Entry:
        if len(self.entries) >= MAX_ENTRIES:
            self._count()
        self.entries[key] = entry
        return entry

    def _count(self) -> None:
        """Turn the entries into counts, which take no more room than there are labels."""
        for entry in self.entries.values():
            self.images += entry.images
            for label in entry.labels:
                (self._joined if entry.cell else self._whole)[label] += entry.images
        self.entries.clear()
        if len(self._whole) > MAX_LABELS:
            raise self._too_many()
        if len(self._joined) > MAX_ENTRIES:
            self._joined = Counter(dict(self._joined.most_common(MAX_ENTRIES // 2)))

    def _too_many(self) -> ExportError:
        reason = f"has more than {MAX_LABELS} labels; is its label column one of texts or numbers?"
        return ExportError(self._export, [reason])

    def settle(self, problems: Problems) -> None:
        """To be called when all has been read: decide on cells and spellings, and report both."""
        self._count()
        self._labels = self._known | self._whole.keys()
        counts = self._whole.copy()
        for cell, images in self._joined.items():
            parts = self._split(cell)
            for label in parts:
                counts[label] += images
            if len(parts) > 1 and not self._labels.issuperset(parts):
                problems.add(
                    "guessed labels",
                    self._export,
                    f"{shortened(cell)} was taken for {len(parts)} labels, but not each stands alone elsewhere",
                )
        if len(counts) > MAX_LABELS:
            raise self._too_many()
        twins: dict[str, list[str]] = defaultdict(list)
        for label in counts.keys() | self._known:
            twins[_folded(label)].append(label)
        for spellings in twins.values():
            best = min(spellings, key=lambda label: (label not in self._known, -counts[label], label))
            self._spelling.update(dict.fromkeys(spellings, best))
            written: set[str] = set()
            written.update(*(self._written.get(label, {label}) for label in spellings if counts[label]))
            if len(written) > 1:
                shown = ", ".join(shortened(label) for label in sorted(written)[:MAX_FORMS])
                problems.add("spellings of one label", self._export, f"{shown} are one label, {shortened(best)}")
        self._written.clear()

    def resolve(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """The labels of an image of this export as they are meant: sorted, each once, in the spelling that won."""
        found = self._resolved.get(labels)
        if found is None:
            parts = self._split(labels[0]) if self._cells and len(labels) == 1 else labels
            found = tuple(sorted({self._spelling.get(part, part) for part in parts}))
            if len(self._resolved) < MAX_ENTRIES:
                self._resolved[labels] = found
        return found

    def _split(self, cell: str) -> tuple[str, ...]:
        """Labels in a cell: the cell itself if it is a label elsewhere; else at the separator that leaves only known
        labels, or most of them.
        """
        known = self._labels
        if cell in known or not _SEPARATOR.search(cell):
            return (cell,)
        best: tuple[float, tuple[str, ...]] = (-1.0, (cell,))
        for separator in SEPARATORS:
            if separator in cell:
                parts = tuple(filter(None, (" ".join(part.split()) for part in cell.split(separator))))
                share = sum(part in known for part in parts) / (len(parts) or 1)
                best = max(best, (share, parts), key=lambda each: each[0])
        return best[1]


def _folded(label: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", label).casefold().split())


def _listed(text: str) -> list[str] | None:
    """The strings of a list in JSON or in Python's own writing; None if it is neither."""
    try:
        return msgspec.json.decode(text, type=list[str])
    except (ValueError, RecursionError):
        pass
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None
    return value if isinstance(value, list) and all(isinstance(each, str) for each in value) else None
