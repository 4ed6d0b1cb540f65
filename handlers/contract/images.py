"""Images and what became of them."""

import datetime as dt
from typing import Annotated, Literal

from msgspec import Meta

from handlers.contract.base import Cursor, Told
from handlers.http import PageQuery
from handlers.http.moments import Moment

State = Literal["waiting", "batched", "scored", "failed", "rejected", "superseded"]


class ImageQuery(PageQuery, kw_only=True):
    state: Annotated[
        Literal["waiting", "batched", "scored", "failed", "rejected"] | None,
        Meta(description="default: those that were scored, or could not be"),
    ] = None
    label: Annotated[str | None, Meta(description="predicted, or with at least `min_probability`")] = None
    min_probability: Annotated[float, Meta(ge=0, le=1, description="of `label`, or of any label")] = 0
    prefix: Annotated[str, Meta(max_length=1024, description="how the path begins")] = ""
    after: Moment | None = None
    before: Moment | None = None


class Image(Told):
    """One content of one image, and what came of it. What is not known is null or empty."""

    path: Annotated[str, Meta(description="within the images container")]
    etag: str
    state: State
    arrived: dt.datetime | None
    batch: str | None
    model: Annotated[str | None, Meta(description="`name:version`")]
    labels: list[str]
    probabilities: dict[str, float]
    error: str
    file: Annotated[str | None, Meta(description="with its row, in the predictions container")]
    scored_at: dt.datetime | None


class Images(Told):
    """A page of images. It may hold fewer than were asked for although more follow."""

    images: list[Image]
    next: Cursor


class ContentCorrection(Told):
    """What a person said that it shows; no labels: none of them."""

    labels: list[str]
    who: str
    when: dt.datetime


class ImageContent(Image):
    """The same with how it was prepared and scored."""

    prepared: Annotated[bool, Meta(description="whether it was converted for the model")]
    notes: Annotated[list[str], Meta(description="what of the file was not used, such as further frames")]
    attempts: Annotated[int, Meta(description="batches that it has been in")]
    reason: Annotated[str | None, Meta(description="why its batch was made")]
    job: str | None
    correction: ContentCorrection | None


class ImageStory(Told):
    """An image's whole story: every content that it had, newest first."""

    path: str
    container: str
    exists: bool
    etag: Annotated[str | None, Meta(description="of the content that it has now")]
    contents: list[ImageContent]


class StoredImage(Told):
    """An image that was put into storage."""

    path: str
    container: str
    etag: str
    url: str
