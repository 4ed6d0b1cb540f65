"""The registry over HTTP."""

import msgspec

from handlers.contract.models import Model, ModelDetail, Models
from handlers.http import HTML_HEADERS, Answer, File, Key, PageQuery, api, page_of
from shared.clients import clients
from shared.errors import ConflictError, NotFoundError


@api.get("models", Key.READ, query=PageQuery)
def list_models(query: PageQuery) -> Models:
    """The registered versions of the model, newest first."""
    from shared.models import list_versions, model_store

    known = clients()
    versions = list_versions(known.ml, model_store(known))
    page, following = page_of(versions, query, "models", lambda each: str(each["version"]))
    return Models(models=msgspec.convert(page, list[Model]), next=following)


@api.get("models/{version}", Key.READ, raises=[NotFoundError])
def get_model(version: str) -> ModelDetail:
    """One version, or the one in use as `champion`, with its card."""
    from shared.models import get_version, model_store

    known = clients()
    return msgspec.convert(get_version(known.ml, model_store(known), version), ModelDetail)


@api.get(
    "models/{version}/report",
    Key.READ,
    answers={200: {"text/html": File("the report as a page that stands by itself")}},
    raises=[NotFoundError],
)
def get_model_report(version: str) -> Answer:
    """The report of a version as a page for people: metrics by label, thresholds, and why it was promoted or not."""
    from shared.models import get_report_page, model_store

    known = clients()
    page = get_report_page(known.ml, model_store(known), version)
    return Answer(page, headers=HTML_HEADERS, media_type="text/html")


@api.post("models/{version}/promote", Key.OPERATE, raises=[NotFoundError, ConflictError], is_repeatable=True)
def promote_model(version: str) -> Model:
    """Make a version the champion, an older one too. No effect when it is the champion."""
    from shared.models import promote_version

    return msgspec.convert(promote_version(clients(), version), Model)
