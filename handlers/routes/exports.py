"""Label exports, and trainings asked for by hand, over HTTP."""

import msgspec

from handlers.contract.exports import Export, Exports, TrainingAnswer, TrainingRequest
from handlers.http import HTML_HEADERS, Answer, File, Key, PageQuery, api, page_of
from shared.clients import clients
from shared.errors import ExportError, NotFoundError

MAX_EXPORTS = 1000


@api.post(
    "train",
    Key.OPERATE,
    body=TrainingRequest,
    answers={200: TrainingAnswer, 202: TrainingAnswer},
    raises=[ExportError, NotFoundError],
    is_repeatable=True,
    tag="exports",
)
def train(body: TrainingRequest) -> Answer:
    """Train on a label export or a data asset. 200: what was asked for is trained, or being trained, already."""
    from shared.datasets import export_id
    from shared.training import train_by_request

    outcome = train_by_request(clients(), msgspec.to_builtins(body))
    export = export_id(outcome.export)
    answer = TrainingAnswer(state=outcome.state, job=outcome.job, export=outcome.export, export_id=export)
    is_new = outcome.created or not outcome.job
    location = f"/api/jobs/{outcome.job}" if outcome.job else f"/api/exports/{export}"
    return Answer(answer, 202 if is_new else 200, {"Location": location})


@api.get("exports", Key.READ, query=PageQuery)
def list_exports(query: PageQuery) -> Exports:
    """The label exports that were looked at, newest first, and what became of them."""
    from shared import datasets

    known = clients()
    found = datasets.list_exports(known.blobs, known.settings.work_container, limit=MAX_EXPORTS)
    page, following = page_of(found, query, "exports", lambda each: str(each["id"]))
    return Exports(exports=msgspec.convert(page, list[Export]), next=following)


@api.get("exports/{id}", Key.READ, answers={200: dict}, raises=[NotFoundError])
def get_export(id: str) -> Answer:  # noqa: A002 # the path's own name
    """The report on one label export: counts, problems, the split, and the training or why there is none."""
    from shared import datasets

    known = clients()
    return Answer(datasets.get_export(known.blobs, known.settings.work_container, id))


@api.get(
    "exports/{id}/report",
    Key.READ,
    answers={200: {"text/html": File("the report as a page that stands by itself")}},
    raises=[NotFoundError],
)
def get_export_report(id: str) -> Answer:  # noqa: A002 # the path's own name
    """The same report as a page for people."""
    from shared import datasets

    known = clients()
    page = datasets.get_export_page(known.blobs, known.settings.work_container, id)
    return Answer(page, headers=HTML_HEADERS, media_type="text/html")
