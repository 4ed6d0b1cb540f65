"""Predictions asked for over HTTP."""

from typing import Annotated

from msgspec import Meta

from handlers.contract.base import Asked, Told

MAX_IMAGES = 32


class BlobImages(Asked):
    """Images that are in storage: the URL of one, or of several."""

    url: Annotated[str | None, Meta(description="https URL of a blob in the images container, without a query")] = None
    urls: Annotated[list[str], Meta(min_length=1, max_length=MAX_IMAGES)] | None = None


class Prediction(Told):
    """One image. Of an image that can't be scored `error` says why, and labels and probabilities are empty."""

    image: str
    labels: list[str]
    probabilities: dict[str, float]
    error: str | None


class Timings(Told):
    """How long the parts took (ms): getting the model, which is kept in memory, reading images that are in storage,
    checking and decoding, and the model itself.
    """

    model: float
    read: float
    check: float
    predict: float


class Predictions(Told):
    """The predictions in the order of the images. A label is predicted when its probability reaches its threshold."""

    model: Annotated[str, Meta(description="`name:version`")]
    thresholds: dict[str, float]
    predictions: list[Prediction]
    milliseconds: Timings
