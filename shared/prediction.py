"""Predictions asked for over HTTP, answered at once by the champion."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from shared.errors import ImageRejectedError, InvalidRequestError, NotFoundError
from shared.images import check_upload, too_large
from shared.locations import BlobLocation, blob_of_account
from shared.models import classifiers, model_store, require_champion

if TYPE_CHECKING:
    from shared.clients import Clients

MAX_IMAGES = 32
# All images of a request together, wherever they come from: the app's memory is as small as 512 MB.
MAX_BYTES = 100_000_000

T = TypeVar("T")


@dataclass(frozen=True)
class Upload:
    """An encoded image that came with the request."""

    name: str
    content: bytes


@dataclass(frozen=True)
class StoredImage:
    """An image in storage, by the URL that the client calls it."""

    url: str

    @property
    def name(self) -> str:
        return self.url


def predict_now(clients: Clients, images: Sequence[Upload | StoredImage]) -> dict[str, Any]:
    """Predictions for images, in order. An image that can't be scored has its `error`. `milliseconds` tells for how
    long the model was fetched (it stays in memory), stored images were read, images were checked, and predicted.

    Raises InvalidRequestError when there are none or too many, or a URL is none of the images container's, NoModelError
    without a champion; and for a single image ImageRejectedError when it is none, NotFoundError when it is not there.
    """
    if not 1 <= len(images) <= MAX_IMAGES:
        raise InvalidRequestError(f"the request has {len(images)} images; from 1 to {MAX_IMAGES} are taken", "body")
    locations = {each.url: location_of(clients, each.url) for each in images if isinstance(each, StoredImage)}
    clock = _Clock()
    store = model_store(clients)
    champion = clock.timed("model", lambda: require_champion(store))
    classifier = clock.timed("model", lambda: classifiers.get(store, champion.path))
    left = MAX_BYTES

    def encoded() -> Iterator[bytes | ImageRejectedError]:
        nonlocal left
        for image in images:
            try:
                content = _content(clients, image, locations, left, clock)
                left -= len(content)
                yield clock.timed("check", partial(_checked, clients, content))
            except (ImageRejectedError, NotFoundError) as error:
                if len(images) == 1:
                    raise
                yield ImageRejectedError(str(error))

    begun = time.perf_counter()
    predicted = list(classifier.predict(encoded()))
    clock.seconds["predict"] = time.perf_counter() - begun - clock.seconds["read"] - clock.seconds["check"]
    predictions = [
        {
            "image": image.name,
            "labels": list(prediction.labels),
            "probabilities": {
                label: round(value, 6)
                for label, value in zip(classifier.labels, prediction.probabilities, strict=False)
            },
            "error": prediction.error or None,
        }
        for image, prediction in zip(images, predicted, strict=True)
    ]
    return {
        "model": champion.id,
        "thresholds": dict(zip(classifier.labels, classifier.thresholds, strict=True)),
        "predictions": predictions,
        "milliseconds": {name: round(1000 * seconds, 3) for name, seconds in clock.seconds.items()},
    }


def location_of(clients: Clients, url: str) -> BlobLocation:
    """Where a stored image is. A URL is never fetched as it is given: it must be one of the images container's, and is
    read through our own client. Raises InvalidRequestError.
    """
    container = clients.settings.images_container
    if "?" in url or "#" in url:
        raise InvalidRequestError(f"{url.partition('?')[0]}: give the URL without a query or a fragment", "url")
    try:
        location = blob_of_account(url, clients.account_url)
    except InvalidRequestError as error:
        raise InvalidRequestError(str(error), "url") from None
    if location.container != container:
        raise InvalidRequestError(f"{url}: is in container {location.container}; it must be in {container}", "url")
    return location


class _Clock:
    """For how long each part of a request took, s."""

    def __init__(self) -> None:
        self.seconds = {"model": 0.0, "read": 0.0, "check": 0.0, "predict": 0.0}

    def timed(self, part: str, work: Callable[[], T]) -> T:
        begun = time.perf_counter()
        try:
            return work()
        finally:
            self.seconds[part] += time.perf_counter() - begun


def _content(
    clients: Clients, image: Upload | StoredImage, locations: dict[str, BlobLocation], left: int, clock: _Clock
) -> bytes:
    """An image's bytes, at most `left`."""
    if isinstance(image, Upload):
        return image.content
    return clock.timed("read", lambda: _read(clients, locations[image.url], left))


def _read(clients: Clients, location: BlobLocation, left: int) -> bytes:
    from azure.core.exceptions import ResourceNotFoundError

    blob = clients.blobs.get_blob_client(location.container, location.path)
    try:
        download = blob.download_blob()
        if download.size > clients.settings.max_image_megabytes * 1_000_000:
            raise ImageRejectedError(too_large(download.size, clients.settings))
        if download.size > left:
            raise ImageRejectedError(
                f"the images of a request may have {MAX_BYTES / 1e6:.0f} MB; ask for fewer at once"
            )
        content: bytes = download.readall()
    except ResourceNotFoundError:
        raise NotFoundError(f"there is no image {location}") from None
    return content


def _checked(clients: Clients, content: bytes) -> bytes | ImageRejectedError:
    return check_upload(content, clients.settings).prepared or content
