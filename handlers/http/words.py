"""What is wrong with a value, in words: msgspec tells where, the type tells what would be right."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from shared.errors import InvalidRequestError

_WHERE = re.compile(r" - at `\$\.?(.*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*?)`")
_MISSING = re.compile(r"Object missing required field `(.*?)`")
_LONGEST = 100


def explained(
    error: msgspec.ValidationError, kind: type[msgspec.Struct], value: Any, whole: str
) -> InvalidRequestError:
    """The error for people. `whole` names the thing: "the body", "the query"."""
    message = str(error)
    place = _WHERE.search(message)
    path = place[1] if place else ""
    unknown, missing = _UNKNOWN.match(message), _MISSING.match(message)
    if unknown or missing:
        name = (unknown or missing)[1]  # type: ignore[index] # one of them matched
        field = f"{path}.{name}" if path else name
        if missing:
            return InvalidRequestError(f"{field} is missing from {whole}", field)
        known = "" if path else "; there are " + (", ".join(kind.__struct_encode_fields__) or "none")
        return InvalidRequestError(f"{whole} has no field {field}{known}", field)
    if not path:
        return InvalidRequestError(f"{whole} is {_shown(value)}, but must be a JSON object", whole.rpartition(" ")[2])
    field = re.split(r"[.\[]", path)[0]
    given = value.get(field) if isinstance(value, Mapping) else None
    types = {each.encode_name: each.type for each in msgspec.inspect.type_info(kind).fields}  # type: ignore[attr-defined]
    expected = _expected(types[field]) if field in types else "something else"
    return InvalidRequestError(f"{field} is {_shown(given)}, but must be {expected}", field)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _expected(kind: Any) -> str:
    """What a type takes."""
    inspect = msgspec.inspect
    match kind:
        case inspect.Metadata():
            words = (kind.extra or {}).get("expected")
            return str(words) if words else _expected(kind.type)
        case inspect.UnionType():
            parts = [_expected(each) for each in kind.types if not isinstance(each, inspect.NoneType)]
            return " or ".join(parts)
        case inspect.LiteralType():
            return _alternatives(kind.values)
        case inspect.EnumType():
            return _alternatives([each.value for each in kind.cls])
        case inspect.IntType():
            return "a whole number" + _bounds(kind)
        case inspect.FloatType():
            return "a number" + _bounds(kind)
        case inspect.BoolType():
            return "true or false"
        case inspect.StrType():
            length = f" of at most {kind.max_length} characters" if kind.max_length else ""
            return f"a text{length}" + (" that is not empty" if kind.min_length == 1 else "")
        case inspect.DateTimeType():
            return "a time with its zone, e.g. 2026-11-24T06:00:00Z"
        case inspect.DateType():
            return "a date, e.g. 2026-11-24"
        case inspect.ListType():
            counts = [
                f"at least {kind.min_length}" if kind.min_length else "",
                f"at most {kind.max_length}" if kind.max_length else "",
            ]
            most = " and ".join(each for each in counts if each)
            return f"a list{f' of {most}' if most else ''}, each {_expected(kind.item_type)}"
        case inspect.StructType() | inspect.DictType():
            return "an object"
        case _:
            return "something else"


def _alternatives(values: Any) -> str:
    names = [str(each) for each in values]
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _bounds(kind: Any) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge} to {kind.le}"
    if kind.ge is not None:
        return f" of at least {kind.ge}"
    return f" of at most {kind.le}" if kind.le is not None else ""
