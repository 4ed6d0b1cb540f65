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

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient

    from shared.clients import Clients

REPLAYED = "Idempotency-Replayed"
FOLDER = "idempotency"
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
    shard = f"{FOLDER}/{name[:2]}/"
    blob = clients.blobs.get_blob_client(clients.settings.work_container, f"{shard}{name}.json")
    mine = Record(dt.datetime.now(dt.UTC), _fingerprint(req))
    etag = _begin(blob, mine)
    if isinstance(etag, func.HttpResponse):
        return etag
    try:
        response = carry_out()
    except BaseException:
        _forget(blob, etag)
        raise
    if response.status_code >= 300:
        _forget(blob, etag)
    else:
        _keep(blob, etag, mine, response)
    _delete_expired(clients, shard)
    return response


def _begin(blob: "BlobClient", mine: Record) -> str | func.HttpResponse:
    """The etag of the note that the request is being carried out, or the answer that it got before."""
    from azure.core import MatchConditions
    from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError

    content = msgspec.json.encode(mine)
    while True:
        try:
            return str(blob.upload_blob(content, overwrite=False)["etag"])
        except ResourceExistsError:
            pass
        try:
            download = blob.download_blob()
            found = msgspec.json.decode(download.readall(), type=Record)
            etag = str(download.properties.etag)
        except ResourceNotFoundError:
            continue
        age = mine.begun - found.begun
        if age < (KEPT if found.status else LEASE):
            return _known(found, mine)
        try:
            condition = MatchConditions.IfNotModified
            return str(blob.upload_blob(content, overwrite=True, etag=etag, match_condition=condition)["etag"])
        except (ResourceModifiedError, ResourceNotFoundError):
            continue


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


def _keep(blob: "BlobClient", etag: str, mine: Record, response: func.HttpResponse) -> None:
    """Note the answer. When another took the note over, it is theirs."""
    from azure.core import MatchConditions
    from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

    record = Record(
        mine.begun,
        mine.request,
        response.status_code,
        dict(response.headers.items()),
        response.mimetype,
        base64.b64encode(response.get_body()).decode(),
    )
    try:
        content = msgspec.json.encode(record)
        blob.upload_blob(content, overwrite=True, etag=etag, match_condition=MatchConditions.IfNotModified)
    except (ResourceModifiedError, ResourceNotFoundError):
        return


def _forget(blob: "BlobClient", etag: str) -> None:
    from azure.core import MatchConditions
    from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

    try:
        blob.delete_blob(etag=etag, match_condition=MatchConditions.IfNotModified)
    except (ResourceModifiedError, ResourceNotFoundError):
        return


def _delete_expired(clients: "Clients", shard: str) -> None:
    """Delete the expired notes among those whose names begin as this one's, one in 256."""
    expired = dt.datetime.now(dt.UTC) - 2 * KEPT
    container = clients.blobs.get_container_client(clients.settings.work_container)
    for each in container.list_blobs(name_starts_with=shard):
        if each.last_modified < expired:
            _forget(container.get_blob_client(each.name), each.etag)


def _fingerprint(req: func.HttpRequest) -> str:
    """The hash of what a request asks: method, path, query and body."""
    told = hashlib.sha256()
    query = sorted((name, value) for name, value in req.params.items() if name.lower() != "code")
    head = (req.method, sorted(req.route_params.items()), query, req.headers.get("content-type"))
    told.update(msgspec.json.encode(head))
    told.update(req.get_body() or b"")
    return told.hexdigest()
