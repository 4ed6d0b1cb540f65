"""Opening an image by its content, with the decoders of an allow-list alone."""

from __future__ import annotations

import contextlib
import functools
import io
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from shared.errors import ImageRejectedError
from shared.images.structure import check_structure

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage
    from PIL.ImageFile import ImageFile

# Pillow's names of what it reads by itself; JPEG includes MPO. Every other decoder stays out of reach of what comes in.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "JPEG2000", "AVIF")
# By pillow-heif; always converted, so that nothing else needs it.
HEIF = "HEIF"
_SIGNATURES = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "BMP": (b"BM",),
    "GIF": (b"GIF87a", b"GIF89a"),
    # Of either byte order; 43 in place of 42 is BigTIFF.
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "JPEG2000": (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"),
}
# Of ISO base media files, in their `ftyp` box: ISO/IEC 23008-12, annex B, and the AV1 image file format.
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEVC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
# How the image is coded is only said by the other brands that the file is compatible with.
_ANY_CODEC_BRANDS = frozenset({b"mif1", b"msf1"})


class DamagedImageError(ImageRejectedError):
    """The bytes begin like an image of `format`, one of Pillow's names, but can't be decoded."""

    def __init__(self, message: str, image_format: str) -> None:
        super().__init__(message)
        self.format = image_format


@contextlib.contextmanager
def opened(content: bytes) -> Iterator[ImageFile]:
    """An image of which no more than the header was read. Raises ImageRejectedError with the reason."""
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    if not content:
        raise ImageRejectedError("the file is empty")
    name = _format(content)
    if name is None:
        raise ImageRejectedError("not an image; taken are " + ", ".join((*FORMATS, HEIF)))
    if name == HEIF:
        _add_heif()
    _let_pillow_be_silent()
    check_structure(content, name)
    with damage_is_told(name):
        try:
            image = Pillow.open(io.BytesIO(content), formats=(name,))
        except UnidentifiedImageError:
            reason = f"the image is damaged: it begins like {name}, but can't be read as such"
            raise DamagedImageError(reason, name) from None
    with image:
        yield image


@contextlib.contextmanager
def damage_is_told(image_format: str) -> Iterator[None]:
    """Turns what the decoder of a format raises into an ImageRejectedError with the reason.

    There is no list of what decoders raise: beside OSError, ValueError and SyntaxError, which Pillow documents, damaged
    files bring AssertionError, RuntimeError, struct.error and others out of it (`python -m tests.fuzz`). So nothing but
    a decoder must be below this.
    """
    from PIL import Image as Pillow

    try:
        yield
    except ImageRejectedError:
        raise
    except Pillow.DecompressionBombError as error:
        raise ImageRejectedError(f"the image has too many pixels: {error}") from None
    except Exception as error:
        reason = f"the image is damaged: {str(error) or type(error).__name__}"
        raise DamagedImageError(reason, image_format) from None


def load_rgb(content: bytes) -> PillowImage:
    """Decode an image that `check_image` has accepted. Raises ImageRejectedError when it can't be decoded."""
    with opened(content) as image, damage_is_told(image.format or ""):
        return image.convert("RGB")


def _format(content: bytes) -> str | None:
    """The format that a file begins like."""
    if content[4:8] == b"ftyp":
        brands = {content[8:12]}
        if brands <= _ANY_CODEC_BRANDS:
            size = min(int.from_bytes(content[:4]), 256)
            brands = {content[position : position + 4] for position in range(16, size, 4)}
        return "AVIF" if brands & _AVIF_BRANDS else HEIF if brands & _HEVC_BRANDS else None
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    return next((name for name, signatures in _SIGNATURES.items() if content.startswith(signatures)), None)


@functools.cache
def _add_heif() -> None:
    """Give Pillow its decoder of HEIC, when the first one comes: the library takes a third of a second to load, and
    only the app, which takes images in, has it.
    """
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise ImageRejectedError("an image of HEIF can be read only where pillow-heif is installed") from None
    register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)


def _let_pillow_be_silent() -> None:
    """Pillow warns of odd metadata, which is not used, and of sizes, which are checked against our own limit.

    The filter stays: `warnings.catch_warnings` must not be used by several threads at once.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
