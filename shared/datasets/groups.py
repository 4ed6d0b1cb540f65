"""Which images belong together, since they show nearly the same: a split that parts them flatters the model."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.datasets.catalogue import Catalogue, Indices, image_digest
from shared.datasets.facts import READ, Facts

# Of 64 bits. Frames of one scene differ in up to 6; neighbours by file number, which a camera took one after the
# other, are taken for one burst up to 20. Chosen on photographs of an aquarium, where other pairs differ in more.
NEAR_BITS = 6
BURST_BITS = 20
# Of 255, for the mean of each of red, green and blue.
NEAR_COLOUR = 24
BURST_COLOUR = 16
BURST_GAP = 3
# Images with fewer bits set, or unset, are too plain to be compared.
MIN_DETAIL = 4
# Without a look at the images, file numbers are cut into blocks: always at the same places, and no chain gets long.
BLOCK = 10
# A larger share of the images is not a burst, but how all images look.
MAX_SHARE = 0.05
MAX_SMALL_GROUP = 5
# Images that share two of eight bytes are compared with so many of their kind.
_WINDOW = 32
_NUMBERED = re.compile(r"(?P<stem>.*?)(?P<number>[0-9]{1,18})(?P<rest>[^0-9]*)", re.DOTALL)
_UNNUMBERED = -1
# So many images are compared, and so many pairs connected, at once: more would be faster by little.
_PIECE = 65_536
_TWO_BYTES_SHARED = np.uint64(1 << 48)
_KNOWN_SERIES = 10_000
_FAR = 255

Pairs = tuple[Indices, Indices]


def group_images(catalogue: Catalogue, facts: Facts, same: Pairs) -> tuple[NDArray[np.int32], dict[str, int]]:
    """For each image the first image of its group; and figures. Images alone are groups of their own. `same`: pairs of
    the same content.

    Together are: the same content; pictures that look alike; numbered files of one series that follow each other
    closely and look similar, or, where one was not looked at, in the same block of ten numbers. A group of more than a
    twentieth of all images (but more than five) is dissolved, down to the blocks of ten: it says that these pictures
    can't be told from each other by looks.
    """
    count = len(catalogue)
    limit = max(MAX_SMALL_GROUP, int(count * MAX_SHARE))
    numbered = _numbered(catalogue)
    read = facts.state == READ
    alike = near_pairs(facts.bits, facts.colour, np.flatnonzero(read).astype(np.int32))
    bursts = _bursts(numbered, facts, read)
    roots = connected(count, itertools.chain([same], alike, bursts, [numbered.unseen(read)]))
    large = np.bincount(roots, minlength=count)[roots] > limit
    dissolved = int(large.sum())
    if dissolved:
        left, right = numbered.blocks()
        within = large[left] & large[right]
        blocked = connected(count, [(left[within], right[within])])
        still = np.bincount(blocked, minlength=count)[blocked] > limit
        blocked[still] = np.flatnonzero(still)
        roots = np.where(large, blocked, roots).astype(np.int32)
    sizes = np.bincount(roots, minlength=count)
    figures = {
        "groups": int((sizes > 0).sum()),
        "images in groups of several": int((sizes[roots] > 1).sum()),
        "largest group": int(np.max(sizes) if count else 0),
        "images of dissolved groups": dissolved,
        "images of the same content": int(np.unique(np.concatenate(same)).size),
    }
    return roots, figures


def connected(count: int, pairs: Iterable[Pairs]) -> NDArray[np.int32]:
    """For each of `count` things the smallest one that pairs connect it with."""
    roots = np.arange(count, dtype=np.int32)
    waiting: list[Pairs] = []
    for left, right in pairs:
        apart = roots[left] != roots[right]
        waiting.append((left[apart], right[apart]))
        if sum(len(each[0]) for each in waiting) > _PIECE:
            _connect(roots, waiting)
            waiting.clear()
    _connect(roots, waiting)
    return roots


def _connect(roots: NDArray[np.int32], pairs: list[Pairs]) -> None:
    """Take more pairs into account."""
    if not pairs:
        return
    left = np.concatenate([each[0] for each in pairs])
    right = np.concatenate([each[1] for each in pairs])
    while True:
        one, other = roots[left], roots[right]
        apart = one != other
        if not apart.any():
            return
        left, right = left[apart], right[apart]
        np.minimum.at(roots, np.maximum(one, other)[apart], np.minimum(one, other)[apart])
        while True:
            shorter = roots[roots]
            if np.array_equal(shorter, roots):
                break
            roots[:] = shorter


def near_pairs(bits: NDArray[np.uint64], colour: NDArray[np.uint8], chosen: Indices) -> Iterator[Pairs]:
    """Pairs of the chosen images that look alike, in pieces; some come several times.

    Two of 64 bits that differ in at most six have at least two of their eight bytes in common. So for each two bytes
    the images are sorted by them, and each is compared with the next few that have the same: the time is in proportion
    to the number of images, and of very many that share two bytes some pairs are missed.
    """
    detail = np.bitwise_count(bits)
    chosen = chosen[((detail >= MIN_DETAIL) & (detail <= 64 - MIN_DETAIL))[chosen]]
    del detail
    for high in itertools.combinations(range(8), 2):
        turned = _turned(bits, chosen, high)
        order = np.argsort(turned, kind="stable").astype(np.int32)
        turned = turned[order]
        images = chosen[order]
        del order
        for first in range(0, len(images), _PIECE):
            for step in range(1, _WINDOW + 1):
                last = min(first + _PIECE, len(images) - step)
                differing = turned[first:last] ^ turned[first + step : last + step]
                shared = differing < _TWO_BYTES_SHARED
                if not shared.any():
                    break
                near = first + np.flatnonzero(shared & (np.bitwise_count(differing) <= NEAR_BITS))
                yield _coloured_alike(colour, images[near], images[near + step], NEAR_COLOUR)


def _turned(bits: NDArray[np.uint64], chosen: Indices, high: tuple[int, int]) -> NDArray[np.uint64]:
    """Bits of which two bytes are moved to the highest places, so that sorting is by them. How many bits differ between
    two of them stays the same.
    """
    places = [*(place for place in range(8) if place not in high), *high]
    turned = np.empty(len(chosen), "<u8")
    for first in range(0, len(chosen), _PIECE):
        octets = bits[chosen[first : first + _PIECE]].astype("<u8").view(np.uint8).reshape(-1, 8)
        turned[first : first + _PIECE] = np.ascontiguousarray(octets[:, places]).view("<u8").ravel()
    return turned


def _coloured_alike(colour: NDArray[np.uint8], left: Indices, right: Indices, most: int) -> Pairs:
    apart = np.abs(colour[left].astype(np.int16) - colour[right].astype(np.int16)).max(axis=1, initial=0)
    return left[apart <= most], right[apart <= most]


def same_content(facts: Facts) -> Pairs:
    """Neighbours among images whose MD5 and size are the same."""
    known = np.flatnonzero(facts.md5 != 0)
    order = known[np.lexsort((facts.size[known], facts.md5[known]))]
    same = (facts.md5[order][1:] == facts.md5[order][:-1]) & (facts.size[order][1:] == facts.size[order][:-1])
    return order[:-1][same], order[1:][same]


@dataclass(frozen=True)
class _Numbered:
    """The images with a number in their names, by series and number. `place`: on a line on which neighbours stand as
    far apart as their numbers, but at most _FAR, as those of two series. `together`: for each but the last, whether it
    is in one block of ten numbers with the next.
    """

    order: NDArray[np.int32]
    place: NDArray[np.int32]
    together: NDArray[np.bool_]

    def blocks(self) -> Pairs:
        """Neighbours within blocks."""
        return self.order[:-1][self.together], self.order[1:][self.together]

    def unseen(self, read: NDArray[np.bool_]) -> Pairs:
        """Neighbours within blocks that can't be compared."""
        left, right = self.blocks()
        unseen = ~(read[left] & read[right])
        return left[unseen], right[unseen]


def _numbered(catalogue: Catalogue) -> _Numbered:
    series = np.zeros(len(catalogue), np.uint64)
    numbers = np.full(len(catalogue), _UNNUMBERED, np.int64)
    known: dict[tuple[str, str, str, str], int] = {}
    for index, container, path in catalogue.scan():
        folder, _, name = path.rpartition("/")
        stem, dot, suffix = name.rpartition(".")
        # The last digits count; reversed, they are the first.
        match = _NUMBERED.fullmatch((stem if dot else suffix)[::-1])
        if match:
            numbers[index] = int(match["number"][::-1])
            key = container, folder, match["rest"], match["stem"]
            if key not in known:
                if len(known) >= _KNOWN_SERIES:
                    known.clear()
                known[key] = image_digest(container, "\0".join(key[1:]))
            series[index] = known[key]
    # By number, then by series: less memory than both at once.
    order = np.argsort(numbers, kind="stable").astype(np.int32)
    order = order[np.argsort(series[order], kind="stable").astype(np.int32)]
    order = order[numbers[order] != _UNNUMBERED]
    series, numbers = series[order], numbers[order]
    same = series[1:] == series[:-1]
    del series
    together = same & (numbers[1:] // BLOCK == numbers[:-1] // BLOCK)
    gaps = np.where(same, np.minimum(np.diff(numbers), _FAR), _FAR)
    place = np.zeros(len(order), np.int32)
    place[1:] = np.cumsum(gaps)
    return _Numbered(order, place, together)


def _bursts(numbered: _Numbered, facts: Facts, read: NDArray[np.bool_]) -> Iterator[Pairs]:
    """Images of one series that were read, follow each other closely and look similar."""
    seen = read[numbered.order]
    order, place = numbered.order[seen], numbered.place[seen]
    for step in range(1, BURST_GAP + 1):
        close = np.flatnonzero(place[step:] - place[:-step] <= BURST_GAP)
        left, right = order[close], order[close + step]
        near = np.bitwise_count(facts.bits[left] ^ facts.bits[right]) <= BURST_BITS
        yield _coloured_alike(facts.colour, left[near], right[near], BURST_COLOUR)
