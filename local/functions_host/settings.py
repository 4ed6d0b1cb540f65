"""App settings: environment variables, filled from local.settings.json, and `%NAME%` expressions in bindings."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from local.functions_host.errors import FunctionInError, StartupError

_EXPRESSION = re.compile(r"%([^%]+)%")


def fill_from_local_settings(app: Path, environment: MutableMapping[str, str]) -> None:
    """Set from "Values" of `<app>/local.settings.json` what `environment` does not have yet.

    Raises StartupError when the file is not what `func start` would accept. No file: nothing to do.
    """
    path = app / "local.settings.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
        values = document.get("Values", {})
    except FileNotFoundError:
        return
    except (ValueError, AttributeError) as error:
        raise StartupError(f"{path} is not a JSON object with settings below 'Values': {error}") from error
    if document.get("IsEncrypted"):
        raise StartupError(f"{path} is encrypted; run `func settings decrypt`, or set IsEncrypted to false")
    for name, value in values.items():
        if not isinstance(value, str):
            raise StartupError(f"{path}: 'Values' has {name} = {value!r}; expected a string, as `func start` does")
        environment.setdefault(name, value)


def setting(name: str, settings: Mapping[str, str]) -> str | None:
    """Value of setting `name`, or None. As in .NET configuration, case does not matter and `:` is spelled `__`."""
    key = name.replace(":", "__")
    if key in settings:
        return settings[key]
    folded = key.casefold()
    return next((value for other, value in settings.items() if other.casefold() == folded), None)


def resolve(text: str, settings: Mapping[str, str]) -> str:
    """Replace each `%NAME%` in `text` by that setting. Raises FunctionInError, in the real host's words, if missing."""

    def value(match: re.Match[str]) -> str:
        found = setting(match.group(1), settings)
        if not found:
            raise FunctionInError(f"'{match.group(0)}' does not resolve to a value.")
        return found

    return _EXPRESSION.sub(value, text)
