"""Corrections, and the images that people should look at."""

import datetime as dt
from typing import Annotated, Literal

from msgspec import Meta

from handlers.contract.base import Asked, Cursor, Told
from handlers.contract.images import Image
from handlers.http import PageQuery


class CorrectionRequest(Asked):
    """What a person says that an image shows."""

    etag: Annotated[str, Meta(min_length=1, max_length=100, description="of the content that was looked at")]
    labels: Annotated[list[str], Meta(description="none: it shows none of the labels")]


class Correction(Told):
    """What a person said of a content of an image, and what the model in use had said."""

    path: str
    etag: str
    labels: list[str]
    predicted: list[str]
    model: Annotated[str | None, Meta(description="`name:version`; null: there was none yet")]
    who: str
    when: dt.datetime


class Corrections(Told):
    """A page of corrections."""

    corrections: list[Correction]
    next: Cursor


class CorrectionExportRequest(Asked):
    """How to export."""

    format: Literal["coco", "jsonl"] = "jsonl"
    include: Annotated[
        Literal["all", "corrections"],
        Meta(description="all: the images of the last training as well, whose labels the corrections replace"),
    ] = "all"


class CorrectionExport(Told):
    """The label export that was written. A training starts by itself, as with any other."""

    export: str
    export_id: str
    images: int
    corrected: int
    outdated: Annotated[int, Meta(description="corrections left out, since their images were replaced or deleted")]
    created: Annotated[bool, Meta(description="false: the same export was there already")]


class ReviewQuery(PageQuery, kw_only=True):
    order: Annotated[
        Literal["uncertain", "surprising"],
        Meta(description="probabilities nearest to their thresholds first, or what the training hardly had"),
    ] = "uncertain"
    label: Annotated[str | None, Meta(description="judged by this label alone")] = None


class ReviewImage(Image):
    """An image, and why it should be looked at."""

    thresholds: dict[str, float]
    why: str
    score: Annotated[float, Meta(ge=0, le=1)]


class Review(Told):
    """A page of images that nobody has corrected yet. It may hold fewer than were asked for although more follow."""

    images: list[ReviewImage]
    labels: Annotated[list[str], Meta(description="all that there are: the model's, and those that people gave")]
    next: Cursor
