"""Predictions asked for over HTTP, answered at once by the champion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shared.errors import ImageRejectedError, InvalidRequestError
from shared.images import check_upload
from shared.models import ModelStore, classifiers, require_champion

if TYPE_CHECKING:
    from shared.settings import Settings

MAX_IMAGES = 32


def predict_now(store: ModelStore, settings: Settings, images: Sequence[tuple[str, bytes]]) -> dict[str, Any]:
    """Predictions for named, encoded images, in order. An image that is none has its `error`.

    Raises InvalidRequestError when there are none or too many, NoModelError, and ImageRejectedError when the only
    image is none.
    """
    if not 1 <= len(images) <= MAX_IMAGES:
        raise InvalidRequestError(f"the request has {len(images)} images; from 1 to {MAX_IMAGES} are taken", "body")
    champion = require_champion(store)
    classifier = classifiers.get(store, champion.path)
    checked = [_checked(content, settings) for _, content in images]
    if len(images) == 1 and isinstance(checked[0], ImageRejectedError):
        raise checked[0]
    predictions = []
    for (name, _), prediction in zip(images, classifier.predict(checked), strict=True):
        predictions.append(
            {
                "image": name,
                "labels": list(prediction.labels),
                "probabilities": {
                    label: round(value, 6)
                    for label, value in zip(classifier.labels, prediction.probabilities, strict=False)
                },
                "error": prediction.error or None,
            }
        )
    thresholds = dict(zip(classifier.labels, classifier.thresholds, strict=True))
    return {"model": champion.id, "thresholds": thresholds, "predictions": predictions}


def _checked(content: bytes, settings: Settings) -> bytes | ImageRejectedError:
    try:
        return check_upload(content, settings).prepared or content
    except ImageRejectedError as rejection:
        return rejection
