"""The overview, and what was predicted day by day."""

import datetime as dt
from typing import Annotated, Literal

from msgspec import Meta

from handlers.contract.base import Asked, Told


class Notice(Told):
    """Something that needs a person."""

    severity: Literal["error", "warning", "info"]
    text: str
    link: Annotated[str | None, Meta(description="a view of the page")]


class LatestExport(Told):
    """The label export that was looked at last."""

    id: str
    export: str
    state: str
    images: int
    labels: int
    warnings: int
    updated_at: dt.datetime


class RunningTraining(Told):
    """The training under way."""

    job: str
    state: str
    step: str | None
    progress: Annotated[float, Meta(ge=0, le=1)]
    elapsed_seconds: int | None
    node_hours: float | None
    created_at: dt.datetime | None
    error: Annotated[str | None, Meta(description="the job's, or why it is not known how far it is")]


class ChampionModel(Told):
    """The model in use."""

    model: str
    version: str
    metric: str
    score: float
    promoted_at: dt.datetime
    job: str


class ImageCounts(Told):
    """Images by what becomes of them; today in UTC."""

    waiting: int
    waiting_more: Annotated[bool, Meta(description="`waiting` is as far as was counted")]
    batched: int
    scored_today: int
    failed_today: int


class BatchFiles(Told):
    """The files of a batch that has ended."""

    batch: str
    model: str
    created: dt.datetime
    images: int
    errors: int
    files: list[str]


class ReviewCounts(Told):
    """Images that people corrected, and how many corrections no export has yet."""

    corrections: int
    unexported: int


class Summary(Told):
    """The loop as it is, and what needs attention first."""

    generated_at: dt.datetime
    attention: list[Notice]
    export: LatestExport | None
    training: RunningTraining | None
    champion: ChampionModel | None
    images: ImageCounts
    open_batches: int
    files: list[BatchFiles]
    review: ReviewCounts


class LabelCountQuery(Asked):
    """Which days."""

    days: Annotated[int, Meta(ge=1, le=366, description="today (UTC) and the days before it")] = 30


class DayOfLabels(Told):
    """What the batches that ended on a day came to."""

    date: dt.date
    images: int
    errors: int
    labels: dict[str, int]


class LabelCounts(Told):
    """By day, oldest first. While not `complete`, `labels` lack the oldest batches; asked again, there are more."""

    days: list[DayOfLabels]
    complete: bool
