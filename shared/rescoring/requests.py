"""Asking for a re-scoring, and how far it is."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from shared.batches.rescored import wake_rescorings
from shared.errors import ConflictError, InvalidRequestError, NotFoundError
from shared.ledger import Ledger, Rescoring, rfc3339
from shared.models import get_version, model_store, require_champion

if TYPE_CHECKING:
    from shared.clients import Clients

CHAMPION = "champion"
# A blob's name has at most 1,024 characters: https://learn.microsoft.com/rest/api/storageservices/
# naming-and-referencing-containers--blobs--and-metadata
MAX_PREFIX_LENGTH = 1024


def request_rescoring(clients: Clients, ledger: Ledger, prefix: str, model: str) -> dict[str, Any]:
    """Score again all images whose path begins with `prefix`, with the champion or a named version of the model, as it
    is now, but for those that have a row of this model, or get one anyhow. The same request while that is under way is
    the same one. Returns its report.

    Raises InvalidRequestError for a prefix that no image can have, NoModelError and NotFoundError when there is no such
    model, and ConflictError when it has no bundle.
    """
    if len(prefix) > MAX_PREFIX_LENGTH:
        raise InvalidRequestError(
            f"the prefix has {len(prefix)} characters; a blob's name has at most {MAX_PREFIX_LENGTH}", "prefix"
        )
    name, version, path = _resolved(clients, model)
    key = _digest(prefix, name, version)
    now = ledger.now()
    asked = Rescoring(
        # Another one than that of a request in the same second, which may be done already.
        id=f"{now:%Y%m%d-%H%M%S}-{_digest(key, now.isoformat())}",
        key=key,
        prefix=prefix,
        model_name=name,
        model_version=version,
        model_path=path,
        created=rfc3339(now),
    )
    started = ledger.start_rescoring(asked)
    wake_rescorings(clients)
    return _report(ledger, started)


def rescoring_report(clients: Clients, rescoring_id: str) -> dict[str, Any]:
    """How far a re-scoring is: `state` is planning (its images are being listed), running or done; `images` and
    `batches` are what is planned so far, `predicted` and `errors` rows that are written. Raises NotFoundError.
    """
    ledger = Ledger(clients.tables)
    found = ledger.rescoring(rescoring_id)
    if found is None:
        raise NotFoundError(f"there is no re-scoring {rescoring_id}")
    return _report(ledger, found)


def _report(ledger: Ledger, rescoring: Rescoring) -> dict[str, Any]:
    batches = {each.id: each for each in ledger.batches_named(f"{rescoring.id}-")}
    return {
        "id": rescoring.id,
        "prefix": rescoring.prefix,
        "model": rescoring.model,
        "state": rescoring.state,
        "created": rescoring.created,
        "images": rescoring.images,
        "skipped": rescoring.skipped,
        "already_scored": rescoring.already_scored,
        "error": rescoring.error,
        "predicted": sum(each.predicted for each in batches.values()),
        "errors": sum(each.errors for each in batches.values()),
        "batches": sorted(batches),
    }


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:10]


def _resolved(clients: Clients, model: str) -> tuple[str, str, str]:
    """Name, version and bundle of `champion` or a version."""
    from azure.core.exceptions import ResourceNotFoundError

    store = model_store(clients)
    if model == CHAMPION:
        champion = require_champion(store)
        name, version, path = champion.name, champion.version, champion.path
    else:
        found = get_version(clients.ml, store, model)
        name, version = store.model_name, model
        path = store.bundle_path(str(found["tags"].get("job") or ""))
    try:
        store.labels(path)
    except ResourceNotFoundError:
        raise ConflictError(f"version {version} of model {name} has no bundle of LabelLoop; it can't score") from None
    return name, version, path
