"""Label exports and trainings asked for by hand."""

import datetime as dt
from typing import Annotated

from msgspec import Meta

from handlers.contract.base import Asked, Cursor, Told


class TrainingRequest(Asked):
    """What to train on, one of `export` and `data_asset`, and what to do otherwise than the settings say."""

    export: Annotated[str | None, Meta(description="path of a label export, with or without its container")] = None
    data_asset: Annotated[str | None, Meta(description="`name:version` of a registered data asset")] = None
    base_models: Annotated[list[str] | str | None, Meta(description="as BASE_MODELS")] = None
    max_trials: Annotated[int | None, Meta(description="as MAX_TRIALS")] = None
    training_batch_size: Annotated[int | None, Meta(description="as TRAINING_BATCH_SIZE")] = None
    validation_batch_size: Annotated[int | None, Meta(description="as VALIDATION_BATCH_SIZE")] = None
    incremental: Annotated[bool | None, Meta(description="as TRAIN_INCREMENTAL")] = None


class TrainingAnswer(Told):
    """What became of the request: the job that trains, or why there is none."""

    state: str
    job: str
    export: str
    export_id: str


class Export(Told):
    """A label export that was looked at, and what became of it."""

    id: str
    export: str
    state: str
    job: str
    data_set: str
    images: int
    labels: int
    warnings: int
    updated_at: dt.datetime


class Exports(Told):
    """A page of the list of label exports."""

    exports: list[Export]
    next: Cursor
