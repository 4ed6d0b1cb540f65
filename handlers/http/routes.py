"""A route: one function of the HTTP API with its path, who may call it, and what goes in and comes out."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from handlers.http.callers import Key
from handlers.http.problems import Kind

Handler = Callable[..., Any]


class File(msgspec.Struct, frozen=True):
    """A body that is bytes, as the document describes it."""

    description: str


class Files(File, frozen=True):
    """Several files, as parts of a form."""


Shape = type[msgspec.Struct] | File | None


class Route(msgspec.Struct, frozen=True):
    """One row. `answers`: what comes with which status, by media type; `kinds`: the problems that are its own."""

    method: str
    path: str
    key: Key
    handler: Handler
    query: type[msgspec.Struct] | None
    body: type[msgspec.Struct] | None
    accepts: Mapping[str, Shape]
    max_bytes: int
    answers: Mapping[int, Mapping[str, Shape]]
    kinds: Sequence[Kind]
    is_repeatable: bool
    tag: str

    @property
    def name(self) -> str:
        """The function's name."""
        return self.handler.__name__

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of what the handler takes."""
        return tuple(inspect.signature(self.handler).parameters)

    @property
    def path_names(self) -> tuple[str, ...]:
        """The names of the path's variable parts."""
        return tuple(part.split("}")[0].lstrip("*") for part in self.path.split("{")[1:])

    @property
    def methods(self) -> tuple[str, ...]:
        """What the host lets through: HEAD is GET without its body, which the host leaves out."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)

    @property
    def media_types(self) -> tuple[str, ...]:
        """Those of the answer when all went well."""
        return tuple(dict.fromkeys(media_type for content in self.answers.values() for media_type in content))
