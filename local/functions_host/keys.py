"""The host's keys: made once, kept in a file that only its owner may read."""

from __future__ import annotations

import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from local.functions_host.errors import StartupError

SYSTEM_KEYS = ("blobs_extension", "eventgrid_extension")


@dataclass(frozen=True)
class HostKeys:
    """`master` opens everything, `function` the functions of level function, `functions[f][name]` function `f` alone,
    `system[x]` the webhook of extension x.
    """

    master: str
    function: str
    system: Mapping[str, str]
    functions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def allows(self, level: str, key: str | None, function: str = "") -> bool:
        """Whether `key` opens a function of auth level `anonymous`, `function` or `admin`."""
        if level == "anonymous":
            return True
        accepted = [self.master]
        if level != "admin":
            accepted += [self.function, *self.functions.get(function, {}).values()]
        return key is not None and any(_same(key, other) for other in accepted)

    def allows_webhook(self, extension: str, key: str | None) -> bool:
        """Whether `key` opens the webhook of `extension` (`blobs`, `eventgrid`)."""
        return key is not None and (_same(key, self.master) or _same(key, self.system[f"{extension}_extension"]))

    def with_function_key(self, function: str, name: str, value: str) -> HostKeys:
        """The same with one key of one function."""
        changed = {**self.functions.get(function, {}), name: value}
        return replace(self, functions={**self.functions, function: changed})


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def load_or_create_keys(path: Path) -> HostKeys:
    """The keys in `path`, made first if the file does not exist. Raises StartupError when it holds anything else."""
    try:
        document = json.loads(path.read_text())
        return HostKeys(
            master=str(document["master"]),
            function=str(document["function"]),
            system={name: str(document["system"][name]) for name in SYSTEM_KEYS},
            functions={str(name): dict(keys) for name, keys in document.get("functions", {}).items()},
        )
    except FileNotFoundError:
        return _create(path)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StartupError(f"{path} is not a file of host keys ({error!r}); delete it to have new ones made") from error


def save_keys(path: Path, keys: HostKeys) -> None:
    """Write the file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    document = {
        "master": keys.master,
        "function": keys.function,
        "system": dict(keys.system),
        "functions": {name: dict(each) for name, each in keys.functions.items()},
    }
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(document, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _create(path: Path) -> HostKeys:
    keys = HostKeys(
        master=secrets.token_urlsafe(32),
        function=secrets.token_urlsafe(32),
        system={name: secrets.token_urlsafe(32) for name in SYSTEM_KEYS},
    )
    save_keys(path, keys)
    return keys
