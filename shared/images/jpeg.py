"""What of a JPEG file Pillow does not tell: how many scans it has, and how much is missing when it was cut off."""

from __future__ import annotations

import io
import random
import re
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from shared.errors import ImageRejectedError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

# Each scan goes over the whole image: a file of a few MB with thousands of scans would be decoded for minutes
# (https://libjpeg-turbo.org/pmwiki/uploads/About/TwoIssueswiththeJPEGStandard.pdf). Encoders write some ten.
MAX_SCANS = 100
END = b"\xff\xd9"
START_OF_SCAN = b"\xff\xda"
# Blocks are of eight by eight px; where colours are coded at half the resolution, two rows of them belong together.
BLOCK = 8
MOST_ROWS = 2 * BLOCK
# Of a small image, these may be much: so much of the height must be whole.
LEAST_SHARE = 0.75
# The next marker, past entropy-coded data: no stuffed zero, no restart marker, no fill byte.
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])", re.DOTALL)


class Scan(NamedTuple):
    """Which coefficients (0 to 63, in zigzag order) of which components a scan holds, less their `low` last bits."""

    components: bytes
    first: int
    last: int
    low: int


def count_scans(content: bytes) -> int:
    """How many scans a JPEG's image has. Raises ImageRejectedError when there are more than MAX_SCANS."""
    # Those of thumbnails are counted, too, but that is quick, and mostly there is one.
    count = content.count(START_OF_SCAN)
    if count > 1:
        count = len(scans(content))
    if count > MAX_SCANS:
        raise ImageRejectedError(f"the JPEG has more than {MAX_SCANS} scans; they would take too long to decode")
    return count


def scans(content: bytes) -> list[Scan]:
    """The scans of a JPEG's first image, as far as they can be told, and not many more than MAX_SCANS.

    Markers: ITU-T T.81, annex B.
    """
    found: list[Scan] = []
    position = 2
    while len(found) <= MAX_SCANS:
        marker = _MARKER.search(content, position)
        if marker is None or marker[1] == END[1:]:
            break
        start = marker.end()
        length = int.from_bytes(content[start : start + 2])
        if marker[1] == START_OF_SCAN[1:]:
            segment = content[start + 2 : start + length]
            if len(segment) < 4 or len(segment) < 2 * segment[0] + 4:
                break
            first, last, approximation = segment[2 * segment[0] + 1 :][:3]
            found.append(Scan(segment[1 : 2 * segment[0] + 1 : 2], first, last, approximation & 15))
        position = start + max(length, 2)
    return found


def completed(content: bytes) -> tuple[bytes, str] | None:
    """A JPEG that was cut off, with an end, and what is missing of it in words; None when that is too much.

    It may be a part of the last row of blocks; of a progressive image only that of its last scan. Where the data ends
    is seen by decoding it with two different continuations.
    """
    from PIL import ImageChops

    data = content.removesuffix(b"\xff")
    noise = random.Random(0).randbytes(1024).replace(b"\xff", b"\xfe")  # noqa: S311
    found = scans(content)
    # One pixel for each block shows its mean, which comes first; what a later scan adds is seen at half the size.
    scale = BLOCK if len(found) == 1 else 2
    ended, continued = _decoded(data + END, scale), _decoded(data + noise + END, scale)
    if ended is None or continued is None or not _are_complete(found, len(ended.getbands())):
        return None
    box = ImageChops.difference(ended, continued).getbbox()
    missing = (ended.height - box[1]) * scale if box else 0
    if missing > MOST_ROWS or missing > ended.height * scale * (1 - LEAST_SHARE):
        return None
    if missing:
        return data + END, f"the file was cut off, within its last {missing} rows of pixels"
    return data + END, "the file was cut off at its very end"


def _decoded(content: bytes, scale: int) -> PillowImage | None:
    """A JPEG at a half (2) or an eighth (8) of its size; None when it can't be decoded."""
    from PIL import Image as Pillow

    try:
        image = Pillow.open(io.BytesIO(content), formats=("JPEG",))
        image.draft(None, (max(1, image.width // scale), max(1, image.height // scale)))
        image.load()
    except Exception:  # Whatever it is, the image was refused for it before.
        return None
    return image


def _are_complete(found: list[Scan], components: int) -> bool:
    """Whether scans hold each coefficient of each component to its last bit; the last scan may be cut off."""
    left: dict[int, set[int]] = defaultdict(lambda: set(range(64)))
    for scan in found:
        if scan.low == 0:
            for component in scan.components:
                left[component] -= set(range(scan.first, scan.last + 1))
    return len(left) == components and not any(left.values())
