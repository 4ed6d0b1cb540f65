"""AutoML's validation transform: RGB, short side to 256 (bilinear), centre crop of 224.

As torchvision does it for AutoML (`Resize(256)`, `CenterCrop(224)`): the long side is cut to whole pixels, the crop's
corner is rounded. Orientation in EXIF is not looked at: `Image.open(...).convert("RGB")` does not either.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RESIZE_TO, CROP_TO = 256, 224


class UnreadableImageError(ValueError):
    """The bytes are not an image that can be read; the message says why."""


def decode(data: bytes) -> NDArray[np.uint8]:
    """The bytes of one image file → (224, 224, 3) uint8, RGB. Raises UnreadableImageError."""
    try:
        with Image.open(io.BytesIO(data)) as file:
            image = file.convert("RGB")
    except Exception as error:
        # PIL's plugins raise nearly anything for broken data: OSError, ValueError, SyntaxError, struct.error, KeyError.
        raise UnreadableImageError(str(error) or type(error).__name__) from error
    return crop(image)


def crop(image: Image.Image) -> NDArray[np.uint8]:
    """An RGB image → (224, 224, 3) uint8."""
    width, height = image.size
    if width <= height:
        width, height = RESIZE_TO, int(RESIZE_TO * height / width)
    else:
        width, height = int(RESIZE_TO * width / height), RESIZE_TO
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - CROP_TO) / 2), round((height - CROP_TO) / 2)
    return np.asarray(image.crop((left, top, left + CROP_TO, top + CROP_TO)))


def to_planes(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, 224, 224, 3) uint8 → (N, 3, 224, 224) float32 in 0..255, the input of a network that normalises itself."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
