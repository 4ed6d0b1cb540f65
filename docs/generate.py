"""Writes what is derived from code: `local.settings.example.json`, the README's table of settings, the tables of
docs/api.md and the local cloud's coverage table. `python -m docs.generate` writes them; with `--check` it fails when
one is out of date.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from shared.settings import Settings, environment_name

ROOT = Path(__file__).resolve().parent.parent
TABLE_START, TABLE_END = "<!-- settings: docs/generate.py -->", "<!-- /settings -->"


def example_settings() -> str:
    """`local.settings.example.json`: every setting with its default, as Azure Functions Core Tools reads it."""
    values = {
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        "DATA_STORAGE": "UseDevelopmentStorage=true",
    }
    for field in dataclasses.fields(Settings):
        values[environment_name(field)] = field.metadata["default"] or ""
    # The stack of `python -m local` brings its own storage and host settings.
    return json.dumps({"IsEncrypted": False, "Values": values}, indent=2) + "\n"


def settings_table() -> str:
    """The README's table of settings."""
    lines = ["| setting | default | what it is |", "|---|---|---|"]
    for field in dataclasses.fields(Settings):
        default = field.metadata["default"]
        shown = "required" if default is None else f"`{default}`" if default else "-"
        lines.append(f"| `{environment_name(field)}` | {shown} | {field.metadata['about']} |")
    return "\n".join(lines)


def readme(current: str) -> str:
    """The README with its table of settings replaced."""
    before, _, rest = current.partition(TABLE_START)
    _, _, after = rest.partition(TABLE_END)
    return f"{before}{TABLE_START}\n{settings_table()}\n{TABLE_END}{after}"


def between(current: str, name: str, table: str) -> str:
    """A page with the table of a name, which stands between comments, replaced."""
    start, end = f"<!-- {name}: docs/generate.py -->", f"<!-- /{name} -->"
    before, _, rest = current.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n{table}\n{end}{after}"


def api_page(current: str) -> str:
    """docs/api.md with its tables replaced: the routes, and the kinds of problems."""
    # What the routes' statuses are is the document's; the module registers all routes.
    import handlers.api  # noqa: F401
    from handlers.http import api, problems
    from handlers.http.document import document, path_in_document

    told = document(api.routes, "keys")["paths"]
    routes = ["| request | key | what it does | answers |", "|---|---|---|---|"]
    for route in sorted(api.routes, key=lambda each: (each.tag, each.path, each.method)):
        operation = told[path_in_document(route)][route.method.lower()]
        statuses = ", ".join(status for status in operation["responses"] if status not in {"406", "429", "500"})
        key = "-" if route.key == "anonymous" else str(route.key)
        routes.append(f"| `{route.method} {path_in_document(route)}` | {key} | {operation['summary']} | {statuses} |")
    known = {each for each in vars(problems).values() if isinstance(each, problems.Kind)}
    kinds = ["| type | status | what it means |", "|---|---|---|"]
    kinds += [f"| `{kind.type}` | {kind.status} | {kind.title} |" for kind in sorted(known, key=_by_status)]
    page = between(current, "routes", "\n".join(routes))
    return between(page, "problems", "\n".join(kinds))


def _by_status(kind: Any) -> tuple[int, str]:
    return kind.status, kind.name


def cloud_coverage() -> str:
    """What the local cloud understands, by its own route table."""
    command = [sys.executable, "-m", "local.cloud", "--coverage"]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def main(arguments: list[str]) -> int:
    files = {
        ROOT / "local.settings.example.json": example_settings(),
        ROOT / "README.md": readme((ROOT / "README.md").read_text(encoding="utf-8")),
        ROOT / "docs" / "local-cloud.md": cloud_coverage(),
        ROOT / "docs" / "api.md": api_page((ROOT / "docs" / "api.md").read_text(encoding="utf-8")),
    }
    stale = [path for path, content in files.items() if not path.exists() or path.read_text("utf-8") != content]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date; run `make generate`", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(files[path], encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
