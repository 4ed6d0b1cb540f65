"""Which properties Azure's resource types have: resource_types.json, which write_resource_types.py takes from the SDKs.

A key of the file is a place (`Microsoft.Web/sites.properties`, `…[]` for an item, `….*` for a map's value), its value
the properties of the object there: what kind of value each takes, `!` after it where Azure wants one.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.unit.infra.deployment import Resource
from tests.unit.infra.functions import Runtime

KINDS: dict[str, tuple[type, ...]] = {"text": (str,), "bool": (bool,), "int": (int,), "number": (int, float)}
PATH = Path(__file__).with_name("resource_types.json")


@functools.cache
def known_types() -> dict[str, dict[str, Any]]:
    """The file's content."""
    known: dict[str, dict[str, Any]] = json.loads(PATH.read_text())["types"]
    return known


def type_name(resource: Resource) -> str:
    """A resource's place; the configurations of a site differ by their names."""
    is_configuration = resource.type == "Microsoft.Web/sites/config"
    return f"{resource.type}/{resource.name}" if is_configuration else resource.type


def misfits(resource: Resource) -> list[str]:
    """What Azure would not take of a resource."""
    place = type_name(resource)
    return [f"{resource.symbol}: {each}" for each in _object(place, resource.body)]


def _object(place: str, value: dict[str, Any]) -> Iterator[str]:
    known = known_types().get(place)
    if known is None:
        yield f"{place} is not in {PATH.name}; write it anew, as write_resource_types.py says"
        return
    for name, inner in value.items():
        if name not in known:
            yield f"{place} has no property {name}; there are {', '.join(known)}"
        else:
            yield from _value(f"{place}.{name}", known[name], inner)
    for name, kind in known.items():
        if isinstance(kind, str) and kind.endswith("!") and name not in value:
            yield f"{place} wants {name}"


def _value(place: str, kind: str | list[str], value: Any) -> Iterator[str]:
    if value is None or isinstance(value, Runtime):
        return
    if isinstance(kind, list):
        if value not in kind:
            yield f"{place} is {value!r}, but must be one of {', '.join(kind)}"
        return
    kind = kind.removesuffix("!")
    if kind == "read-only":
        yield f"{place} can't be set"
    elif kind == "object" and isinstance(value, dict):
        yield from _object(place, value)
    elif kind.endswith("[]") and isinstance(value, list):
        for each in value:
            yield from _value(f"{place}[]", kind.removesuffix("[]"), each)
    elif kind.endswith("{}") and isinstance(value, dict):
        for each in value.values():
            yield from _value(f"{place}.*", kind.removesuffix("{}"), each)
    elif kind != "any":
        expected = KINDS.get(kind, ())
        if not isinstance(value, expected) or (isinstance(value, bool) and kind != "bool"):
            yield f"{place} is {value!r}, but must be {kind}"
