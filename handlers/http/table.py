"""The table of routes, from which all else is derived: the functions that the host registers, the OpenAPI document,
and the table in docs/api.md.

To add a route, write a function with what it takes in its signature, in a module that `handlers/api.py` imports:

    @api.get("batches", Key.READ, query=BatchQuery)
    def list_batches(query: BatchQuery) -> Batches:
        \"\"\"The batches, newest first.\"\"\"
        from shared.batches import page_of_batches

        return msgspec.convert(page_of_batches(clients(), query.state, query.cursor, query.limit), Batches)

A handler's parameters are filled by name: `query` and `body` with the structs that the route names, `content` with a
body that is not just JSON (`accepts`), `caller` with who calls, `request` with azure.functions' own, and any part of
the path with a text. It returns a struct, or an `Answer` when the status is not 200; then `answers` tells the document
what comes with which status. Errors are raised: those of shared/errors.py, or an HttpError. `raises` names the ones
that are the route's own. The docstring is the description; the function's name is its name in the host, in Application
Insights and in the document.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import azure.functions as func
import msgspec

from handlers.http.answers import JSON
from handlers.http.callers import Key
from handlers.http.problems import KINDS, Kind
from handlers.http.reading import MAX_JSON_BYTES
from handlers.http.routes import Handler, Route, Shape
from handlers.http.running import run
from shared.errors import LabelLoopError


class Api:
    """All routes."""

    def __init__(self) -> None:
        self.routes: list[Route] = []

    def get(self, path: str, key: Key, **options: Any) -> Callable[[Handler], Route]:
        """A read."""
        return self.route("GET", path, key, **options)

    def post(self, path: str, key: Key, **options: Any) -> Callable[[Handler], Route]:
        """A write that is named by what it does."""
        return self.route("POST", path, key, **options)

    def put(self, path: str, key: Key, **options: Any) -> Callable[[Handler], Route]:
        """A write of the thing that the path names: the same again changes nothing."""
        return self.route("PUT", path, key, **options)

    def delete(self, path: str, key: Key, **options: Any) -> Callable[[Handler], Route]:
        """The end of the thing that the path names."""
        return self.route("DELETE", path, key, **options)

    def route(
        self,
        method: str,
        path: str,
        key: Key,
        *,
        query: type[msgspec.Struct] | None = None,
        body: type[msgspec.Struct] | None = None,
        accepts: Mapping[str, Shape] | None = None,
        max_bytes: int = MAX_JSON_BYTES,
        answers: Mapping[int, Shape | Mapping[str, Shape]] | None = None,
        raises: Sequence[type[LabelLoopError]] = (),
        kinds: Sequence[Kind] = (),
        is_repeatable: bool = False,
        tag: str = "",
    ) -> Callable[[Handler], Route]:
        """Add a route. `answers` are JSON unless media types stand with them; without any, the handler's return type is
        what comes with 200. `kinds` are those of the HttpErrors that it raises. `is_repeatable`: a repeat would do
        something twice, so that an Idempotency-Key is honoured. `tag` groups it in the document (default: the first
        part of the path).
        """

        def add(handler: Handler) -> Route:
            told = answers if answers is not None else {200: handler.__annotations__["return"]}
            shapes = {status: each if isinstance(each, Mapping) else {JSON: each} for status, each in told.items()}
            taken = accepts if accepts is not None else {JSON: body} if body else {}
            group = tag or path.partition("/")[0]
            found = tuple(KINDS[each] for each in raises)
            route = Route(
                method,
                path,
                key,
                handler,
                query,
                body,
                taken,
                max_bytes,
                shapes,
                (*found, *kinds),
                is_repeatable,
                group,
            )
            self.routes.append(route)
            return route

        return add

    def blueprint(self, auth: str) -> func.Blueprint:
        """The functions for the host. `auth`: API_AUTH; with `entra` the host asks for no key."""
        blueprint = func.Blueprint()
        for route in self.routes:
            is_open = route.key is Key.ANONYMOUS or auth == "entra"
            level = func.AuthLevel.ANONYMOUS if is_open else func.AuthLevel.FUNCTION
            blueprint.route(route.path, methods=route.methods, auth_level=level)(_function(route))
        return blueprint


def _function(route: Route) -> Callable[[func.HttpRequest], func.HttpResponse]:
    """A plain function for the host, which indexes functions by their names and looks at their signatures."""

    def function(req: func.HttpRequest) -> func.HttpResponse:
        return run(route, req)

    function.__name__ = function.__qualname__ = route.name
    function.__doc__ = route.handler.__doc__
    return function


api = Api()
