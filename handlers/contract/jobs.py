"""Trainings and batches on Azure Machine Learning."""

import datetime as dt
from typing import Annotated, Literal

from msgspec import Meta

from handlers.contract.base import Cursor, Told
from handlers.http import PageQuery


class JobQuery(PageQuery, kw_only=True):
    kind: Annotated[Literal["training", "scoring"] | None, Meta(description="only trainings, or only batches")] = None


class Job(Told):
    """A job of LabelLoop."""

    name: str
    kind: str
    status: Annotated[str, Meta(description="as Azure ML calls it")]
    created_at: dt.datetime | None
    studio_url: str | None
    tags: dict[str, str]


class Jobs(Told):
    """A page of the list of jobs."""

    jobs: list[Job]
    next: Cursor


class Step(Told):
    """A step of a job."""

    name: str
    job: str
    status: str
    node_hours: float
    error: str | None


class JobDetail(Job):
    """A job with its steps and how far it is."""

    state: Literal["waiting", "running", "canceling", "completed", "failed", "canceled"]
    step: Annotated[str | None, Meta(description="the step under way")]
    progress: Annotated[float, Meta(ge=0, le=1, description="share of the steps that have ended")]
    node_hours: Annotated[float, Meta(ge=0, description="what nodes have worked for it so far (h)")]
    error: Annotated[str | None, Meta(description="in the job's own words")]
    steps: list[Step]
