"""MLTable: a YAML file that names the files of a data asset by paths relative to itself.

https://learn.microsoft.com/azure/machine-learning/reference-yaml-mltable
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Sequence
from typing import Any

from shared.errors import ExportError
from shared.labels.model import ExportFile, IncompleteExportError, shortened

NAME = "MLTable"
MAX_BYTES = 1024 * 1024
MAX_PIECES = 40


def is_mltable(file: ExportFile) -> bool:
    """By its name, which Azure Machine Learning prescribes."""
    return is_named_mltable(file.path)


def is_named_mltable(path: str) -> bool:
    """Whether a path is that of an MLTable file."""
    return posixpath.basename(path).lower() == NAME.lower()


def files_of(table: ExportFile, files: Sequence[ExportFile]) -> list[ExportFile]:
    """Those of `files` that the MLTable file names, in its order, each once.

    Only paths within the file's own folder are followed. Raises ExportError for others and for what is no MLTable, and
    IncompleteExportError when a file that it names is not there.
    """
    folder = posixpath.dirname(table.path)
    by_path = {posixpath.relpath(file.path, folder or "."): file for file in files if file is not table}
    found: dict[str, ExportFile] = {}
    missing = []
    for kind, wanted in _paths(table):
        path = posixpath.normpath(wanted.replace("\\", "/"))
        if "://" in wanted or path.startswith(("/", "..")) or re.match(r"[A-Za-z]:", wanted):
            raise ExportError(
                table.path, [f"names {shortened(wanted)}; only files of its own folder are read, as in ./train.jsonl"]
            )
        wanted_ones = [path] if kind == "file" else by_path
        matches = {each: by_path[each] for each in wanted_ones if each in by_path and path_matches(kind, path, each)}
        if not matches:
            missing.append(posixpath.join(folder, path))
        found |= dict(sorted(matches.items()))
    if missing:
        raise IncompleteExportError(table.path, missing)
    return list(found.values())


def _paths(table: ExportFile) -> list[tuple[str, str]]:
    if table.size > MAX_BYTES:
        raise ExportError(table.path, [f"has {table.size} bytes; an MLTable file has at most {MAX_BYTES}"])
    with table.open() as stream:
        content = stream.read(MAX_BYTES)
    try:
        document = load_yaml(content)
    except ValueError as error:
        raise ExportError(table.path, [f"is not YAML: {shortened(str(error), 200)}"]) from None
    value = document.get("paths") if isinstance(document, dict) else None
    entries = value if isinstance(value, list) else []
    paths = [
        (kind, entry[kind])
        for entry in entries
        if isinstance(entry, dict)
        for kind in ("file", "folder", "pattern")
        if isinstance(entry.get(kind), str)
    ]
    if any(len(_pieces(path)) > MAX_PIECES for kind, path in paths if kind == "pattern"):
        raise ExportError(table.path, [f"has a pattern of more than {MAX_PIECES // 2} wildcards"])
    if not paths or len(paths) != len(entries):
        raise ExportError(table.path, ["is no MLTable: it must have 'paths', a list of 'file', 'folder' or 'pattern'"])
    return paths


def path_matches(kind: str, path: str, each: str) -> bool:
    """Whether an MLTable's `path` of a kind (file, folder or pattern) means the file `each`."""
    if kind == "folder":
        return path == "." or each.startswith(path + "/")
    return _fits(path, each) if kind == "pattern" else each == path


def load_yaml(content: bytes | str) -> Any:
    """What a YAML file holds. Raises ValueError when it is none."""
    import yaml

    try:
        return yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError, LookupError, TypeError) as error:
        # Of the last three PyYAML lets out what its constructors meet in `!!int ""`, `!!timestamp x` or `!!bool x`.
        raise ValueError(str(error)) from None


def _fits(pattern: str, path: str) -> bool:
    """Whether a pattern is that of a path, in a time in proportion to the lengths of both: a regular expression of
    several wildcards may take for ever.
    """
    ends = {0}
    for piece in _pieces(pattern):
        ends = _ends(piece, path, ends)
        if not ends:
            return False
    return len(path) in ends


@functools.lru_cache(1000)
def _pieces(pattern: str) -> tuple[str, ...]:
    """Its wildcards, and what stands between them."""
    return tuple(filter(None, re.split(r"(\*\*/?|\*|\?)", pattern)))


def _ends(piece: str, path: str, starts: set[int]) -> set[int]:
    """Where a piece that may begin at `starts` can end."""
    if piece == "**":
        return set(range(min(starts), len(path) + 1))
    if piece == "**/":
        return starts | {at + 1 for at in range(min(starts), len(path)) if path[at] == "/"}
    if piece == "*":
        found: set[int] = set()
        for start in sorted(starts):
            if start not in found:
                end = path.find("/", start)
                found.update(range(start, (len(path) if end < 0 else end) + 1))
        return found
    if piece == "?":
        return {start + 1 for start in starts if path[start : start + 1] not in ("", "/")}
    return {start + len(piece) for start in starts if path.startswith(piece, start)}
