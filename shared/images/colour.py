"""Colours as a person sees them: embedded profiles turned into sRGB, which is what models are trained on."""

from __future__ import annotations

import functools
import io
import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage
    from PIL.ImageCms import ImageCmsTransform

# Of Pillow's modes that can have a profile, and how the profile names their colour space.
SPACES = {"RGB": "RGB", "RGBA": "RGB", "L": "GRAY", "CMYK": "CMYK"}
# Those of printing presses have up to 3 MB.
MAX_PROFILE_BYTES = 4_000_000
# Mean difference, of 255. The many profiles that are called sRGB stay below 1.5, as does a plain gamma of 2.2; Display
# P3 has 17, Adobe RGB 25.
NOTICEABLE = 3.0
_STEPS = 9


def is_srgb(image: PillowImage) -> bool:
    """Whether an image's pixels can be read as sRGB: it has no profile, a broken one, one of another kind of image, or
    one that changes nothing that would be seen.
    """
    profile = _profile(image)
    return profile is None or not _is_noticeable(profile, image.mode)


def to_srgb(image: PillowImage) -> PillowImage:
    """What an image of a mode in SPACES shows by its profile, as RGB or RGBA; `image` itself, changed in place or not
    at all, when its mode stays.
    """
    from PIL import ImageCms

    profile = _profile(image)
    transform = _transform(profile, image.mode) if profile and _is_noticeable(profile, image.mode) else None
    if transform is None:
        return image
    if image.mode in {"RGB", "RGBA"}:
        ImageCms.applyTransform(image, transform, inPlace=True)
        return image
    return _applied(transform, image)


def _profile(image: PillowImage) -> bytes | None:
    profile = image.info.get("icc_profile")
    usable = isinstance(profile, bytes) and 0 < len(profile) <= MAX_PROFILE_BYTES and image.mode in SPACES
    return profile if usable else None


@functools.lru_cache(maxsize=8)
def _is_noticeable(profile: bytes, mode: str) -> bool:
    """Whether colours all over the space look different by a profile. Cameras give all their images the same few."""
    from PIL import Image as Pillow
    from PIL import ImageChops, ImageStat

    mode = mode.removesuffix("A")
    transform = _transform(profile, mode)
    if transform is None:
        return False
    bands = Pillow.getmodebands(mode)
    levels = [round(step * 255 / (_STEPS - 1)) for step in range(_STEPS)]
    colours = bytes(itertools.chain.from_iterable(itertools.product(levels, repeat=bands)))
    samples = Pillow.frombytes(mode, (_STEPS, _STEPS ** (bands - 1)), colours)
    difference = ImageChops.difference(_applied(transform, samples), samples.convert("RGB"))
    return max(ImageStat.Stat(difference).mean) > NOTICEABLE


def _transform(profile: bytes, mode: str) -> ImageCmsTransform | None:
    """The way from a profile to sRGB; None when the profile is broken, or one of another kind of image."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != SPACES[mode]:
            return None
        return ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            mode if mode == "RGBA" else "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _applied(transform: ImageCmsTransform, image: PillowImage) -> PillowImage:
    from PIL import Image as Pillow

    seen = Pillow.new("RGB", image.size)
    transform.apply(image, seen)
    return seen
