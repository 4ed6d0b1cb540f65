"""From labelled images to a data set: what is left out, what is refused, and what is told."""

from __future__ import annotations

import io
import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.datasets import DataSet, DataSetOptions, Findings, build_data_set
from shared.datasets.catalogue import Catalogue
from shared.datasets.facts import MISSING, THERE, UNUSABLE, Facts, Remembered
from shared.datasets.options import SPLITS
from shared.datasets.rows import Places
from shared.errors import ConflictError, ExportError, InvalidRequestError
from shared.labels import ExportFile, LabelledImage, open_export
from shared.locations import Datastores, locate

STORES = Datastores({"photos": "photos"}, "S", "R", "W")
ACCOUNT = "https://acct.blob.core.windows.net"


class Store:
    """An account where all images are there but some, and sides are kept in memory."""

    def __init__(self, missing: Iterable[str] = (), empty: Iterable[str] = (), damaged: Iterable[str] = ()) -> None:
        self.missing, self.empty, self.damaged = set(missing), set(empty), set(damaged)
        self.md5: dict[str, int] = {}
        self.remembered = Remembered()
        self.changes = 0

    def look_up(self, catalogue: Catalogue, facts: Facts, findings: Findings) -> None:
        for index, _, path in catalogue.scan():
            facts.exists[index] = MISSING if path in self.missing else THERE
            facts.size[index] = 0 if path in self.empty else 1000
            facts.etag[index] = 1
            facts.md5[index] = self.md5.get(path, 0)

    def read(self, catalogue: Catalogue, facts: Facts, chosen: NDArray[np.integer[Any]], limit: int) -> None:
        for index, _, path in catalogue.locations(chosen.tolist()):
            if path in self.damaged:
                facts.state[index] = UNUSABLE
                facts.problems[index] = "is damaged"

    def recall(self, options: DataSetOptions) -> Remembered:
        return self.remembered

    def remember(self, options: DataSetOptions, remembered: Remembered) -> bool:
        self.changes -= 1
        if self.changes >= 0:
            return False
        self.remembered = remembered
        return True


def labelled(count: int, *labels: str, start: int = 0) -> list[LabelledImage]:
    rows = range(start, start + count)
    return [LabelledImage(f"AmlDatastore://photos/{n}.x.jpg", labels, 10, 10, file="e.csv", record=n + 1) for n in rows]


def make(
    images: Iterable[LabelledImage], store: Store | None = None, findings: Findings | None = None, **options: Any
) -> DataSet:
    found = findings or Findings()
    return build_data_set(images, "c/e.json", STORES, ACCOUNT, DataSetOptions(**options), found, store=store)


def paths(data_set: DataSet, split: str) -> set[str]:
    return {example.location.path for example in data_set.splits[split]}


def size(data_set: DataSet) -> int:
    return sum(len(part) for part in data_set.splits.values())


def test_the_same_content_is_the_same_data_set_in_any_order_and_any_other_is_another() -> None:
    images = labelled(20, "a", "b")
    assert make(images).id == make(images[::-1]).id
    others = [labelled(21, "a", "b"), labelled(20, "a", "c"), [*images[1:], *labelled(1, "a")]]
    assert len({make(images).id, *(make(each).id for each in others)}) == 4
    assert make(images).id != make(images, random_seed=2).id


def test_an_export_that_grows_keeps_each_image_on_its_side() -> None:
    small, large = make(labelled(200, "a")), make(labelled(400, "a"))
    assert all(paths(small, name) <= paths(large, name) for name in SPLITS)
    assert 0.7 < len(large.splits["train"]) / 400 < 0.9


def test_examples_are_there_by_position_slice_and_in_turn() -> None:
    train = make([*labelled(20, "b", "a")]).splits["train"]
    assert [train[number] for number in range(len(train))] == list(train)
    assert list(train[1:3]) == list(train)[1:3]
    assert (train[0].labels, train[0].width, train[0].height) == (("a", "b"), 10, 10)


def test_labels_of_an_image_with_several_rows_are_united_and_the_conflict_is_told() -> None:
    findings = Findings()
    rows = [*labelled(20, "a"), *labelled(20, "b"), *labelled(2, "c", start=20), *labelled(18, "a", start=22)] * 2
    data_set = make(rows, findings=findings, min_images_per_label=1)
    together = {example.labels for part in data_set.splits.values() for example in part}
    assert together == {("a", "b"), ("c",), ("a",)}
    assert findings.figures["duplicates"] == {"images": 40, "rows": 120, "conflicts": 20}
    (conflict,) = [each for each in findings.found if each.kind == "conflicting labels"]
    assert conflict.count == 20
    assert any(example.startswith("photos/7.x.jpg (e.csv:8, e.csv:8") for example in conflict.examples)


def test_an_image_with_several_rows_is_refused_where_that_is_set() -> None:
    with pytest.raises(
        ExportError, match=r"20 images have several rows, and ON_DUPLICATE is refuse: photos/.*export each"
    ):
        make([*labelled(20, "a"), *labelled(20, "a")], on_duplicate="refuse")
    assert size(make(labelled(20, "a"), on_duplicate="refuse")) == 20


def test_rows_below_the_least_confidence_are_left_out_and_counted() -> None:
    unsure = [LabelledImage(f"AmlDatastore://photos/u{n}.jpg", ("a",), confidence=0.6) for n in range(7)]
    findings = Findings()
    assert size(make([*labelled(20, "a"), *unsure], findings=findings, min_label_confidence=0.61)) == 20
    assert findings.figures["rows"]["below MIN_LABEL_CONFIDENCE"] == 7
    assert size(make([*labelled(20, "a"), *unsure], min_label_confidence=0.6)) == 27


def test_images_without_labels_are_left_out_or_negatives_as_it_is_set() -> None:
    images = [*labelled(20, "a"), *labelled(9, start=20)]
    skipped = make(images)
    assert size(skipped) == 20
    assert "9 images without labels are left out" in skipped.warnings
    kept = make(images, unlabelled="negative")
    assert Counter(example.labels for part in kept.splits.values() for example in part) == {("a",): 20, (): 9}
    assert any("9 images without labels are kept as negatives; whether AutoML" in each for each in kept.warnings)


def test_rare_labels_and_the_images_that_have_no_others_are_left_out() -> None:
    both = labelled(2, "a", "rare", start=30)
    data_set = make([*labelled(20, "a"), *labelled(3, "rare", start=20), *both])
    assert data_set.labels == ("a",)
    assert dict(data_set.left_out) == {"rare": 5}
    assert size(data_set) == 22
    assert any("'rare' is left out: it has 5 images" in warning for warning in data_set.warnings)
    assert "3 images are left out with all their labels" in data_set.warnings


def test_what_is_missing_empty_damaged_or_of_another_format_is_left_out_and_named() -> None:
    names = {"gone": "missing", "hollow": "empty", "torn": "damaged"}
    strange = [LabelledImage(f"AmlDatastore://photos/{name}.jpg", ("a",)) for name in names]
    strange += [
        LabelledImage("AmlDatastore://photos/x.webp", ("a",)),
        LabelledImage("AmlDatastore://photos/bare", ("a",)),
    ]
    findings = Findings()
    data_set = make([*labelled(20, "a"), *strange], Store(["gone.jpg"], ["hollow.jpg"], ["torn.jpg"]), findings)
    assert size(data_set) == 21
    assert "bare" in {path for name in SPLITS for path in paths(data_set, name)}
    assert "1 images are left out, since they do not exist: photos/gone.jpg" in data_set.warnings
    assert "1 images are left out, since their files are empty: photos/hollow.jpg" in data_set.warnings
    assert "1 images are left out, since they can't be read: photos/torn.jpg is damaged" in data_set.warnings
    assert any("AutoML reads only jpg, jpeg" in each and "photos/x.webp" in each for each in data_set.warnings)
    assert findings.figures["left_out"] == {
        "missing": 1,
        "empty": 1,
        "format": 1,
        "without labels": 0,
        "deleted": 0,
        "unreadable": 1,
        "with all their labels": 0,
    }


def test_files_of_one_content_are_on_one_side_and_different_labels_of_them_are_told() -> None:
    names = [f"{chr(0x4E00 + number)}.jpg" for number in range(200)]
    store = Store()
    store.md5 = {name: number // 2 + 1 for number, name in enumerate(names)}
    images = [LabelledImage(f"AmlDatastore://photos/{name}", ("a",)) for name in names[1:]]
    images.append(LabelledImage(f"AmlDatastore://photos/{names[0]}", ("b",)))
    data_set = make(images, store, min_images_per_label=1)
    side = {path: name for name in SPLITS for path in paths(data_set, name)}
    assert all(side[one] == side[other] for one, other in itertools.batched(names, 2))
    assert any("1 pairs of files have the same content and different labels" in each for each in data_set.warnings)


def test_sides_are_remembered_and_a_label_that_is_only_tested_on_is_left_out() -> None:
    store = Store()
    names = [f"{number} {chr(97 + number % 26)}.jpg" for number in range(400)]
    images = [LabelledImage(f"AmlDatastore://photos/{name}", ("a",)) for name in names]
    first = make(images, store)
    test = paths(first, "test")
    relabelled = [LabelledImage(each.url, ("a", "b") if each.url[22:] in test else ("a",)) for each in images]
    findings = Findings()
    second = make(relabelled, store, findings)
    assert paths(second, "test") == test
    assert second.labels == ("a",)
    assert any("1 labels are left out: all their images are held out" in each for each in second.warnings)


def test_an_export_waits_its_turn_when_others_change_what_is_remembered() -> None:
    store = Store()
    store.changes = 4
    assert size(make(labelled(20, "a"), store)) == 20
    store.changes = 5
    with pytest.raises(ConflictError, match="changed the split 5 times"):
        make(labelled(20, "a"), store)


def test_too_few_images_are_refused_with_the_numbers_and_nothing_is_remembered() -> None:
    with pytest.raises(ExportError, match="9 usable labelled images with 1 labels; at least 10 images to train on"):
        make(labelled(9, "a"), min_images_per_label=1)
    with pytest.raises(ExportError, match="0 usable labelled images with 0 labels"):
        make(labelled(30))
    with pytest.raises(ExportError, match="0 usable labelled images with 0 labels"):
        make([])
    store = Store()
    with pytest.raises(ExportError, match=r"images to train on, of 12 usable ones \(TRAIN_RATIO\); at least 10"):
        make(labelled(12, "a"), store, train_ratio=0.5)
    assert len(store.remembered.digests) == 0


def test_every_image_that_can_not_be_found_is_a_reason_up_to_twenty() -> None:
    lost = [LabelledImage(f"https://elsewhere/{number}.jpg", ("a",)) for number in range(30)]
    findings = Findings()
    with pytest.raises(ExportError) as refusal:
        make([*labelled(20, "a"), *lost], findings=findings)
    assert len(refusal.value.reasons) == 21
    assert refusal.value.reasons[-1] == "and 10 more images that can't be found"
    assert findings.figures["rows"]["not in the data account"] == 30


def test_an_image_in_a_container_without_datastore_is_refused() -> None:
    with pytest.raises(ExportError, match="container other has no datastore"):
        make([*labelled(20, "a"), LabelledImage(f"{ACCOUNT}/other/x.jpg", ("a",))])


def test_a_reader_tells_at_the_end_what_labels_mean() -> None:
    """In CSV `cat;dog` is two labels, since both stand alone elsewhere; `Cat` is `cat`, which is more frequent."""
    rows = [f"AmlDatastore://photos/{n}.jpg,{('cat', 'dog', 'cat;dog', 'cat', 'Cat')[n % 5]}" for n in range(100)]
    content = "\n".join(["Url,Label", *rows]).encode()
    export = open_export("e.csv", [ExportFile("e.csv", len(content), lambda: io.BytesIO(content))])
    findings = Findings()
    made = build_data_set(export, "e", STORES, ACCOUNT, DataSetOptions(), findings, resolve=export.resolve)
    findings.add_rows(export.problems)
    counts = Counter(example.labels for part in made.splits.values() for example in part)
    assert counts == {("cat",): 60, ("dog",): 20, ("cat", "dog"): 20}
    assert any("spellings of one label" in each for each in findings.texts("warning"))


SEGMENT = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=1, max_size=6),
    st.sampled_from(["..", ".", "", "%41", "a?b", "a#b"]),
)
BEGINNING = st.sampled_from([
    "AmlDatastore://photos/", "amldatastore://photos/", "AmlDatastore://none/", "azureml://datastores/photos/paths/",
    "azureml://subscriptions/S/resourcegroups/R/workspaces/W/datastores/photos/paths/",
    "azureml://subscriptions/S/resourcegroups/R/workspaces/X/datastores/photos/paths/",
    f"{ACCOUNT}/photos/", f"{ACCOUNT}/", "https://elsewhere/photos/", "HTTPS://ACCT.blob.core.windows.net/photos/", "",
])  # fmt: skip


def answer(find: Callable[[str], tuple[str, str]], url: str) -> tuple[str, str] | str:
    try:
        return find(url)
    except InvalidRequestError as error:
        return str(error)


def located(url: str) -> tuple[str, str]:
    location = locate(url, STORES, account_url=ACCOUNT)
    STORES.name_of(location.container)
    return location.container, location.path


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(BEGINNING, st.lists(SEGMENT, max_size=3).map("/".join)), min_size=1, max_size=8))
def test_places_are_where_locate_finds_them(urls: list[tuple[str, str]]) -> None:
    places = Places(STORES, ACCOUNT)
    for beginning, path in urls:
        assert answer(places.find, beginning + path) == answer(located, beginning + path)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.sets(st.sampled_from("abcdef"), max_size=4)), max_size=120), st.randoms()
)
def test_labels_are_what_a_plain_dictionary_would_hold(
    rows: list[tuple[int, set[str]]], shuffled: random.Random
) -> None:
    images = [LabelledImage(f"AmlDatastore://photos/{n}.jpg", tuple(sorted(labels))) for n, labels in rows]
    expected: dict[str, set[str]] = {}
    for n, labels in rows:
        expected.setdefault(f"{n}.jpg", set()).update(labels)
    expected = {path: labels for path, labels in expected.items() if labels}
    findings = Findings()
    try:
        data_set = make(images, findings=findings, min_images_per_label=1, train_ratio=0.6)
    except ExportError:
        assert len(expected) < 40
        return
    found = {each.location.path: set(each.labels) for part in data_set.splits.values() for each in part}
    assert found == expected
    by_split = findings.figures["labels"]
    for name, part in data_set.splits.items():
        assert Counter(label for each in part for label in each.labels) == {
            label: counts[name] for label, counts in by_split.items() if counts[name]
        }
    shuffled.shuffle(images)
    assert make(images, min_images_per_label=1, train_ratio=0.6).id == data_set.id
    pairs = findings.figures["co_occurrence"]
    for i, one in enumerate(pairs["labels"]):
        for j, other in enumerate(pairs["labels"]):
            assert pairs["images"][i][j] == sum({one, other} <= labels for labels in expected.values())
    json.dumps(findings.figures)
