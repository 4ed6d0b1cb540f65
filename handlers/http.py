"""What every HTTP handler does alike: JSON out, problems as RFC 9457 documents."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import azure.functions as func

from shared import errors

Handler = Callable[[func.HttpRequest], func.HttpResponse]

logger = logging.getLogger(__name__)

STATUS = {
    errors.InvalidRequestError: 400,
    errors.ExportError: 400,
    errors.ImageRejectedError: 400,
    errors.ForbiddenError: 403,
    errors.NotFoundError: 404,
    errors.ConflictError: 409,
    errors.NoModelError: 503,
}
RETRY_SECONDS = 60


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> func.HttpResponse:
    """A JSON answer."""
    return func.HttpResponse(
        json.dumps(body, ensure_ascii=False),
        status_code=status,
        mimetype="application/json",
        headers=dict(headers or {}),
    )


def problem(status: int, detail: str, field: str | None = None) -> func.HttpResponse:
    """An `application/problem+json` answer (RFC 9457)."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    if field:
        body["field"] = field
    headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else {}
    return func.HttpResponse(
        json.dumps(body, ensure_ascii=False), status_code=status, mimetype="application/problem+json", headers=headers
    )


def json_body(req: func.HttpRequest) -> dict[str, Any]:
    """The request's body as a JSON object, empty when there is none. Raises InvalidRequestError for anything else."""
    content = req.get_body()
    try:
        value = json.loads(content) if content else {}
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise errors.InvalidRequestError("the body must be a JSON object")
    return value


def switch(req: func.HttpRequest, name: str) -> bool:
    """A query parameter that is true or false (or absent: false). Raises InvalidRequestError for anything else."""
    value = str(req.params.get(name, "false")).lower()
    if value not in {"true", "false"}:
        raise errors.InvalidRequestError(f"{name} is {value!r}, but must be true or false", name)
    return value == "true"


def is_azure_error(error: Exception) -> bool:
    """Whether an SDK raised it. Told by its class's module, so that no SDK is loaded for it."""
    return any(base.__module__ == "azure.core.exceptions" for base in type(error).__mro__)


def answering(handler: Handler) -> Handler:
    """Turn the errors meant for people into problem documents. Anything else is a defect: the host answers 500."""

    @functools.wraps(handler)
    def wrapper(req: func.HttpRequest) -> func.HttpResponse:
        try:
            return handler(req)
        except errors.LabelLoopError as error:
            status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
            if status == 500:
                logger.exception("%s %s", req.method, req.url.partition("?")[0])
            return problem(status, str(error), getattr(error, "field", None))
        except Exception as error:
            if not is_azure_error(error):
                raise
            logger.exception("%s %s", req.method, req.url.partition("?")[0])
            return problem(503, f"Azure does not answer as it should ({type(error).__name__}); is it provisioned?")

    return wrapper
