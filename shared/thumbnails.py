"""Small pictures of images in storage, for people."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from shared.errors import ImageRejectedError, NotFoundError
from shared.images.checking import BYTES_PER_PIXEL, JPEGS, MEMORY, is_too_large, too_large
from shared.images.converting import to_jpeg
from shared.images.jpeg import count_scans
from shared.images.opening import damage_is_told, opened
from shared.ledger import Image, Ledger, normalised_etag

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from shared.clients import Clients

QUALITY = 82
# What Pillow shrinks well; everything else is made plain RGB first.
SHRINKABLE = frozenset({"L", "RGB", "RGBA", "CMYK"})
# Of a JPEG while it is decoded and written: of each pixel that comes out, and of each in the file if it has several
# scans, since then all coefficients are in memory.
JPEG_BYTES, SCANS_BYTES = 8, 7


class Thumbnail(NamedTuple):
    """What a thumbnail is made of, and its ETag, with quotes, which the content and the size name."""

    container: str
    path: str
    blob_etag: str
    etag: str
    size: int


def find_thumbnail(clients: Clients, path: str, size: int) -> Thumbnail:
    """The thumbnail of an image as it is now, at most `size` px wide and high. Nothing is read yet.

    Where the image had to be converted for the model, the converted one is what is shown. Raises NotFoundError.
    """
    from azure.core.exceptions import ResourceNotFoundError

    container = clients.settings.images_container
    try:
        current = str(clients.blobs.get_blob_client(container, path).get_blob_properties().etag)
    except ResourceNotFoundError:
        raise NotFoundError(f"there is no image {path}") from None
    etag = normalised_etag(current)
    named = hashlib.sha256(f"{container}/{path}\n{etag}\n{size}".encode()).hexdigest()[:32]
    row = Ledger(clients.tables).record(Image(container, path, etag, container, path, etag))
    if row is not None and row["source_path"] != path:
        source = (str(row["source_container"]), str(row["source_path"]), str(row["source_etag"]))
        if clients.blobs.get_blob_client(*source[:2]).exists():
            return Thumbnail(*source, f'"{named}"', size)
    return Thumbnail(container, path, etag, f'"{named}"', size)


def make_thumbnail(clients: Clients, thumbnail: Thumbnail) -> bytes:
    """The JPEG. Raises NotFoundError when the image is gone or another one by now, ImageRejectedError when it is too
    large or can't be decoded.
    """
    from azure.core import MatchConditions
    from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

    blob = clients.blobs.get_blob_client(thumbnail.container, thumbnail.path)
    try:
        download = blob.download_blob(etag=f'"{thumbnail.blob_etag}"', match_condition=MatchConditions.IfNotModified)
        if is_too_large(download.size, clients.settings):
            raise ImageRejectedError(too_large(download.size, clients.settings))
        content: bytes = download.readall()
    except (ResourceNotFoundError, ResourceModifiedError):
        raise NotFoundError(f"image {thumbnail.path} was replaced or deleted just now; ask again") from None
    return shrunk(content, thumbnail.size, max_megapixels=clients.settings.max_image_megapixels)


def shrunk(content: bytes, size: int, *, max_megapixels: int) -> bytes:
    """An image upright, on white and in sRGB, at most `size` px wide and high, never larger than it is, as a JPEG.

    Raises ImageRejectedError for what has too many pixels or can't be decoded.
    """
    with opened(content) as image:
        name, (width, height) = image.format or "", image.size
        if width * height > max_megapixels * 1_000_000:
            limit = f"at most {max_megapixels} megapixels are shown"
            raise ImageRejectedError(f"the image has {width} x {height} px; {limit}")
        if name in JPEGS:
            with damage_is_told("JPEG"):
                # Decoded at an eighth, a quarter or half of its size, whichever is enough.
                image.draft(None, (size, size))
            need = JPEG_BYTES * image.width * image.height
            need += SCANS_BYTES * width * height if count_scans(content) > 1 else 0
        else:
            need = BYTES_PER_PIXEL[name] * width * height
        with MEMORY.taken(need), damage_is_told(name):
            if image.mode in SHRINKABLE:
                return _small(image, size)
            plain = to_jpeg(image)
    with opened(plain) as image, damage_is_told("JPEG"):
        return _small(image, size)


def _small(image: PillowImage, size: int) -> bytes:
    image.thumbnail((size, size), reducing_gap=2.0)
    return to_jpeg(image, quality=QUALITY)
