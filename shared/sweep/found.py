"""What becomes of the images that a sweep has found: messages name them, and they are taken in like others."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from shared.errors import InvalidRequestError
from shared.images import Rejection, receive_told, reject_event
from shared.ledger import Image, Ledger

if TYPE_CHECKING:
    from shared.clients import Clients

# A message has at most 48 KB before it is encoded, a path up to 1,024 characters of up to 4 bytes:
# https://learn.microsoft.com/rest/api/storageservices/put-message
IMAGES_PER_MESSAGE = 8

logger = logging.getLogger(__name__)


class FoundImage(NamedTuple):
    """An image as it was listed."""

    path: str
    etag: str


def message_of(images: Iterable[FoundImage]) -> str:
    """The message on the queue FOUND_IMAGES that names up to IMAGES_PER_MESSAGE images."""
    return json.dumps({"images": list(images)}, ensure_ascii=False)


def images_of(message: str | bytes) -> list[FoundImage]:
    """The images that a message names. Raises InvalidRequestError when it is no such message."""
    try:
        return [FoundImage(str(path), str(etag)) for path, etag in json.loads(message)["images"]]
    except (ValueError, TypeError, KeyError) as error:
        shape = '{"images": [[path, etag], …]}'
        raise InvalidRequestError(f"a message of found images must be {shape}: {error!r}") from error


def receive_found(clients: Clients, ledger: Ledger, images: Iterable[FoundImage]) -> None:
    """Take in images that a sweep has found. What was noted in the meantime, since its event came, is left alone.

    Raises ExceptionGroup when some could not be taken in; the others were.
    """
    failures: list[Exception] = []
    for found in images:
        try:
            receive_told(clients, ledger, found.path, found.etag)
        except Exception as error:
            logger.exception("image %s could not be taken in", found.path)
            failures.append(error)
    if failures:
        raise ExceptionGroup(f"{len(failures)} images could not be taken in", failures)


def reject_found(clients: Clients, ledger: Ledger, images: Iterable[FoundImage], reason: str) -> None:
    """Give up those of the found images that could not be taken in; no effect on what was noted."""
    for found in images:
        reject_event(clients, ledger, Rejection(found.path, found.etag, reason))


def named(clients: Clients, found: FoundImage) -> Image:
    """What the ledger calls an image."""
    container = clients.settings.images_container
    return Image(container, found.path, found.etag, container, found.path, found.etag)
