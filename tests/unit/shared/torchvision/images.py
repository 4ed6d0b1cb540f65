"""Images of many shapes, the same on every machine."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image

# Width, height (px). Below and above the 256 px to scale to, odd, square, long; 49 of 48 by 49 is what `height * (256 /
# width)` and `256 * height / width` differ in.
SIZES = (
    (224, 224),
    (256, 256),
    (256, 300),
    (320, 240),
    (240, 320),
    (180, 320),
    (257, 511),
    (333, 777),
    (1000, 999),
    (1, 1),
    (17, 16),
    (64, 900),
    (1200, 90),
    (2048, 1536),
    (48, 49),
    (1024, 771),
)
SCALES = ((256, 224), (224, 224), (300, 288), (384, 384))


@cache
def picture(width: int, height: int) -> Image.Image:
    """Waves and fine grain in three channels, RGB."""
    y, x = np.mgrid[:height, :width].astype(np.int64)
    grain = (x * 7919 + y * 104729 + x * y * 31) % 97
    channels = [(x * (3 + c) + y * (5 - c) + grain * (c + 1)) % 256 for c in range(3)]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8), "RGB")
