"""What an image looks like, in few bytes: to tell near-identical frames, and whether a trainer can read it at all."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

# Pillow's names of the formats that AutoML documents (FORMATS in options.py); JPEG includes MPO, which cameras write.
READABLE = ("JPEG", "PNG", "BMP", "TIFF")
# Larger images are not decoded for a comparison; Pillow's own limit is 89 megapixels.
MAX_MEGAPIXELS = 89
# Brightness (of 255) by which one cell must exceed its neighbour: less is the noise of plain areas.
_NOISE = 2


@dataclass(frozen=True)
class Signature:
    """`bits`: 64 bits, whether the picture gets brighter from each of 8 x 8 cells to the next (a difference hash:
    https://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html). `colour`: the mean of red,
    green and blue, 0 to 255. Sizes in px. `problem`: why it can't be trained on; then the rest means nothing.
    """

    bits: int = 0
    colour: tuple[int, int, int] = (0, 0, 0)
    width: int = 0
    height: int = 0
    format: str = ""
    problem: str = ""


def signature_of(content: bytes) -> Signature:
    """Decode an image (JPEG at an eighth of its size, which is much faster) and describe it.

    Pillow may warn of odd files. To filter that is the caller's matter: this runs in threads, which share the filters.
    """
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    if not content:
        return Signature(problem="is empty")
    try:
        file = Pillow.open(io.BytesIO(content), formats=READABLE)
        width, height = file.size
        kind = file.format or ""
        if width * height > MAX_MEGAPIXELS * 1_000_000:
            return Signature(problem=f"has {width} x {height} px, more than {MAX_MEGAPIXELS} megapixels")
        file.draft("RGB", (72, 72))
        # 16-bit grey is clipped by a conversion to RGB, but not by one to 8 bits of the upper half.
        image = file.point(lambda value: value / 256).convert("L") if file.mode.startswith("I") else file
        small = image.convert("RGB").resize((9, 8), Pillow.Resampling.BOX)
    except UnidentifiedImageError:
        return Signature(problem="is none of JPEG, PNG, BMP and TIFF")
    except Pillow.DecompressionBombError:
        return Signature(problem=f"has more than {MAX_MEGAPIXELS} megapixels")
    except (OSError, ValueError, SyntaxError, EOFError):
        # Pillow raises each of these for damaged files: https://pillow.readthedocs.io/en/stable/reference/plugins.html
        return Signature(problem="is damaged")
    pixels = np.asarray(small, dtype=np.float32)
    grey = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    bits = np.packbits(grey[:, 1:] - grey[:, :-1] > _NOISE)
    red, green, blue = (int(value) for value in pixels.mean(axis=(0, 1)).round())
    return Signature(int.from_bytes(bits.tobytes(), "big"), (red, green, blue), width, height, kind)
