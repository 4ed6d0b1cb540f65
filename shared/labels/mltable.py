"""MLTable: a YAML file that names the files of a data asset by paths relative to itself.

https://learn.microsoft.com/azure/machine-learning/reference-yaml-mltable
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import Any

from shared.errors import ExportError
from shared.labels.model import ExportFile, IncompleteExportError, shortened

NAME = "MLTable"
MAX_BYTES = 1024 * 1024


def is_mltable(file: ExportFile) -> bool:
    """By its name, which Azure Machine Learning prescribes."""
    return posixpath.basename(file.path).lower() == NAME.lower()


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
        matches = {each: file for each, file in by_path.items() if _matches(kind, path, each)}
        if not matches:
            missing.append(posixpath.join(folder, path))
        found |= dict(sorted(matches.items()))
    if missing:
        raise IncompleteExportError(table.path, missing)
    return list(found.values())


def _paths(table: ExportFile) -> list[tuple[str, str]]:
    import yaml

    if table.size > MAX_BYTES:
        raise ExportError(table.path, [f"has {table.size} bytes; an MLTable file has at most {MAX_BYTES}"])
    with table.open() as stream:
        content = stream.read(MAX_BYTES)
    try:
        document: Any = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
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
    if not paths or len(paths) != len(entries):
        raise ExportError(table.path, ["is no MLTable: it must have 'paths', a list of 'file', 'folder' or 'pattern'"])
    return paths


def _matches(kind: str, path: str, each: str) -> bool:
    if kind == "folder":
        return path == "." or each.startswith(path + "/")
    if kind == "pattern":
        pieces = re.split(r"(\*\*/?|\*|\?)", path)
        wildcards = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
        return re.fullmatch("".join(wildcards.get(piece) or re.escape(piece) for piece in pieces), each) is not None
    return each == path
