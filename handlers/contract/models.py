"""Registered models."""

import datetime as dt
from typing import Annotated, Any

from msgspec import Meta

from handlers.contract.base import Cursor, Told


class Model(Told):
    """A version of the model; `champion` marks the one in use."""

    name: str
    version: str
    champion: bool
    created_at: dt.datetime | None
    tags: dict[str, Any]


class Models(Told):
    """A page of the versions."""

    models: list[Model]
    next: Cursor


class ModelDetail(Model):
    """A version with its card: labels, thresholds, preprocessing, metrics, lineage."""

    card: Annotated[dict[str, Any] | None, Meta(description="null for a version that LabelLoop did not register")]
