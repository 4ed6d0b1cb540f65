"""Errors as RFC 9457 documents. Each kind has a `type` that never changes; the detail says what is wrong with what."""

import logging
from collections.abc import Mapping, Sequence

import azure.functions as func
import msgspec

from shared import errors

PROBLEM_JSON = "application/problem+json"
RETRY_SECONDS = 60

logger = logging.getLogger(__name__)


class Kind(msgspec.Struct, frozen=True):
    """One kind of problem. Its title is the same for every case of it."""

    name: str
    status: int
    title: str

    @property
    def type(self) -> str:
        """The stable identifier that a client compares."""
        return f"urn:labelloop:problem:{self.name}"


INVALID_REQUEST = Kind("invalid-request", 400, "The request is not as it must be")
UNAUTHENTICATED = Kind("unauthenticated", 401, "Nobody is signed in")
MISSING_ROLE = Kind("missing-role", 403, "Who is signed in may not do this")
SWITCHED_OFF = Kind("switched-off", 403, "This is switched off")
NOT_FOUND = Kind("not-found", 404, "There is no such thing")
UNKNOWN_PATH = Kind("unknown-path", 404, "The API has no such path")
METHOD_NOT_ALLOWED = Kind("method-not-allowed", 405, "The path does not take this method")
NOT_ACCEPTABLE = Kind("not-acceptable", 406, "The answer has no form that the client accepts")
CONFLICT = Kind("conflict", 409, "This contradicts what is there")
REQUEST_IN_PROGRESS = Kind("request-in-progress", 409, "The same request is being carried out")
PRECONDITION_FAILED = Kind("precondition-failed", 412, "It is not as the request says that it is")
CONTENT_TOO_LARGE = Kind("content-too-large", 413, "The body is too large")
UNSUPPORTED_MEDIA_TYPE = Kind("unsupported-media-type", 415, "The body's form is not taken here")
IMAGE_REJECTED = Kind("image-rejected", 422, "This is no image that can be scored")
EXPORT_REFUSED = Kind("export-refused", 422, "The label export can't be trained on")
WEBHOOK_REFUSED = Kind("webhook-refused", 422, "Nothing can be delivered to this URL")
KEY_REUSED = Kind("idempotency-key-reused", 422, "The idempotency key was used for another request")
THROTTLED = Kind("throttled", 429, "Azure asks for fewer requests")
INTERNAL_ERROR = Kind("internal-error", 500, "The app has a defect")
MISCONFIGURED = Kind("misconfigured", 500, "A setting of the app is wrong")
AZURE_RESOURCE = Kind("azure-resource", 500, "An Azure resource is not as it must be")
NO_MODEL = Kind("no-model", 503, "There is no model yet")
AZURE_UNAVAILABLE = Kind("azure-unavailable", 503, "Azure does not answer as it should")

# The first that an error is an instance of counts.
KINDS: Mapping[type[Exception], Kind] = {
    errors.InvalidRequestError: INVALID_REQUEST,
    errors.ExportError: EXPORT_REFUSED,
    errors.ImageRejectedError: IMAGE_REJECTED,
    errors.WebhookRefusedError: WEBHOOK_REFUSED,
    errors.ForbiddenError: SWITCHED_OFF,
    errors.NotFoundError: NOT_FOUND,
    errors.ConflictError: CONFLICT,
    errors.NoModelError: NO_MODEL,
    errors.SettingsError: MISCONFIGURED,
    errors.ProvisioningError: AZURE_RESOURCE,
}


class HttpError(errors.LabelLoopError):
    """A problem that only HTTP has, of a kind of its own."""

    def __init__(
        self, kind: Kind, message: str, *, field: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.field = field
        self.headers = dict(headers or {})


class Problem(msgspec.Struct, omit_defaults=True):
    """What went wrong (RFC 9457). `type` tells the kind and never changes, `detail` tells people what is wrong with
    what and what would be right, `field` names the offending part of the request, `reasons` lists all that was found.
    """

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None
    reasons: Sequence[str] = ()


def kind_of(error: errors.LabelLoopError) -> Kind:
    """The kind of problem that an error of ours is."""
    if isinstance(error, HttpError):
        return error.kind
    return next((kind for known, kind in KINDS.items() if isinstance(error, known)), INTERNAL_ERROR)


def respond(
    kind: Kind,
    detail: str,
    *,
    field: str | None = None,
    reasons: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
) -> func.HttpResponse:
    """A problem as an answer. What may go away says when to ask again."""
    told = dict(headers or {})
    if kind.status in {429, 503}:
        told.setdefault("Retry-After", str(RETRY_SECONDS))
    told["Cache-Control"] = "no-store"
    content = msgspec.json.encode(Problem(kind.type, kind.title, kind.status, detail, field, reasons))
    return func.HttpResponse(content, status_code=kind.status, mimetype=PROBLEM_JSON, headers=told)


def answer_to(error: Exception, what: str) -> func.HttpResponse:
    """The answer to an error; `what` names the request in the log, which gets those that people have to look at."""
    if isinstance(error, errors.LabelLoopError):
        kind = kind_of(error)
        if kind.status == 500:
            logger.error("%s", what, exc_info=error)
        reasons = error.reasons if isinstance(error, errors.ExportError) else ()
        headers = error.headers if isinstance(error, HttpError) else {}
        return respond(kind, str(error), field=getattr(error, "field", None), reasons=reasons, headers=headers)
    logger.error("%s", what, exc_info=error)
    if is_azure_error(error):
        name = type(error).__name__
        if getattr(error, "status_code", None) == 429:
            return respond(THROTTLED, f"Azure asks for fewer requests ({name})", headers=_retry_after(error))
        return respond(AZURE_UNAVAILABLE, f"Azure does not answer as it should ({name}); is it provisioned?")
    return respond(INTERNAL_ERROR, "the app has a defect; its log tells more")


def is_azure_error(error: Exception) -> bool:
    """Whether an SDK raised it. Told by its class's module, so that no SDK is loaded for it."""
    return any(base.__module__ == "azure.core.exceptions" for base in type(error).__mro__)


def _retry_after(error: Exception) -> dict[str, str]:
    """Azure's own Retry-After (s), where it gave one."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    value = str(headers.get("Retry-After") or headers.get("retry-after") or "")
    return {"Retry-After": value} if value.isdecimal() else {}
