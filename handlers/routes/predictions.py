"""Files of predictions over many batches."""

from typing import Annotated, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Meta

from handlers.contract.base import Asked
from handlers.http import Answer, File, Key, api, decode_cursor, encode_cursor
from handlers.http.moments import Moment, moment
from shared.clients import clients


class PredictionsQuery(Asked):
    """Which predictions, and in which format."""

    since: Moment | None = msgspec.field(default=None, name="from")
    until: Moment | None = msgspec.field(default=None, name="to")
    label: Annotated[str | None, Meta(description="only images that it was predicted for")] = None
    format: Literal["csv", "jsonl", "parquet"] = "csv"
    cursor: Annotated[str | None, Meta(description="from the `Link` of the page before")] = None


@api.get(
    "predictions",
    Key.READ,
    query=PredictionsQuery,
    answers={
        200: {
            "text/csv": File("rows as in the CSV files"),
            "application/jsonl": File("the same, typed, one JSON object a line"),
            "application/vnd.apache.parquet": File("the same, typed, in columns"),
        }
    },
)
def get_predictions(query: PredictionsQuery) -> Answer:
    """The predictions of the batches made from a time up to, but without, another, newest batch first. An answer holds
    at most 10,000 rows, all of models with the same labels; while more follow it has a `Link` with `rel="next"`.
    """
    from shared.ledger import Ledger
    from shared.results.listing import Position, TimeRange
    from shared.results.pages import predictions_page

    known = clients()
    scope = f"predictions/{query.label}"
    page = predictions_page(
        known,
        Ledger(known.tables),
        query.format,
        made=TimeRange(moment(query.since, "from"), moment(query.until, "to")),
        label=query.label or "",
        begin=decode_cursor(scope, query.cursor, Position),
    )
    headers = {"Content-Disposition": f'attachment; filename="predictions.{query.format}"'}
    if page.next:
        asked = {**msgspec.to_builtins(query), "format": query.format, "cursor": encode_cursor(scope, page.next)}
        headers["Link"] = f'</api/predictions?{urlencode(asked)}>; rel="next"'
    return Answer(page.content, headers=headers, media_type=page.content_type)
