"""Read the JSON-lines kind of MLTable, the only kind AutoML takes for images.

Understood of Microsoft's MLTable schema: `paths` (`file`, `folder`, `pattern`, inside the table's own folder) and the
transformations `read_json_lines` (once, first), `convert_column_types` to `stream_info` (a mark for loaders, no change
to the text), `drop_columns`, `keep_columns`, `skip` and `take`. Anything else would change which rows or values are
trained on, so it is refused, not ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from local.automl.errors import DataError

Row = dict[str, Any]

_ENCODINGS = {
    "utf8": "utf-8-sig",
    "utf8bom": "utf-8-sig",
    "ascii": "ascii",
    "iso88591": "latin-1",
    "latin1": "latin-1",
    "utf16": "utf-16",
    "utf32": "utf-32",
    "windows1252": "cp1252",
}
_TOP_LEVEL = {"$schema", "type", "paths", "transformations", "metadata"}
_JSON_LINES_OPTIONS = {"encoding", "invalid_lines", "include_path_column"}


def read_mltable(folder: Path) -> list[Row]:
    """The rows of the MLTable in `folder`, in the order of its paths and lines. Raises DataError."""
    import yaml

    file = folder / "MLTable"
    try:
        table = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{folder.name} has no MLTable file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"the MLTable file of {folder.name} cannot be read: {error}") from error
    if not isinstance(table, dict):
        raise DataError(f"the MLTable file of {folder.name} is not a mapping")
    if unknown := sorted(str(key) for key in table.keys() - _TOP_LEVEL):
        raise DataError(f"the MLTable file of {folder.name} has {', '.join(unknown)}, which is not understood")
    paths = _paths(folder, table.get("paths"))
    steps = _steps(table.get("transformations"))
    name, options = next(steps, ("nothing", None))
    if name != "read_json_lines":
        raise DataError(
            f"the first transformation must be read_json_lines, which AutoML takes for images; it is {name}"
        )
    rows = _json_lines(paths, options or {})
    for name, options in steps:
        rows = _transform(rows, name, options)
    return list(rows)


def _paths(folder: Path, paths: object) -> list[Path]:
    if not isinstance(paths, list) or not paths:
        raise DataError("the MLTable file names no paths")
    root = folder.resolve()
    found: list[Path] = []
    for entry in paths:
        if not isinstance(entry, dict) or len(entry) != 1:
            raise DataError(f"the path {entry!r} is not one of file, folder or pattern")
        ((kind, value),) = entry.items()
        text = str(value)
        if "://" in text:
            raise DataError(f"the path {text} is remote; only paths inside the table's folder are read")
        if not (root / text).resolve().is_relative_to(root):
            raise DataError(f"the path {text} leaves the table's folder")
        if kind == "file":
            matches = [root / text]
        elif kind == "folder":
            matches = sorted(file for file in (root / text).rglob("*") if file.is_file() and file.name != "MLTable")
        elif kind == "pattern":
            matches = sorted(file for file in root.glob(text.removeprefix("./")) if file.is_file())
        else:
            raise DataError(f"the path {entry!r} is not one of file, folder or pattern")
        if not matches or not all(file.is_file() for file in matches):
            raise DataError(f"the path {text} of the MLTable file does not exist")
        found += matches
    return found


def _steps(transformations: object) -> Iterator[tuple[str, Any]]:
    if not isinstance(transformations, list):
        raise DataError("the MLTable file has no transformations; read_json_lines is needed")
    for entry in transformations:
        if isinstance(entry, str):
            yield entry, None
        elif isinstance(entry, dict) and len(entry) == 1:
            yield next((str(name), options) for name, options in entry.items())
        else:
            raise DataError(f"the transformation {entry!r} is not understood")


def _json_lines(paths: Iterable[Path], options: Any) -> Iterator[Row]:
    if not isinstance(options, dict) or options.keys() - _JSON_LINES_OPTIONS:
        raise DataError(f"the options {options!r} of read_json_lines are not understood")
    encoding = _ENCODINGS.get(str(options.get("encoding", "utf8")))
    invalid = options.get("invalid_lines", "error")
    if encoding is None or invalid not in {"error", "drop"} or options.get("include_path_column", False) is not False:
        raise DataError(f"the options {options!r} of read_json_lines are not understood")
    for path in paths:
        try:
            with path.open(encoding=encoding) as lines:
                yield from _rows(path.name, lines, drop_invalid=invalid == "drop")
        except UnicodeDecodeError as error:
            raise DataError(f"{path.name} is not {options.get('encoding', 'utf8')}: {error}") from error


def _rows(name: str, lines: Iterable[str], *, drop_invalid: bool) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            if drop_invalid:
                continue
            raise DataError(f"line {number} of {name} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise DataError(f"line {number} of {name} is not a JSON object")
        yield row


def _transform(rows: Iterable[Row], name: str, options: Any) -> Iterator[Row]:
    if name == "convert_column_types":
        conversions = options if isinstance(options, list) else [options]
        if not all(isinstance(one, Mapping) and one.get("column_type") == "stream_info" for one in conversions):
            raise DataError(f"convert_column_types {options!r} is not understood; only stream_info is")
        return iter(rows)
    if name in {"drop_columns", "keep_columns"}:
        columns = {options} if isinstance(options, str) else set(options or ())
        keep = name == "keep_columns"
        return ({key: value for key, value in row.items() if (key in columns) is keep} for row in rows)
    if name in {"skip", "take"} and isinstance(options, int) and not isinstance(options, bool) and options >= 0:
        chosen = list(rows)
        return iter(chosen[options:] if name == "skip" else chosen[:options])
    raise DataError(f"the transformation {name} {options!r} is not understood")
