"""Images that are put into storage over HTTP. What becomes of them is what becomes of any image that lands there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from shared.errors import ConflictError, ImageRejectedError, InvalidRequestError
from shared.images import too_large
from shared.ledger import normalised_etag

if TYPE_CHECKING:
    from shared.clients import Clients

# https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
MAX_PATH_CHARS, MAX_SEGMENTS = 1024, 254


class Stored(NamedTuple):
    """A blob of the images container, and whether it was not there before."""

    path: str
    etag: str
    is_new: bool


def store_image(clients: Clients, path: str, content: bytes, media_type: str, *, only_if_absent: bool) -> Stored:
    """Put an image into the images container. The same again changes nothing but the ETag.

    Raises InvalidRequestError for a path that no blob can have, ImageRejectedError for a content that is too large, and
    ConflictError when it is `only_if_absent` and there is one.
    """
    from azure.core.exceptions import ResourceExistsError
    from azure.storage.blob import ContentSettings

    _check_path(path)
    if len(content) > clients.settings.max_image_megabytes * 1_000_000:
        raise ImageRejectedError(too_large(len(content), clients.settings))
    blob = clients.blobs.get_blob_client(clients.settings.images_container, path)
    settings = ContentSettings(content_type=media_type or "application/octet-stream")
    try:
        made = blob.upload_blob(content, overwrite=False, content_settings=settings)
        return Stored(path, normalised_etag(str(made["etag"])), is_new=True)
    except ResourceExistsError:
        if only_if_absent:
            raise ConflictError(f"there is an image {path} already") from None
    made = blob.upload_blob(content, overwrite=True, content_settings=settings)
    return Stored(path, normalised_etag(str(made["etag"])), is_new=False)


def _check_path(path: str) -> None:
    segments = path.split("/")
    if len(path) > MAX_PATH_CHARS or len(segments) > MAX_SEGMENTS:
        raise InvalidRequestError(
            f"the path has {len(path)} characters and {len(segments)} parts; a blob's name has at most "
            f"{MAX_PATH_CHARS} and {MAX_SEGMENTS}",
            "path",
        )
    if any(not part.strip(". ") for part in segments) or path.endswith((".", " ")):
        raise InvalidRequestError(f"{path!r} has a part that is empty or made of dots; no blob is named so", "path")
    if any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in path) or "\\" in path:
        raise InvalidRequestError(f"{path!r} has a control character or a backslash, which no URL keeps", "path")
