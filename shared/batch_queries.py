"""What people ask about batches: one, a list by pages, and the counts that an overview shows."""

from __future__ import annotations

import dataclasses
import heapq
from typing import TYPE_CHECKING, Any

from shared.errors import InvalidRequestError, NotFoundError
from shared.ledger import Batch, Ledger

if TYPE_CHECKING:
    from shared.clients import Clients

STATES = ("open", "done")
MOST_WAITING = 10_000
DAYS = 14


def list_batches(
    clients: Clients, *, state: str | None = None, cursor: str | None = None, limit: int = 50
) -> dict[str, Any]:
    """Batches, newest first: those of a state, `open` or `done`, or all. `next` is the cursor of the page after this
    one, None at the end. However many there are, a page takes two requests.

    Raises InvalidRequestError for another state.
    """
    if state not in {None, *STATES}:
        raise InvalidRequestError(f"state is {state!r}, but must be one of {', '.join(STATES)}", "state")
    ledger = Ledger(clients.tables)
    before = cursor or ""
    # First the open ones: a batch that ends in between is in both lists, not in none.
    open_ones = [] if state == "done" else ledger.open_batches()
    done = [] if state == "open" else ledger.done_batches(limit + 1, before)
    newest = sorted((each for each in open_ones if not before or each.id < before), key=_id, reverse=True)
    found = {each.id: each for each in heapq.merge(newest, done, key=_id, reverse=True)}
    page = list(found.values())[:limit]
    return {
        "batches": [describe_batch(each) for each in page],
        "next": page[-1].id if len(found) > limit else None,
    }


def get_batch(clients: Clients, batch_id: str) -> dict[str, Any]:
    """One batch, open or done. Raises NotFoundError."""
    found = Ledger(clients.tables).batch(batch_id)
    if found is None:
        raise NotFoundError(f"there is no batch {batch_id}")
    return describe_batch(found)


def describe_batch(batch: Batch) -> dict[str, Any]:
    """A batch as the API shows it. Times are RFC 3339, UTC; what is not known yet is None."""
    return {
        "id": batch.id,
        "state": batch.state,
        "route": batch.route,
        "reason": batch.reason,
        "model": f"{batch.model_name}:{batch.model_version}",
        "created": _utc(batch.created),
        "submitted": _utc(batch.submitted),
        "ended": _utc(batch.ended),
        "images": batch.images,
        "predicted": batch.predicted,
        "errors": batch.errors,
        "retried": batch.retried,
        "job": batch.job or None,
        "files": list(batch.files),
        "rescoring": batch.request or None,
        "tries": batch.tries,
        "error": batch.error or None,
    }


def count_images(clients: Clients) -> dict[str, Any]:
    """Counts for an overview: `waiting` images, at most MOST_WAITING, of which `waiting_is_more` says that there may be
    more; `batched` ones in `open_batches`; and by `days` (UTC), newest first, what the batches that ended came to.

    Some dozen requests, however many images and batches there are.
    """
    ledger = Ledger(clients.tables)
    waiting = ledger.count_waiting(MOST_WAITING)
    open_batches = ledger.open_batches()
    return {
        "waiting": waiting,
        "waiting_is_more": waiting >= MOST_WAITING,
        "batched": sum(each.images for each in open_batches),
        "open_batches": len(open_batches),
        "days": [dataclasses.asdict(day) for day in ledger.days(DAYS)],
    }


def _id(batch: Batch) -> str:
    return batch.id


def _utc(time: str) -> str | None:
    return time.replace("+00:00", "Z") or None
