"""From a request to the answer of its route: who calls, what they say, what is done, and errors as problems."""

import logging
from typing import Any

import azure.functions as func

from handlers.http import answers, problems
from handlers.http.callers import Caller, caller_of
from handlers.http.reading import IDEMPOTENCY_KEY, content_of, json_of, path_of, query_of
from handlers.http.routes import Route
from shared.clients import clients
from shared.settings import configured

logger = logging.getLogger(__name__)


def run(route: Route, req: func.HttpRequest) -> func.HttpResponse:
    """Answer a request. Never raises."""
    try:
        caller = caller_of(req, route.key, configured("api_auth"))
        answers.check_accept(req.headers.get("accept"), route.media_types)
        given = _given(route, req, caller)
        if route.is_repeatable and IDEMPOTENCY_KEY in req.headers:
            from handlers.http.idempotency import once

            return once(clients(), req, f"{route.name}\n{caller.name}", lambda: _answer(route, req, given))
        return _answer(route, req, given)
    except Exception as error:
        # The URL's query may have a key in it.
        return problems.answer_to(error, f"{req.method} {req.url.partition('?')[0]}")


def _given(route: Route, req: func.HttpRequest, caller: Caller) -> dict[str, Any]:
    """What the handler takes, by the names of its parameters."""
    content = content_of(req, tuple(route.accepts), route.max_bytes)
    query = query_of(req, route.query)
    values: dict[str, Any] = {"query": query, "caller": caller, "request": req, "content": content}
    if route.body is not None:
        values["body"] = json_of(content, route.body)
    values |= path_of(req, route.path_names)
    return {name: values[name] for name in route.parameters}


def _answer(route: Route, req: func.HttpRequest, given: dict[str, Any]) -> func.HttpResponse:
    answer = answers.as_answer(route.handler(**given))
    none_match = req.headers.get("if-none-match")
    return answers.respond(answer, is_read=route.method == "GET", none_match=none_match)
