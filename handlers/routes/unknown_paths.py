"""What no route takes: 404 for a path that there is not, 405 for a method that a path does not take.

The host itself answers both with an empty 404. It tries routes in the order of their functions' names, whatever their
templates (https://github.com/Azure/azure-functions-host/issues/9876): this one's has to be the last of all.
"""

import re

import azure.functions as func

from handlers.http import api
from handlers.http.problems import METHOD_NOT_ALLOWED, UNKNOWN_PATH, respond
from handlers.http.routes import Route

METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


def zz_unknown_path(req: func.HttpRequest) -> func.HttpResponse:
    """Say what is wrong with a path or a method."""
    path = req.route_params.get("path", "").strip("/")
    methods = sorted({method for route in api.routes if _fits(route, path) for method in route.methods})
    if not methods:
        return respond(UNKNOWN_PATH, f"there is no /api/{path}; /api/openapi.json tells what there is")
    allow = {"Allow": ", ".join([*methods, "OPTIONS"])}
    if req.method == "OPTIONS":
        return func.HttpResponse(status_code=204, headers=allow)
    return respond(METHOD_NOT_ALLOWED, f"/api/{path} takes {' and '.join(methods)}, not {req.method}", headers=allow)


def _fits(route: Route, path: str) -> bool:
    """Whether a path is one of a route's. The host compares without regard to case."""
    pattern = "".join(
        re.escape(part) if not part.startswith("{") else ".+" if part.startswith("{*") else "[^/]+"
        for part in re.split(r"({[^{}]+})", route.path)
    )
    return re.fullmatch(pattern, path, re.IGNORECASE | re.DOTALL) is not None


def add_to(blueprint: func.Blueprint) -> None:
    """Register the function."""
    blueprint.route("{*path}", methods=METHODS, auth_level=func.AuthLevel.ANONYMOUS)(zz_unknown_path)
