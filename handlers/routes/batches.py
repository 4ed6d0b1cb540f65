"""Batches and re-scorings over HTTP."""

import msgspec

from handlers.contract.batches import Batch, Batches, BatchQuery, Rescoring, RescoringRequest
from handlers.http import Answer, Key, api, decode_cursor, encode_cursor
from shared.clients import clients
from shared.errors import ConflictError, NoModelError, NotFoundError


@api.get("batches", Key.READ, query=BatchQuery)
def list_batches(query: BatchQuery) -> Batches:
    """The batches: those under way first, each newest first."""
    from shared.batch_pages import After, batch_report, batches_page
    from shared.ledger import Ledger

    scope = f"batches/{query.state}"
    after = decode_cursor(scope, query.cursor, After)
    page, following = batches_page(Ledger(clients().tables), query.state, after=after, limit=query.limit)
    told = msgspec.convert([batch_report(each) for each in page], list[Batch])
    return Batches(batches=told, next=encode_cursor(scope, following) if following else None)


@api.get("batches/{id}", Key.READ, raises=[NotFoundError])
def get_batch(id: str) -> Batch:  # noqa: A002 # the path's own name
    """One batch."""
    from shared import batch_pages
    from shared.ledger import Ledger

    return msgspec.convert(batch_pages.batch_report(batch_pages.get_batch(Ledger(clients().tables), id)), Batch)


@api.post(
    "score",
    Key.SCORE,
    body=RescoringRequest,
    answers={202: Rescoring},
    raises=[NotFoundError, ConflictError, NoModelError],
    is_repeatable=True,
    tag="scores",
)
def score(body: RescoringRequest) -> Answer:
    """Score again the images whose paths begin so. The same request while that is under way is the same one."""
    from shared.ledger import Ledger
    from shared.rescoring import request_rescoring

    known = clients()
    report = request_rescoring(known, Ledger(known.tables), body.prefix, body.model)
    return Answer(msgspec.convert(report, Rescoring), 202, {"Location": f"/api/scores/{report['id']}"})


@api.get("scores/{id}", Key.READ, raises=[NotFoundError])
def get_score(id: str) -> Rescoring:  # noqa: A002 # the path's own name
    """How far a re-scoring is."""
    from shared.rescoring import rescoring_report

    return msgspec.convert(rescoring_report(clients(), id), Rescoring)
