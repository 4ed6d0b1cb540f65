"""Batches, and re-scorings, which consist of batches."""

import datetime as dt
from typing import Annotated, Literal

from msgspec import Meta

from handlers.contract.base import Asked, Cursor, Told
from handlers.http import PageQuery


class BatchQuery(PageQuery, kw_only=True):
    state: Annotated[Literal["open", "done"] | None, Meta(description="under way, or ended")] = None


class Batch(Told):
    """Images that are scored together: why and where, how far it is, and what came of it."""

    id: str
    state: Literal["claiming", "claimed", "submitted", "released", "done"]
    route: Annotated[str, Meta(description="`inline`: in the app, `cluster`: by a job")]
    reason: str
    model: Annotated[str, Meta(description="`name:version`")]
    created: dt.datetime
    ended: dt.datetime | None
    images: int
    predicted: int
    errors: int
    retried: Annotated[int, Meta(description="images that went into a later batch")]
    job: str | None
    files: Annotated[list[str], Meta(description="paths in the predictions container")]
    rescoring: Annotated[str | None, Meta(description="the re-scoring that it is part of")]
    error: Annotated[str | None, Meta(description="why the last try failed")]


class Batches(Told):
    """A page of batches: those under way first, each newest first."""

    batches: list[Batch]
    next: Cursor


class RescoringRequest(Asked):
    """Score again what is in storage."""

    prefix: Annotated[str, Meta(max_length=1024, description="how the paths begin; empty: all images")]
    model: Annotated[str, Meta(min_length=1, max_length=100, description="`champion`, or a version")] = "champion"


class Rescoring(Told):
    """How far a re-scoring is: `planning` while its images are listed, `running` until the last batch has ended."""

    id: str
    prefix: str
    model: Annotated[str, Meta(description="`name:version`")]
    state: Literal["planning", "running", "done"]
    created: dt.datetime
    images: Annotated[int, Meta(description="planned so far")]
    skipped: Annotated[int, Meta(description="replaced or deleted while they were listed")]
    already_scored: Annotated[int, Meta(description="left out: they have a row of this model, or wait for it")]
    error: str
    predicted: int
    errors: int
    batches: Annotated[list[str], Meta(description="ids, so far")]
