"""Which key or column holds what, in the many ways that exports and people name them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from shared.labels.model import MAX_PIXELS

# In each row, names are tried in this order; case and anything but letters and digits do not matter. Azure Machine
# Learning's data labelling writes image_url / Url and label / Label. Custom Vision's training API writes
# originalImageUri (imageUri in its early versions), tags and regions:
# https://learn.microsoft.com/rest/api/customvision/get-tagged-images/get-tagged-images
ROLES: Mapping[str, tuple[str, ...]] = {
    "url": (
        *("imageurl", "url", "cocourl", "absoluteurl", "image", "imagepath", "path", "filepath", "savedpath", "file"),
        *("filename", "imagefile", "imagename", "originalfilename", "blob", "bloburl"),
        *("originalimageuri", "imageuri", "uri", "resizedimageuri"),
    ),
    "label": (
        *("label", "labels", "tag", "tags", "class", "classes", "category", "categories", "classname", "labelname"),
        *("tagname", "tagnames", "classnames", "labelnames", "annotations"),
    ),
    "regions": ("regions", "boundingboxes", "boxes"),
    "confidence": ("labelconfidence", "labelconfidences", "confidence", "confidences"),
    "width": ("imagewidth", "width"),
    "height": ("imageheight", "height"),
    "details": ("imagedetails",),
}
NAME_KEYS = ("label", "tagname", "name", "labelname", "classname", "class", "category", "tag")
CUSTOM_VISION = {"originalimageuri", "resizedimageuri", "thumbnailuri", "tagdetails"}
_OTHER = re.compile(r"[\W_]+")
_PIXELS = re.compile(r"\s*(\d{1,7})(?:\.\d*)?\s*(?:px)?\s*")


def plain(name: str) -> str:
    """A key or column name as ROLES spell it."""
    return _OTHER.sub("", name[:100].casefold())


def roles_of(names: Iterable[str]) -> dict[str, str]:
    """Role → the name that has it, the first in the order of ROLES."""
    by_plain: dict[str, str] = {}
    for name in names:
        by_plain.setdefault(plain(name), name)
    return {
        role: by_plain[alias]
        for role, aliases in ROLES.items()
        for alias in [next((each for each in aliases if each in by_plain), None)]
        if alias
    }


def name_key(keys: Iterable[Any]) -> str | None:
    """Of the keys of an object that describes a label or a box, that of the label's name."""
    by_plain = {plain(key): key for key in keys if isinstance(key, str)}
    return next((by_plain[alias] for alias in NAME_KEYS if alias in by_plain), None)


def pixels(value: Any) -> int:
    """A size in px from 1024.0, "1024" or "1024px"; 0, which stands for unknown, when it is none."""
    if isinstance(value, str):
        match = _PIXELS.fullmatch(value[:100])
        value = int(match[1]) if match else 0
    return int(value) if isinstance(value, (int, float)) and 0 < value < MAX_PIXELS else 0


def lowest(values: Any) -> float:
    """The lowest confidence (0 to 1) in a number, a text or a list of them; 1 for none. Raises ValueError."""
    items = values if isinstance(values, list) else [values]
    numbers = [float(each) for each in items if each not in (None, "")]
    if any(math.isnan(each) or not 0 <= each <= 1 for each in numbers):
        raise ValueError("not between 0 and 1")
    return min(numbers, default=1.0)
