"""Route templates of HTTP triggers, as ASP.NET Core's classic routing reads them.

Literals ignore case; `{name}` matches one segment or a part of it; `{*rest}` the rest of the path, also nothing;
`{name?}` may be left out at the end, `{name=value}` likewise with a default; `{name:constraint}` narrows. Routes are
tried in the order of their functions' names, not by how specific they are (FunctionMetadataManager sorts by name,
WebJobsRouter takes the first match). A known route with another method is 404 (azure-functions-host issue 10098).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from local.functions_host.errors import FunctionInError

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]+|[^{}]*\{[^{}]*\}[^{}]*)\}|[^{}]+")
_PARAMETER = re.compile(r"(\*{0,2})([^:=?]+)((?::[^=?]*(?:\([^)]*\))?)*)(=[^?]*)?(\?)?")
_CONSTRAINT = re.compile(r":(\w+)(?:\((.*?)\))?(?=:|$)")


def _parses(read: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            read(text)
        except ValueError:
            return False
        return True

    return check


def _integer(bits: int) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        return re.fullmatch(r"[+-]?\d+", text) is not None and -(2 ** (bits - 1)) <= int(text) < 2 ** (bits - 1)

    return check


def _length(low: int, high: int) -> Callable[[str], bool]:
    return lambda text: low <= len(text) <= high


def _range(low: int, high: int) -> Callable[[str], bool]:
    return lambda text: _integer(64)(text) and low <= int(text) <= high


_FAR = 2**63
_PLAIN: dict[str, Callable[[str], bool]] = {
    "int": _integer(32),
    "long": _integer(64),
    "bool": lambda text: text.lower() in {"true", "false"},
    "guid": _parses(uuid.UUID),
    "alpha": lambda text: re.fullmatch(r"[A-Za-z]*", text) is not None,
    "decimal": _parses(float),
    "double": _parses(float),
    "float": _parses(float),
    "required": bool,
}
_NUMERIC: dict[tuple[str, int], Callable[..., Callable[[str], bool]]] = {
    ("length", 1): lambda n: _length(n, n),
    ("length", 2): _length,
    ("minlength", 1): lambda n: _length(n, _FAR),
    ("maxlength", 1): lambda n: _length(0, n),
    ("min", 1): lambda n: _range(n, _FAR),
    ("max", 1): lambda n: _range(-_FAR, n),
    ("range", 2): _range,
}


@dataclass(frozen=True)
class Route:
    """A template ready to be matched."""

    template: str
    pattern: re.Pattern[str]
    defaults: Mapping[str, str]
    constraints: Mapping[str, tuple[Callable[[str], bool], ...]]

    def match(self, path: str) -> dict[str, str] | None:
        """The parameters of `path` (decoded, without leading slash) that have a value; None: it does not match."""
        found = self.pattern.fullmatch(path.strip("/"))
        if found is None:
            return None
        values = {name: text for name, text in found.groupdict().items() if text}
        for name, checks in self.constraints.items():
            if name in values and not all(check(values[name]) for check in checks):
                return None
        return {**self.defaults, **values}


def parse_route(template: str) -> Route:
    """Read a route template. Raises FunctionInError when it is not one, or has a constraint unknown here."""
    pattern = ""
    defaults: dict[str, str] = {}
    constraints: dict[str, tuple[Callable[[str], bool], ...]] = {}
    segments = [segment for segment in template.strip("/").split("/") if segment]
    for index, segment in enumerate(segments):
        text, optional = "", False
        tokens = _TOKEN.finditer(segment)
        if "".join(token.group(0) for token in _TOKEN.finditer(segment)) != segment:
            raise FunctionInError(f"The route template {template!r} has unbalanced braces.")
        for token in tokens:
            if token.group(1) is None:
                text += re.escape(token.group(0).replace("{{", "{").replace("}}", "}"))
                continue
            parameter = _PARAMETER.fullmatch(token.group(1))
            if parameter is None or not re.fullmatch(r"\w+", parameter.group(2)) or parameter.group(2) in constraints:
                raise FunctionInError(f"The route template {template!r} has the parameter {token.group(0)!r}.")
            star, name, checks, default, question = parameter.groups()
            constraints[name] = tuple(_constraint(template, *found) for found in _CONSTRAINT.findall(checks))
            if default is not None:
                defaults[name] = default[1:]
            optional = bool(star or question or default is not None) and token.group(0) == segment
            text += f"(?P<{name}>{'.*' if star else '[^/]+'})"
        separator = "/" if index else ""
        pattern += f"(?:{separator}{text})?" if optional else separator + text
    return Route(template, re.compile(pattern, re.IGNORECASE | re.DOTALL), defaults, constraints)


def _constraint(template: str, name: str, argument: str) -> Callable[[str], bool]:
    kind = name.lower()
    if not argument and kind in _PLAIN:
        return _PLAIN[kind]
    if kind == "regex":
        expression = re.compile(argument, re.IGNORECASE)
        return lambda text: expression.search(text) is not None
    try:
        numbers = [int(number) for number in argument.split(",")]
        return _NUMERIC[kind, len(numbers)](*numbers)
    except (KeyError, ValueError):
        raise FunctionInError(f"The route template {template!r} has the unknown constraint {name!r}.") from None


def decode_path(raw: str) -> str:
    """Percent-decode a request path, except `%2F`, which Kestrel leaves as it is."""
    return "%2F".join(unquote(part) for part in re.split("%2F", raw, flags=re.IGNORECASE))
