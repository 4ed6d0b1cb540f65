"""Which images belong together, since they show nearly the same: a split that parts them flatters the model."""

from __future__ import annotations

import itertools
import re

import numpy as np
from numpy.typing import NDArray

from shared.datasets.catalogue import Catalogue, image_digest
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

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


def group_images(catalogue: Catalogue, facts: Facts) -> tuple[NDArray[np.int32], dict[str, int]]:
    """For each image the first image of its group; and figures. Images alone are groups of their own.

    Together are: the same content; pictures that look alike; numbered files of one series that follow each other
    closely and look similar, or, where one was not looked at, in the same block of ten numbers. A group of more than a
    twentieth of all images (but more than five) is dissolved, down to the blocks of ten: it says that these pictures
    can't be told from each other by looks.
    """
    count = len(catalogue)
    limit = max(MAX_SMALL_GROUP, int(count * MAX_SHARE))
    series, numbers = _series(catalogue)
    read = facts.state == READ
    same = same_content(facts)
    alike = near_pairs(facts.bits, facts.colour, np.flatnonzero(read))
    bursts = _bursts(series, numbers, facts, read)
    blocks = _blocks(series, numbers)
    unseen = tuple(side[~(read[blocks[0]] & read[blocks[1]])] for side in blocks)
    roots = connected(count, [same, alike, bursts, (unseen[0], unseen[1])])
    large = np.bincount(roots, minlength=count)[roots] > limit
    dissolved = int(large.sum())
    if dissolved:
        within = tuple(side[large[blocks[0]] & large[blocks[1]]] for side in blocks)
        blocked = connected(count, [(within[0], within[1])])
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


def connected(count: int, pairs: list[Pairs]) -> NDArray[np.int32]:
    """For each of `count` things the smallest one that pairs connect it with."""
    left = np.concatenate([each[0] for each in pairs])
    right = np.concatenate([each[1] for each in pairs])
    roots = np.arange(count, dtype=np.int32)
    while len(left):
        one, other = roots[left], roots[right]
        apart = one != other
        if not apart.any():
            break
        left, right = left[apart], right[apart]
        np.minimum.at(roots, np.maximum(one, other)[apart], np.minimum(one, other)[apart])
        while True:
            shorter = roots[roots]
            if np.array_equal(shorter, roots):
                break
            roots = shorter
    return roots


def near_pairs(bits: NDArray[np.uint64], colour: NDArray[np.uint8], chosen: NDArray[np.int64]) -> Pairs:
    """Pairs of the chosen images that look alike.

    Two of 64 bits that differ in at most six have at least two of their eight bytes in common. So for each two bytes
    the images are sorted by them, and each is compared with the next few that have the same: the time is in proportion
    to the number of images, and of very many that share two bytes some pairs are missed.
    """
    detail = np.bitwise_count(bits[chosen])
    chosen = chosen[(detail >= MIN_DETAIL) & (detail <= 64 - MIN_DETAIL)]
    # The same bits need no comparing: neighbours when sorted.
    order = chosen[np.argsort(bits[chosen], kind="stable")]
    equal = np.flatnonzero(bits[order][1:] == bits[order][:-1])
    found = [_alike(bits, colour, order[equal], order[equal + 1], NEAR_BITS, NEAR_COLOUR)]
    octets = bits[chosen].view(np.uint8).reshape(-1, 8)
    for one, other in itertools.combinations(range(8), 2):
        keys = octets[:, one].astype(np.uint16) << 8 | octets[:, other]
        order = np.lexsort((bits[chosen], keys))
        sorted_keys, sorted_images = keys[order], chosen[order]
        for step in range(1, _WINDOW + 1):
            shared = np.flatnonzero(sorted_keys[step:] == sorted_keys[:-step])
            if not len(shared):
                break
            pair = sorted_images[shared], sorted_images[shared + step]
            found.append(_alike(bits, colour, *pair, NEAR_BITS, NEAR_COLOUR))
    return np.concatenate([each[0] for each in found]), np.concatenate([each[1] for each in found])


def _alike(
    bits: NDArray[np.uint64],
    colour: NDArray[np.uint8],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    max_bits: int,
    max_colour: int,
) -> Pairs:
    near = np.bitwise_count(bits[left] ^ bits[right]) <= max_bits
    left, right = left[near], right[near]
    apart = np.abs(colour[left].astype(np.int16) - colour[right].astype(np.int16)).max(axis=1, initial=0)
    return left[apart <= max_colour], right[apart <= max_colour]


def same_content(facts: Facts) -> Pairs:
    """Neighbours among images whose MD5 and size are the same."""
    known = np.flatnonzero(facts.md5 != 0)
    order = known[np.lexsort((facts.size[known], facts.md5[known]))]
    same = (facts.md5[order][1:] == facts.md5[order][:-1]) & (facts.size[order][1:] == facts.size[order][:-1])
    return order[:-1][same], order[1:][same]


def _series(catalogue: Catalogue) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """For each image which series its name belongs to, and its number in it."""
    series = np.zeros(len(catalogue), np.uint64)
    numbers = np.full(len(catalogue), _UNNUMBERED, np.int64)
    for index, container, path in catalogue.scan():
        folder, _, name = path.rpartition("/")
        stem, dot, suffix = name.rpartition(".")
        # The last digits count; reversed, they are the first.
        match = _NUMBERED.fullmatch((stem if dot else suffix)[::-1])
        if match:
            numbers[index] = int(match["number"][::-1])
            series[index] = image_digest(container, f"{folder}\0{match['rest']}\0{match['stem']}")
    return series, numbers


def _bursts(series: NDArray[np.uint64], numbers: NDArray[np.int64], facts: Facts, read: NDArray[np.bool_]) -> Pairs:
    chosen = np.flatnonzero(read & (numbers != _UNNUMBERED))
    order = chosen[np.lexsort((numbers[chosen], series[chosen]))]
    found = []
    for step in range(1, BURST_GAP + 1):
        left, right = order[:-step], order[step:]
        close = (series[left] == series[right]) & (numbers[right] - numbers[left] <= BURST_GAP)
        found.append(_alike(facts.bits, facts.colour, left[close], right[close], BURST_BITS, BURST_COLOUR))
    return np.concatenate([each[0] for each in found]), np.concatenate([each[1] for each in found])


def _blocks(series: NDArray[np.uint64], numbers: NDArray[np.int64]) -> Pairs:
    """Neighbours within blocks of ten numbers."""
    numbered = np.flatnonzero(numbers != _UNNUMBERED)
    blocks = numbers // BLOCK
    order = numbered[np.lexsort((numbers[numbered], series[numbered]))]
    left, right = order[:-1], order[1:]
    same = (series[left] == series[right]) & (blocks[left] == blocks[right])
    return left[same], right[same]
