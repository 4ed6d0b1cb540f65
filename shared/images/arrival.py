"""An image has arrived, or its event says so: it is checked and waits in the ledger.

Events come late, twice or in the wrong order, so what counts is what the blob is when it is read: the ledger notes its
content with the ETag that belongs to it, and an event of an older content is done with that.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from shared.errors import ImageRejectedError
from shared.events import ImageRejected, announce
from shared.images.checking import check_upload, is_too_large, too_large
from shared.ledger import Image, Ledger, normalised_etag

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient

    from shared.clients import Clients
    from shared.settings import Settings

PREPARED_FOLDER = "prepared"
# So often a blob may be replaced while it is read.
MAX_READS = 5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rejection:
    """A content of an image that will not be scored, and why."""

    path: str
    etag: str
    reason: str


class Found(NamedTuple):
    """What a blob is now; the content is left out when it is too large, and its size (bytes) says so."""

    etag: str
    size: int
    content: bytes | None


def receive_image(clients: Clients, ledger: Ledger, path: str, given: bytes | None = None) -> Image | None:
    """Check what an image's blob is now, and make it wait, with its reason when it is rejected.

    `given` is the content that a trigger has read. Returns None when this content was noted before, or is gone already.
    """
    blobs, settings = clients.blobs, clients.settings
    container = settings.images_container
    found = _found(blobs.get_blob_client(container, path), given, settings)
    if found is None:
        return None
    etag = normalised_etag(found.etag)
    if found.content is None:
        return reject_image(clients, ledger, Rejection(path, etag, too_large(found.size, settings)))
    try:
        checked = check_upload(found.content, settings)
    except ImageRejectedError as rejection:
        return reject_image(clients, ledger, Rejection(path, etag, str(rejection)))
    notes = "\n".join(checked.notes)
    if checked.prepared is None:
        return _record(clients, ledger, Image(container, path, etag, container, path, etag, notes=notes))
    prepared = f"{PREPARED_FOLDER}/{hashlib.sha256(found.content).hexdigest()[:40]}.jpg"
    blobs.get_blob_client(settings.work_container, prepared).upload_blob(checked.prepared, overwrite=True)
    image = Image(container, path, etag, settings.work_container, prepared, "", notes=notes)
    return _record(clients, ledger, image)


def receive_told(clients: Clients, ledger: Ledger, path: str, etag: str) -> Image | None:
    """`receive_image` of a content that a list or a late event tells of. One that was noted before is not read again;
    that it was rejected is announced again, since whoever noted it may have died before the announcement.
    """
    container, etag = clients.settings.images_container, normalised_etag(etag)
    image = Image(container, path, etag, container, path, etag)
    record = ledger.record(image)
    if record is None:
        return receive_image(clients, ledger, path)
    _announce_rejection(clients, image, _rejection_in(record))
    return None


def reject_event(clients: Clients, ledger: Ledger, rejection: Rejection) -> Image | None:
    """`reject_image` for what an event tells: no effect when the blob has another content by now, since that has an
    event of its own. An event that does not tell the ETag is about the present content.
    """
    current = _current_etag(clients, rejection.path)
    etag = normalised_etag(rejection.etag) or current
    if etag is None or current not in {None, etag}:
        logger.info("image %s: the event is about %s, but the blob is %s now", rejection.path, etag, current)
        return None
    return reject_image(clients, ledger, Rejection(rejection.path, etag, rejection.reason))


def reject_image(clients: Clients, ledger: Ledger, rejection: Rejection) -> Image | None:
    """Make an image wait for the row that reports its rejection, and announce it. Returns None when this content was
    noted before.
    """
    container, etag = clients.settings.images_container, normalised_etag(rejection.etag)
    image = Image(container, rejection.path, etag, container, rejection.path, etag, error=rejection.reason)
    noted = _record(clients, ledger, image)
    # Whoever noted it before may have died before the announcement; what was noted then is what counts.
    _announce_rejection(clients, image, image.error if noted else _rejection_in(ledger.record(image)))
    return noted


def _found(blob: BlobClient, given: bytes | None, settings: Settings) -> Found | None:
    """What a blob is now; None when it is gone, or is no file.

    A blob trigger does not tell the ETag of what it has read: .NET's ETag becomes `{}` in the metadata's JSON
    (https://github.com/Azure/azure-sdk-for-net/pull/5469). The blob's MD5, where the service has one, shows that it is
    still the same content; else it is read again, on condition of the ETag.
    """
    from azure.core import MatchConditions
    from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

    given_md5 = None if given is None else hashlib.md5(given, usedforsecurity=False).digest()
    reads = 0
    while True:
        try:
            now = blob.get_blob_properties()
            etag, size = str(now.etag), int(now.size)
            if is_too_large(size, settings):
                return Found(etag, size, None)
            if given_md5 is not None and given_md5 == bytes(now.content_settings.content_md5 or b""):
                return Found(etag, size, given)
            reads += 1
            download = blob.download_blob(etag=etag, match_condition=MatchConditions.IfNotModified)
            return Found(etag, size, download.readall())
        except ResourceNotFoundError:
            return None
        except ResourceModifiedError:
            if reads == MAX_READS:
                raise


def _record(clients: Clients, ledger: Ledger, image: Image) -> Image | None:
    return image if ledger.record_arrival(image, lambda: _current_etag(clients, image.path)) else None


def _current_etag(clients: Clients, path: str) -> str | None:
    """The ETag of a new image's blob, None when it is gone."""
    from azure.core.exceptions import ResourceNotFoundError

    try:
        blob = clients.blobs.get_blob_client(clients.settings.images_container, path)
        return normalised_etag(str(blob.get_blob_properties().etag))
    except ResourceNotFoundError:
        return None


def _announce_rejection(clients: Clients, image: Image, reason: str) -> None:
    if reason:
        announce(clients, ImageRejected(image.container, image.path, image.etag, reason))


def _rejection_in(record: Mapping[str, Any] | None) -> str:
    """Why a content was rejected, as its record says; empty when it was not, whatever became of it later."""
    return str(record["error"]) if record is not None and record["state"] != "failed" else ""
