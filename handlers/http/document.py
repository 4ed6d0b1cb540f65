"""The OpenAPI 3.1 document, derived from the table of routes and the structs."""

import functools
import inspect
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from handlers.http import problems
from handlers.http.callers import Key
from handlers.http.idempotency import MAX_KEY_CHARS
from handlers.http.problems import PROBLEM_JSON, Kind, Problem
from handlers.http.reading import IDEMPOTENCY_KEY
from handlers.http.routes import File, Files, Route, Shape
from handlers.http.table import api

REFERENCE = "#/components/schemas/{name}"
# What any route of a kind may answer.
ALWAYS = (
    problems.INVALID_REQUEST,
    problems.NOT_ACCEPTABLE,
    problems.THROTTLED,
    problems.INTERNAL_ERROR,
    problems.MISCONFIGURED,
    problems.AZURE_UNAVAILABLE,
)
WITH_BODY = (problems.CONTENT_TOO_LARGE, problems.UNSUPPORTED_MEDIA_TYPE)
REPEATABLE = (problems.REQUEST_IN_PROGRESS, problems.KEY_REUSED)
ENTRA = (problems.UNAUTHENTICATED, problems.MISSING_ROLE)
ABOUT = """\
Images in, labels out: label exports train models, new images are scored, predictions land in storage.

Errors are `application/problem+json` (RFC 9457); their `type` is stable. Lists come in pages: `next` of one page is the
`cursor` of the following. Reads have an `ETag` and answer 304 to `If-None-Match`. Long work is 202 with a `Location`.
A write with an `Idempotency-Key` that comes again within a day is answered as the first time."""


@functools.cache
def document_bytes(auth: str) -> bytes:
    """The document as JSON."""
    return msgspec.json.encode(document(api.routes, auth))


def document(routes: Sequence[Route], auth: str) -> dict[str, Any]:
    """The document. `auth`: API_AUTH."""
    structs = {kind for route in routes for kind in _structs(route)} | {Problem}
    ordered = sorted(structs, key=lambda kind: kind.__name__)
    _, schemas = msgspec.json.schema_components(ordered, ref_template=REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(path_in_document(route), {})[route.method.lower()] = _operation(route, auth)
    return {
        "openapi": "3.1.0",
        "info": {"title": "LabelLoop", "version": "1", "description": ABOUT, "license": {"name": "MIT"}},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {name: _opened(schema, schemas_asked(routes), name) for name, schema in schemas.items()},
            "securitySchemes": _schemes(auth),
        },
    }


def path_in_document(route: Route) -> str:
    """The path as OpenAPI writes it, which knows no rest of a path: slashes in it are sent as `%2F`, or as they are."""
    return f"/api/{route.path.replace('{*', '{')}"


def kinds_of(route: Route, auth: str) -> list[Kind]:
    """Every kind of problem that a route may answer with, by status."""
    found = [*ALWAYS, *route.kinds]
    found += WITH_BODY if route.accepts else ()
    found += REPEATABLE if route.is_repeatable else ()
    found += ENTRA if auth == "entra" and route.key is not Key.ANONYMOUS else ()
    return sorted(dict.fromkeys(found), key=lambda kind: kind.status)


def schemas_asked(routes: Iterable[Route]) -> set[str]:
    """Names of the structs that clients send."""
    return {
        kind.__name__
        for route in routes
        for kind in (route.query, route.body, *route.accepts.values())
        if inspect.isclass(kind)
    }


def _structs(route: Route) -> Iterable[type[msgspec.Struct]]:
    shapes = [
        route.body,
        *route.accepts.values(),
        *(shape for content in route.answers.values() for shape in content.values()),
    ]
    for each in shapes:
        if inspect.isclass(each) and issubclass(each, msgspec.Struct):
            yield each


def _opened(schema: dict[str, Any], asked: set[str], name: str) -> dict[str, Any]:
    """An answer may gain fields with time, a request may not have any that there are not."""
    if name not in asked:
        return {key: value for key, value in schema.items() if key != "additionalProperties" or value is not False}
    return schema


def _operation(route: Route, auth: str) -> dict[str, Any]:
    described = inspect.cleandoc(route.handler.__doc__ or "")
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": " ".join(described.partition("\n\n")[0].split()),
        "tags": [route.tag],
        "parameters": [*_path_parameters(route), *_query_parameters(route), *_header_parameters(route)],
        "responses": _responses(route, auth),
        "security": [] if route.key is Key.ANONYMOUS else [{auth: [route.key.role] if auth == "entra" else []}],
        "x-labelloop-key": str(route.key),
    }
    if route.accepts:
        content = {name: _content(shape) for name, shape in route.accepts.items()}
        operation["requestBody"] = {"required": _needs_body(route), "content": content}
    return operation


def _needs_body(route: Route) -> bool:
    return route.body is None or any(each.required for each in msgspec.structs.fields(route.body))


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in route.path_names]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    (_,), schemas = msgspec.json.schema_components([route.query], ref_template=REFERENCE)
    schema = schemas[route.query.__name__]
    parameters = []
    for name, each in schema["properties"].items():
        required = name in schema.get("required", ())
        description = each.pop("description", "")
        told = {"name": name, "in": "query", "required": required, "schema": _without_null(each)}
        parameters.append({**told, "description": description} if description else told)
    return parameters


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """What is null in the struct is not there in a query."""
    if schema.get("default", 0) is None:
        schema.pop("default")
    options = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(options) == 1:
        return {**{name: value for name, value in schema.items() if name != "anyOf"}, **options[0]}
    return schema


def _header_parameters(route: Route) -> list[dict[str, Any]]:
    if route.method == "GET":
        schema: dict[str, Any] = {"type": "string"}
        return [{"name": "If-None-Match", "in": "header", "required": False, "schema": schema}]
    if route.is_repeatable:
        schema = {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARS}
        return [{"name": IDEMPOTENCY_KEY, "in": "header", "required": False, "schema": schema}]
    return []


def _responses(route: Route, auth: str) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, content in route.answers.items():
        told: dict[str, Any] = {"description": HTTPStatus(status).phrase}
        told["content"] = {media_type: _content(shape) for media_type, shape in content.items()}
        headers = {"ETag"} if route.method == "GET" and status == 200 else {"Location"} if status in {201, 202} else ()
        if headers:
            told["headers"] = {name: {"schema": {"type": "string"}} for name in sorted(headers)}
        responses[str(status)] = told
    if route.method == "GET":
        responses["304"] = {"description": "the client has it already (If-None-Match)"}
    by_status: dict[int, list[Kind]] = {}
    for kind in kinds_of(route, auth):
        by_status.setdefault(kind.status, []).append(kind)
    if auth == "keys" and route.key is not Key.ANONYMOUS:
        responses["401"] = {"description": "no key of the function, or a wrong one; the host answers without a body"}
    for status, kinds in by_status.items():
        description = "; ".join(f"{kind.title} (`{kind.type}`)" for kind in kinds)
        told = {PROBLEM_JSON: {"schema": {"$ref": REFERENCE.format(name="Problem")}}}
        if str(status) in responses:
            responses[str(status)]["description"] += f"; {description}"
            responses[str(status)].setdefault("content", {}).update(told)
        else:
            responses[str(status)] = {"description": description, "content": told}
    return dict(sorted(responses.items()))


def _content(shape: Shape | Any) -> dict[str, Any]:
    if isinstance(shape, File):
        schema: dict[str, Any] = {"type": "string", "format": "binary", "description": shape.description}
        if isinstance(shape, Files):
            files = {"type": "array", "items": schema, "minItems": 1}
            schema = {"type": "object", "properties": {"images": files}, "required": ["images"]}
        return {"schema": schema}
    if inspect.isclass(shape) and issubclass(shape, msgspec.Struct):
        return {"schema": {"$ref": REFERENCE.format(name=shape.__name__)}}
    return {"schema": msgspec.json.schema(shape)}


def _schemes(auth: str) -> Mapping[str, Any]:
    if auth == "entra":
        return {"entra": {"type": "http", "scheme": "bearer", "description": "a token of Microsoft Entra for this app"}}
    return {"keys": {"type": "apiKey", "in": "header", "name": "x-functions-key"}}
