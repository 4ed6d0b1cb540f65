"""Idempotency-Key: a write that a client sends again, since it did not hear of the first, is carried out once.

As in draft-ietf-httpapi-idempotency-key-header: a blob of the work container, named by the function, the caller and the
key, says that the request is being carried out, and later what was answered. It is made before anything is done, by
create-if-absent; the same key with another request is refused. An answer is kept for a day, and only one that tells of
success: after a refusal the same key may be tried again. Whoever is killed while carrying it out leaves a note that is
taken over when no request can be waiting any more. What has expired is deleted along the way.
"""

import base64
import datetime as dt
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import azure.functions as func
import msgspec

from handlers.http.problems import KEY_REUSED, REQUEST_IN_PROGRESS, HttpError
from handlers.http.reading import IDEMPOTENCY_KEY
from shared.errors import InvalidRequestError
from shared.request_notes import delete_old_notes, write_note

if TYPE_CHECKING:
    from shared.clients import Clients

REPLAYED = "Idempotency-Replayed"
KEPT = dt.timedelta(days=1)
# Azure's load balancer ends a request after 230 s:
# https://learn.microsoft.com/azure/azure-functions/functions-bindings-http-webhook-trigger#limits
LEASE = dt.timedelta(minutes=5)
MAX_KEY_CHARS = 255


class Record(msgspec.Struct):
    """One request: when it began, the hash of what it asks, and its answer when there is one."""

    begun: dt.datetime
    request: str
    status: int = 0
    headers: dict[str, str] = {}
    media_type: str = ""
    body: str = ""


def once(
    clients: "Clients", req: func.HttpRequest, scope: str, carry_out: Callable[[], func.HttpResponse]
) -> func.HttpResponse:
    """The answer to a request with a key, carried out unless the same was before.

    `scope`: what the key is good for. Raises HttpError: 422 for a key that stood for another request, 409 while the
    same request is under way.
    """
    key = req.headers.get(IDEMPOTENCY_KEY) or ""
    if not 1 <= len(key) <= MAX_KEY_CHARS:
        raise InvalidRequestError(
            f"{IDEMPOTENCY_KEY} has {len(key)} characters; it must have 1 to {MAX_KEY_CHARS}", IDEMPOTENCY_KEY
        )
    name = hashlib.sha256(f"{scope}\n{key}".encode()).hexdigest()
    mine = Record(dt.datetime.now(dt.UTC), _fingerprint(req))
    note = write_note(clients, name, msgspec.json.encode(mine), is_over=lambda found: _is_over(found, mine.begun))
    if isinstance(note, bytes):
        return _known(msgspec.json.decode(note, type=Record), mine)
    try:
        response = carry_out()
    except BaseException:
        note.delete()
        raise
    if response.status_code >= 300:
        note.delete()
    else:
        note.replace(_answered(mine, response))
    delete_old_notes(clients, name, mine.begun - 2 * KEPT)
    return response


def _is_over(content: bytes, now: dt.datetime) -> bool:
    found = msgspec.json.decode(content, type=Record)
    return now - found.begun >= (KEPT if found.status else LEASE)


def _known(found: Record, mine: Record) -> func.HttpResponse:
    if found.request != mine.request:
        raise HttpError(
            KEY_REUSED,
            f"this {IDEMPOTENCY_KEY} stood for another request; give every request a key of its own",
            field=IDEMPOTENCY_KEY,
        )
    if not found.status:
        raise HttpError(
            REQUEST_IN_PROGRESS,
            "the same request is being carried out; ask again for its answer",
            headers={"Retry-After": "5"},
        )
    return func.HttpResponse(
        base64.b64decode(found.body),
        status_code=found.status,
        mimetype=found.media_type,
        headers={**found.headers, REPLAYED: "true"},
    )


def _answered(mine: Record, response: func.HttpResponse) -> bytes:
    """The note with the answer."""
    return msgspec.json.encode(
        Record(
            mine.begun,
            mine.request,
            response.status_code,
            dict(response.headers.items()),
            response.mimetype,
            base64.b64encode(response.get_body()).decode(),
        )
    )


def _fingerprint(req: func.HttpRequest) -> str:
    """The hash of what a request asks: method, path, query and body."""
    told = hashlib.sha256()
    query = sorted((name, value) for name, value in req.params.items() if name.lower() != "code")
    head = (req.method, sorted(req.route_params.items()), query, req.headers.get("content-type"))
    told.update(msgspec.json.encode(head))
    told.update(req.get_body() or b"")
    return told.hexdigest()
