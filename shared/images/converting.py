"""An image as a person sees it, as a plain RGB JPEG."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

from shared.images.colour import SPACES, to_srgb

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

JPEG_QUALITY = 95
# libjpeg's JPEG_MAX_DIMENSION.
MAX_JPEG_SIDE = 65_500
EXIF_ORIENTATION = 0x0112
NOT_TURNED = 1


def orientation(image: PillowImage) -> int:
    """How the EXIF data say that an image has to be turned or mirrored: 2 to 8, or NOT_TURNED."""
    try:
        value = image.getexif().get(EXIF_ORIENTATION, NOT_TURNED)
    except Exception:  # EXIF data that can't be read say nothing; what Pillow raises then is not documented.
        return NOT_TURNED
    return value if value in range(2, 9) else NOT_TURNED


def has_transparency(image: PillowImage) -> bool:
    """Whether some of an image's pixels may be transparent. Needs no decoding."""
    return image.mode in {"LA", "La", "PA", "RGBA", "RGBa"} or "transparency" in image.info


def to_jpeg(image: PillowImage, *, quality: int = JPEG_QUALITY) -> bytes:
    """A loaded image upright, on white, in sRGB, with 8 bits, and without metadata. Closes `image`.

    Each step closes what it replaces, so that no more than two images are in memory, of at most four bytes a pixel.
    """
    picture = _upright(image)
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = _eight_bit(picture)
    if has_transparency(picture):
        picture = _on_white(_instead(picture, picture.convert("RGBA") if picture.mode != "RGBA" else picture))
    else:
        if picture.mode not in SPACES:
            picture = _instead(picture, picture.convert("RGB"))
        picture = _instead(picture, to_srgb(picture))
    if picture.mode != "RGB":
        picture = _instead(picture, picture.convert("RGB"))
    # Pillow would write a comment that stands there.
    picture.info.clear()
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, subsampling=0)
    picture.close()
    return buffer.getvalue()


def _upright(image: PillowImage) -> PillowImage:
    from PIL.Image import Transpose

    # As PIL.ImageOps.exif_transpose does, but without what it does to the metadata.
    methods = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    method = methods.get(orientation(image))
    return image if method is None else _instead(image, image.transpose(method))


def _eight_bit(image: PillowImage) -> PillowImage:
    """Grey of 16 or 32 bits, or floating point, scaled to 8 bits; Pillow's own conversion would clip it."""
    import numpy as np

    if image.mode not in {"I", "I;16", "F"}:
        image = _instead(image, image.convert("I"))
    least = 1e-9 if image.mode == "F" else 65535.0
    highest = float(np.max(image.getextrema()))
    top = max(highest, least) if math.isfinite(highest) else 1.0
    # A key of transparency is a value of the old scale.
    image.info.pop("transparency", None)
    scaled = _instead(image, image.point(lambda value: value * (255 / top) + 0.5))
    return _instead(scaled, scaled.convert("L"))


def _on_white(layer: PillowImage) -> PillowImage:
    from PIL import Image as Pillow

    layer = _instead(layer, to_srgb(layer))
    background = Pillow.new("RGB", layer.size, "white")
    background.paste(layer, mask=layer)
    return _instead(layer, background)


def _instead(old: PillowImage, new: PillowImage) -> PillowImage:
    if new is not old:
        old.close()
    return new
