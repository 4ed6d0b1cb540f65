"""Is it an image, is it safe, and can every model's loader read it as it is."""

from __future__ import annotations

import contextlib
import hashlib
import io
import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import ImageRejectedError
from shared.events import ImageRejected, announce
from shared.ledger import Image, Ledger, normalised_etag

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, BlobServiceClient
    from PIL.Image import Image as PillowImage

    from shared.clients import Clients
    from shared.settings import Settings

# Pillow's names. An allow-list: every other decoder stays out of reach of what is dropped. JPEG includes MPO.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "JPEG2000", "AVIF")
# What AutoML's and our own loader read alike, without conversion.
READ_AS_IT_IS = {("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("PNG", "L"), ("BMP", "RGB")}
EXIF_ORIENTATION = 0x0112
PREPARED_FOLDER = "prepared"
PREPARED_JPEG_QUALITY = 95
LARGE_PIXELS = 20_000_000
_large = threading.Lock()


@dataclass(frozen=True)
class CheckedImage:
    """An image that can be scored. Sizes in px; `prepared` is the converted file, or None when none is needed."""

    format: str
    width: int
    height: int
    prepared: bytes | None


def check_image(content: bytes, *, max_megapixels: int) -> CheckedImage:
    """Decode an image entirely, and convert it when a loader could read it wrongly.

    Conversion applies the EXIF orientation, takes the first frame, puts transparency on white and writes an RGB JPEG
    without metadata. Raises ImageRejectedError with the reason.
    """
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    if not content:
        raise ImageRejectedError("the file is empty")
    try:
        with warnings.catch_warnings():
            # The size is checked below, against our own limit; Pillow's warning would come first.
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
            image = Pillow.open(io.BytesIO(content), formats=FORMATS)
            width, height = image.size
            if width * height > max_megapixels * 1_000_000:
                raise ImageRejectedError(
                    f"the image has {width} x {height} px; at most {max_megapixels} megapixels are taken"
                )
            as_it_is = (image.format or "", image.mode) in READ_AS_IT_IS and (
                image.getexif().get(EXIF_ORIENTATION, 1) in {0, 1}
            )
            # Large images are decoded one at a time: several at once could exhaust the instance's memory.
            with _large if width * height > LARGE_PIXELS else contextlib.nullcontext():
                image.load()
                prepared = None if as_it_is else _converted(image)
    except UnidentifiedImageError:
        raise ImageRejectedError("not an image; taken are " + ", ".join(FORMATS)) from None
    except Pillow.DecompressionBombError:
        raise ImageRejectedError(f"the image has too many pixels; at most {max_megapixels} megapixels") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        # Pillow raises each of these for damaged files: https://pillow.readthedocs.io/en/stable/reference/plugins.html
        raise ImageRejectedError(f"the image is damaged: {error}") from None
    return CheckedImage(image.format or "", width, height, prepared)


def load_rgb(content: bytes) -> PillowImage:
    """Decode an image that `check_image` has accepted. Raises ImageRejectedError when it can't be decoded."""
    from PIL import Image as Pillow

    try:
        with Pillow.open(io.BytesIO(content), formats=FORMATS) as image:
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, EOFError, Pillow.DecompressionBombError) as error:
        raise ImageRejectedError(f"the image can't be decoded: {error}") from None


def _converted(image: PillowImage) -> bytes:
    from PIL import Image as Pillow
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I") or upright.mode == "F":
        upright = _eight_bit(upright)
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        upright = Pillow.alpha_composite(Pillow.new("RGBA", layer.size, "white"), layer)
    buffer = io.BytesIO()
    upright.convert("RGB").save(buffer, "JPEG", quality=PREPARED_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def _eight_bit(image: PillowImage) -> PillowImage:
    """16-bit and floating point grey scaled to 8 bits; Pillow's own conversion would clip it."""
    import numpy as np
    from PIL import Image as Pillow

    pixels = np.array(image, dtype=np.float32)
    top = 65535.0 if image.mode.startswith("I") else max(float(np.max(pixels)), 1e-9)
    pixels *= np.float32(255 / top)
    return Pillow.fromarray(np.clip(pixels, 0, 255, out=pixels).round(out=pixels).astype("uint8"))


def receive_image(clients: Clients, ledger: Ledger, path: str, given: bytes) -> Image | None:
    """Check an image that has arrived and make it wait, with its reason when it is rejected.

    `given` is the content that the trigger read. Returns None when this content was noted before, or is gone already.
    """
    from azure.core.exceptions import ResourceNotFoundError

    blobs, settings = clients.blobs, clients.settings
    container = settings.images_container
    try:
        content, etag = _content_and_etag(blobs.get_blob_client(container, path), given)
    except ResourceNotFoundError:
        return None
    try:
        checked = check_upload(content, settings)
    except ImageRejectedError as rejection:
        return reject_image(clients, ledger, Rejection(path, etag, str(rejection)))
    source_container, source_path, source_etag = container, path, etag
    if checked.prepared is not None:
        source_container, source_etag = settings.work_container, ""
        source_path = f"{PREPARED_FOLDER}/{hashlib.sha256(content).hexdigest()[:40]}.jpg"
        blobs.get_blob_client(source_container, source_path).upload_blob(checked.prepared, overwrite=True)
    return _record(blobs, ledger, Image(container, path, etag, source_container, source_path, source_etag))


def _content_and_etag(blob: BlobClient, given: bytes) -> tuple[bytes, str]:
    """The blob's content with the etag that belongs to it.

    A blob trigger does not tell the etag: .NET's ETag becomes `{}` in the metadata's JSON
    (https://github.com/Azure/azure-sdk-for-net/pull/5469). The blob's MD5, where the service has one, shows that it is
    still the content that the trigger read; else only one read tells both together.
    """
    properties = blob.get_blob_properties()
    known_md5 = bytes(properties.content_settings.content_md5 or b"")
    if known_md5 == hashlib.md5(given, usedforsecurity=False).digest():
        return given, normalised_etag(str(properties.etag))
    download = blob.download_blob()
    return download.readall(), normalised_etag(str(download.properties.etag))


def check_upload(content: bytes, settings: Settings) -> CheckedImage:
    """`check_image` with the configured limits. Raises ImageRejectedError with the reason."""
    if len(content) > settings.max_image_megabytes * 1_000_000:
        raise ImageRejectedError(too_large(len(content), settings))
    return check_image(content, max_megapixels=settings.max_image_megapixels)


@dataclass(frozen=True)
class Rejection:
    """A content of an image that will not be scored, and why."""

    path: str
    etag: str
    reason: str


def reject_image(clients: Clients, ledger: Ledger, rejection: Rejection) -> Image | None:
    """Make an image wait for the row that reports its rejection, and announce it. Returns None when this content was
    noted before.
    """
    container, etag = clients.settings.images_container, normalised_etag(rejection.etag)
    image = Image(container, rejection.path, etag, container, rejection.path, etag, error=rejection.reason)
    noted = _record(clients.blobs, ledger, image)
    if clients.settings.events_topic_endpoint:
        # Whoever noted it before may have died before the announcement; what was noted then is what counts.
        reason = image.error if noted else _noted_rejection(ledger, image)
        if reason:
            announce(clients, ImageRejected(container, image.path, etag, reason))
    return noted


def _noted_rejection(ledger: Ledger, image: Image) -> str:
    """Why a content was rejected, as the ledger has it; empty when it was not, whatever became of it later."""
    for row in ledger.history(image.container, image.path):
        if row["etag"] == image.etag and row["state"] != "failed":
            return str(row["error"])
    return ""


def _record(blobs: BlobServiceClient, ledger: Ledger, image: Image) -> Image | None:
    from azure.core.exceptions import ResourceNotFoundError

    def current_etag() -> str | None:
        try:
            properties = blobs.get_blob_client(image.container, image.path).get_blob_properties()
        except ResourceNotFoundError:
            return None
        return normalised_etag(str(properties.etag))

    return image if ledger.record_arrival(image, current_etag) else None


def too_large(size: int, settings: Settings) -> str:
    """The reason why a file of `size` bytes is refused."""
    return f"the file has {size / 1e6:.1f} MB; at most {settings.max_image_megabytes} MB are taken"
