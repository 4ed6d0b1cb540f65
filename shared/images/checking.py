"""Is it an image, is it safe, and does every loader read it as a person sees it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import ImageRejectedError
from shared.images.colour import is_srgb
from shared.images.converting import MAX_JPEG_SIDE, NOT_TURNED, has_transparency, orientation, to_jpeg
from shared.images.jpeg import BLOCK, completed, count_scans
from shared.images.memory import MemoryBudget
from shared.images.opening import DamagedImageError, damage_is_told, opened

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

    from shared.settings import Settings

# What AutoML's loader and our own read alike, `PIL.Image.convert("RGB")`, and as a person sees it who labels: upright,
# opaque and in sRGB (see `_is_read_as_it_is`). The first picture of an MPO is its photograph.
READ_AS_IT_IS = {("JPEG", "RGB"), ("JPEG", "L"), ("MPO", "RGB"), ("PNG", "RGB"), ("PNG", "L"), ("BMP", "RGB")}
JPEGS = ("JPEG", "MPO")
# Bytes that decoding and converting take at the most, as measured. JPEG has its own rule.
BYTES_PER_PIXEL = {"PNG": 9, "BMP": 9, "GIF": 9, "TIFF": 9, "WEBP": 17, "AVIF": 18, "HEIF": 18, "JPEG2000": 26}
# All threads together. With the files themselves, the interpreter and its libraries, an instance of 2 GB has room.
MEMORY = MemoryBudget(900_000_000)


@dataclass(frozen=True)
class CheckedImage:
    """An image that can be scored. Sizes in px, as in the file; `prepared` is the converted file, or None when none is
    needed; `notes` say what of the file was not used.
    """

    format: str
    width: int
    height: int
    prepared: bytes | None
    notes: tuple[str, ...] = ()


def check_upload(content: bytes, settings: Settings) -> CheckedImage:
    """`check_image` with the configured limits. Raises ImageRejectedError with the reason."""
    if is_too_large(len(content), settings):
        raise ImageRejectedError(too_large(len(content), settings))
    return check_image(content, max_megapixels=settings.max_image_megapixels)


def is_too_large(size: int, settings: Settings) -> bool:
    """Whether a file of `size` bytes is refused."""
    return size > settings.max_image_megabytes * 1_000_000


def too_large(size: int, settings: Settings) -> str:
    """The reason why a file of `size` bytes is refused."""
    return f"the file has {size / 1e6:.1f} MB; at most {settings.max_image_megabytes} MB are taken"


def check_image(content: bytes, *, max_megapixels: int) -> CheckedImage:
    """Decode an image entirely, and convert it when a loader could read it otherwise than a person sees it.

    Conversion takes the first frame, applies the EXIF orientation and the colour profile, puts transparency on white
    and writes an RGB JPEG without metadata. A JPEG of which no more than the end is missing is mended so, too.
    Raises ImageRejectedError with the reason.
    """
    try:
        return _checked(content, max_megapixels)
    except DamagedImageError as damage:
        if damage.format != "JPEG":
            raise
        with MEMORY.taken(MEMORY.limit):  # It is seldom, and how much it takes is not known before.
            mended = completed(content)
        if mended is None:
            raise
    whole, note = mended
    checked = _checked(whole, max_megapixels, convert=True)
    return dataclasses.replace(checked, notes=(*checked.notes, note))


def _checked(content: bytes, max_megapixels: int, *, convert: bool = False) -> CheckedImage:
    with opened(content) as image:
        name, (width, height) = image.format or "", image.size
        size = f"the image has {width} x {height} px"
        if width * height > max_megapixels * 1_000_000:
            raise ImageRejectedError(f"{size}; at most {max_megapixels} megapixels are taken")
        scans = count_scans(content) if name in JPEGS else 1
        convert = convert or not _is_read_as_it_is(image)
        if convert and max(width, height) > MAX_JPEG_SIDE:
            raise ImageRejectedError(f"{size}; to be converted it may have at most {MAX_JPEG_SIDE} px on a side")
        need = _bytes_per_pixel(name, scans, convert=convert) * width * height
        if need > MEMORY.limit:
            raise ImageRejectedError(f"{size}; to decode it as {name} takes too much memory ({need / 1e6:.0f} MB)")
        notes = _notes(image)
        with MEMORY.taken(need):
            with damage_is_told("JPEG" if name in JPEGS else name):
                if not convert and name in JPEGS:
                    # At an eighth of the size all of it is read, for a fraction of the time and memory.
                    image.draft(None, (max(1, width // BLOCK), max(1, height // BLOCK)))
                image.load()
            return CheckedImage(name, width, height, to_jpeg(image) if convert else None, notes)


def _is_read_as_it_is(image: ImageFile) -> bool:
    return (
        (image.format or "", image.mode) in READ_AS_IT_IS
        and orientation(image) == NOT_TURNED
        and not has_transparency(image)
        and is_srgb(image)
    )


def _bytes_per_pixel(name: str, scans: int, *, convert: bool) -> int:
    """The memory that an image takes at the most while it is decoded and, as the case may be, converted."""
    if name not in JPEGS:
        return BYTES_PER_PIXEL[name] if convert else 5
    # With several scans all coefficients are in memory, whatever size comes out.
    if convert:
        return 12 if scans > 1 else 8
    return 7 if scans > 1 else 1


def _notes(image: ImageFile) -> tuple[str, ...]:
    """What of a file is not looked at. To count frames would take reading all of them."""
    if image.format == "MPO":
        return ()  # The other pictures are a second eye's, or say how bright the photograph is.
    try:
        several = bool(getattr(image, "is_animated", False))
    except Exception:  # The second frame can't be read, so there is one.
        several = True
    return ("only the first of several frames is looked at",) if several else ()
