"""Batches as others see them, page by page."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from shared.errors import NotFoundError
from shared.ledger import Batch, Ledger

# What ids may look like: anything else is no key of the table.
_ID = re.compile(r"[0-9A-Za-z-]{1,100}")


class After(NamedTuple):
    """The batch after which a page begins: an open one, or one that has ended."""

    is_open: bool
    batch: str


def batches_page(
    ledger: Ledger, state: str | None, *, after: After | None = None, limit: int = 50
) -> tuple[list[Batch], After | None]:
    """At most `limit` batches, newest first, and after which the next page begins, if there is one: those that are
    `open`, those that are `done`, or (None) first these, then those.
    """
    found: list[Batch] = []
    if state != "done" and (after is None or after.is_open):
        # Ids begin with the time.
        opened = sorted(ledger.open_batches(), key=lambda batch: batch.id, reverse=True)
        found = [batch for batch in opened if after is None or batch.id < after.batch][: limit + 1]
    if state != "open" and len(found) <= limit:
        before = "" if after is None or after.is_open else after.batch
        known = {batch.id for batch in found}
        done = ledger.done_batches(limit + 1 - len(found), before)
        # One that ended in between is told as it was.
        found += [batch for batch in done if batch.id not in known]
    page = found[:limit]
    return page, After(page[-1].state != "done", page[-1].id) if len(found) > limit else None


def get_batch(ledger: Ledger, batch_id: str) -> Batch:
    """One batch. Raises NotFoundError."""
    batch = ledger.batch(batch_id) if _ID.fullmatch(batch_id) else None
    if batch is None:
        raise NotFoundError(f"there is no batch {batch_id}")
    return batch


def batch_report(batch: Batch) -> dict[str, Any]:
    """What is told of a batch; `ended` is null while it is under way."""
    return {
        "id": batch.id,
        "state": batch.state,
        "route": batch.route,
        "reason": batch.reason,
        "model": batch.model,
        "created": batch.created,
        "ended": batch.ended or None,
        "images": batch.images,
        "predicted": batch.predicted,
        "errors": batch.errors,
        "retried": batch.retried,
        "job": batch.job or None,
        "files": list(batch.files),
        "rescoring": batch.request or None,
        "error": batch.error or None,
    }
