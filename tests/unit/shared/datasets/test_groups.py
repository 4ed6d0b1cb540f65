"""Which images belong together by their looks and names."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from shared.datasets.catalogue import Catalogue
from shared.datasets.facts import READ, Facts
from shared.datasets.findings import Findings
from shared.datasets.groups import NEAR_BITS, connected, group_images, near_pairs, same_content
from shared.datasets.options import DataSetOptions
from shared.datasets.rows import Places, read_images
from shared.datasets.signatures import Signature, signature_of
from shared.labels import LabelledImage
from shared.locations import Datastores
from tests.support import encoded

PHOTOGRAPHS = Path(__file__).resolve().parents[5] / "shared" / "data" / "aquarium"


def scene(seed: int, *, shift: int = 0, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A made picture: large ellipses of random place and colour, all moved by `shift` px."""
    generator = np.random.default_rng(seed)
    image = Image.new("RGB", (320, 240), tuple(generator.integers(60, 200, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(30):
        x, y, width, height = generator.integers((-40, -40, 30, 30), (300, 220, 120, 120)).tolist()
        draw.ellipse((x + shift, y, x + width + shift, y + height), tuple(generator.integers(0, 256, 3).tolist()))
    return image.resize(size)


def catalogue_of(names: list[str]) -> Catalogue:
    images = [LabelledImage(f"AmlDatastore://photos/{name}", ("a",)) for name in names]
    places = Places(Datastores({"photos": "photos"}, "S", "R", "W"), "https://acct.blob.core.windows.net")
    return read_images(images, "e", places, DataSetOptions(), Findings(), lambda labels: labels)


def grouped(pictures: dict[str, Signature | None], md5: dict[str, int] | None = None) -> list[set[str]]:
    """Groups of several, by name. A picture that is None was not read."""
    catalogue = catalogue_of(list(pictures))
    facts = Facts(len(catalogue))
    names = {}
    for index, _, name in catalogue.scan():
        names[index] = name
        facts.md5[index] = (md5 or {}).get(name, 0)
        signature = pictures[name]
        if signature is not None:
            facts.state[index], facts.bits[index], facts.colour[index] = READ, signature.bits, signature.colour
    roots, _ = group_images(catalogue, facts, same_content(facts))
    groups: dict[int, set[str]] = {}
    for index, root in enumerate(roots.tolist()):
        groups.setdefault(root, set()).add(names[index])
    return [group for group in groups.values() if len(group) > 1]


def seen(seed: int, shift: int = 0) -> Signature:
    return signature_of(encoded(scene(seed, shift=shift)))


OTHERS: dict[str, Signature | None] = {f"other {seed} x.jpg": seen(1000 + seed) for seed in range(60)}


def test_pictures_that_look_alike_are_together_whatever_their_names_sizes_and_formats() -> None:
    image = scene(1)
    alike = {
        "a.jpg": signature_of(encoded(image, quality=95)),
        "b.jpg": signature_of(encoded(image, quality=40)),
        "c.png": signature_of(encoded(scene(1, size=(1280, 960)), "PNG")),
        "d.bmp": signature_of(encoded(scene(1, shift=2), "BMP")),
    }
    assert grouped({**alike, **OTHERS}) == [set(alike)]


def test_neighbours_by_number_are_one_burst_though_the_camera_moved_and_others_are_not() -> None:
    frames = {f"IMG_{100 + step}.jpg": seen(7, shift=step * 7) for step in range(3)}
    strangers = {"IMG_103.jpg": seen(8), "IMG_900.jpg": seen(9)}
    assert grouped({**frames, **strangers, **OTHERS}) == [set(frames)]
    renamed = {
        f"{name}-{number}0.jpg": picture
        for number, (name, picture) in enumerate(zip("xyz", frames.values(), strict=True))
    }
    assert set().union(*grouped({**renamed, **OTHERS})) != set(renamed)


def test_plain_pictures_are_not_compared_but_the_same_content_is() -> None:
    plain = {name: signature_of(encoded(Image.new("RGB", (64, 64), "white"))) for name in ("a.jpg", "b.jpg", "c.jpg")}
    assert grouped({**plain, **OTHERS}) == []
    assert grouped({**plain, **OTHERS}, {"a.jpg": 5, "c.jpg": 5}) == [{"a.jpg", "c.jpg"}]


def test_pictures_that_were_not_looked_at_are_together_in_tens_of_their_numbers() -> None:
    names = (
        [f"v/frame_{number:04}.jpg" for number in range(8, 23)] + ["w/frame_0009.jpg"] + [f"z{n}q.jpg" for n in "abc"]
    )
    groups = grouped(
        {**dict.fromkeys(names), **dict.fromkeys(f"{n}.x{n}y.jpg" for n in map(chr, range(0x4E00, 0x4F00)))}
    )
    numbers = sorted(sorted(int(re.sub(r"\D", "", name)) for name in group) for group in groups)
    assert numbers == [[8, 9], list(range(10, 20)), list(range(20, 23))]


def test_a_look_that_most_images_have_is_no_group() -> None:
    same = {f"p {chr(97 + n)}.jpg": seen(1) for n in range(20)}
    assert grouped({**same, **OTHERS}) == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=60))
def test_connected_is_the_smallest_thing_within_reach(edges: list[tuple[int, int]]) -> None:
    pairs = np.array(edges, dtype=np.int64).reshape(-1, 2)
    expected = list(range(41))
    for _ in range(41):
        for one, other in edges:
            expected[one] = expected[other] = min(expected[one], expected[other])
    assert connected(41, [(pairs[:, 0], pairs[:, 1])]).tolist() == expected


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_near_pairs_finds_what_comparing_all_with_all_finds(data: st.DataObject) -> None:
    base = data.draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=8))
    values = [*base]
    for each in base:
        flipped = data.draw(st.lists(st.sets(st.integers(0, 63), max_size=9), max_size=3))
        values.extend(each ^ sum(1 << bit for bit in bits) for bits in flipped)
    bits = np.array(values, dtype=np.uint64)
    detailed = [4 <= value.bit_count() <= 60 for value in values]
    pairs = near_pairs(bits, np.zeros((len(bits), 3), np.uint8), np.arange(len(bits)))
    all_pairs = itertools.combinations(range(len(values)), 2)
    expected = [
        (one, other)
        for one, other in all_pairs
        if detailed[one] and detailed[other] and (values[one] ^ values[other]).bit_count() <= NEAR_BITS
    ]
    assert np.array_equal(connected(len(values), pairs), connected(len(values), [_columns(expected)]))


def _columns(pairs: list[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def test_bursts_among_photographs_of_an_aquarium_are_found_and_no_strangers_are_joined() -> None:
    if not PHOTOGRAPHS.is_dir():
        pytest.skip("the aquarium photographs are not here")
    rows = [json.loads(line) for line in (PHOTOGRAPHS / "labels.jsonl").read_text().splitlines()]
    labels = {row["image"]: set(row["labels"]) for row in rows}
    groups = grouped({row["image"]: signature_of((PHOTOGRAPHS / row["image"]).read_bytes()) for row in rows})
    burst = {f"images/IMG_{number}_jpeg.jpg" for number in (2538, 2539)}
    assert any(burst <= group for group in groups)
    assert len(groups) >= 5
    assert all(set.intersection(*(labels[name] for name in group)) for group in groups), (
        "frames of a burst share a label"
    )
    assert max(map(len, groups)) <= 8


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"GIF89a no image", "is none of JPEG, PNG, BMP and TIFF"),
        (encoded(scene(1), "WEBP"), "is none of JPEG, PNG, BMP and TIFF"),
        (encoded(scene(1))[:3000], "is damaged"),
        (encoded(scene(1), "TIFF")[:-500], "is damaged"),
    ],
)
def test_a_file_that_can_not_be_trained_on_says_why(content: bytes, problem: str) -> None:
    assert signature_of(content).problem == problem


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["JPEG", "PNG", "BMP", "TIFF"]), st.integers(0, 400))
def test_no_bytes_make_a_signature_fail(noise: bytes, kind: str, at: int) -> None:
    content = bytearray(encoded(scene(2, size=(40, 30)), kind))
    content[at : at + len(noise)] = noise
    signature = signature_of(bytes(content))
    assert signature.problem or signature.width > 0


def test_16_bit_grey_shows_its_structure() -> None:
    grey = np.asarray(scene(3).convert("L"), dtype=np.uint16)
    deep = signature_of(encoded(Image.fromarray(grey * 257), "PNG"))
    assert (
        deep.bits ^ signature_of(encoded(Image.fromarray(grey.astype(np.uint8)), "PNG")).bits
    ).bit_count() <= NEAR_BITS
