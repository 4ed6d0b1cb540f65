"""From labelled images to a data set."""

from collections import Counter

import pytest

from shared.datasets import SPLITS, DataSet, Example, make_data_set, report, split
from shared.errors import ExportError
from shared.labels import LabelledImage
from shared.locations import BlobLocation, Datastores
from tests.support import make_settings

STORES = Datastores({"photos": "photos"}, "S", "R", "W")
ACCOUNT = "https://acct.blob.core.windows.net"


def labelled(count: int, *labels: str, start: int = 0) -> list[LabelledImage]:
    return [LabelledImage(f"AmlDatastore://photos/{n}.jpg", labels, 10, 10) for n in range(start, start + count)]


def examples(count: int) -> list[Example]:
    return [Example(BlobLocation("photos", f"{number}.jpg"), ("a",)) for number in range(count)]


def make(images: list[LabelledImage], *missing: str, **settings: object) -> DataSet:
    lost = {BlobLocation("photos", path) for path in missing}
    return make_data_set(
        images, "c/e.json", STORES, ACCOUNT, make_settings(**settings), missing=lambda known: lost & set(known)
    )


def test_an_image_keeps_its_side_when_the_export_grows() -> None:
    small = split(examples(200), train_ratio=0.8, seed=1)
    large = split(examples(400), train_ratio=0.8, seed=1)
    for name in SPLITS:
        assert set(small[name]) <= set(large[name])
    assert Counter({name: len(part) for name, part in large.items()}).most_common(1)[0][0] == "train"
    assert 0.7 < len(large["train"]) / 400 < 0.9


def test_another_seed_deals_otherwise() -> None:
    assert split(examples(50), train_ratio=0.8, seed=1) != split(examples(50), train_ratio=0.8, seed=2)


@pytest.mark.parametrize("count", [3, 4, 10])
@pytest.mark.parametrize("ratio", [0.1, 0.8, 0.98])
def test_no_split_is_empty_and_no_image_is_lost(count: int, ratio: float) -> None:
    parts = split(examples(count), train_ratio=ratio, seed=3)
    assert all(parts.values())
    assert sorted(example.location.path for part in parts.values() for example in part) == sorted(
        example.location.path for example in examples(count)
    )


def test_fewer_examples_than_splits_can_not_be_split() -> None:
    with pytest.raises(ValueError, match="2 examples"):
        split(examples(2), train_ratio=0.8, seed=1)


def test_the_same_content_is_the_same_data_set_in_any_order() -> None:
    images = labelled(20, "a", "b")
    assert make(images).id == make(images[::-1]).id
    assert make(images).id != make(labelled(21, "a", "b")).id
    assert make(images).id != make(labelled(20, "a", "c")).id


def test_labels_of_an_image_that_comes_twice_are_united() -> None:
    data_set = make([*labelled(20, "a"), *labelled(20, "b")])
    assert data_set.labels == ("a", "b")
    assert all(example.labels == ("a", "b") for part in data_set.splits.values() for example in part)


def test_rare_labels_and_unlabelled_images_are_left_out_and_told() -> None:
    data_set = make([*labelled(20, "a"), *labelled(3, "rare", start=20), *labelled(2, start=23)])
    assert data_set.labels == ("a",)
    assert dict(data_set.left_out) == {"rare": 3}
    assert sum(len(part) for part in data_set.splits.values()) == 20
    assert any("'rare' is left out: it has 3 images" in warning for warning in data_set.warnings)
    assert "2 images without labels are left out" in data_set.warnings
    assert "3 images are left out with all their labels" in data_set.warnings


def test_too_few_images_are_refused_with_the_numbers() -> None:
    with pytest.raises(ExportError, match="9 usable labelled images with 1 labels; at least 10 images to train on"):
        make(labelled(9, "a"), min_images_per_label=1)
    with pytest.raises(ExportError, match="0 usable labelled images with 0 labels"):
        make(labelled(30))


def test_every_image_that_can_not_be_found_is_a_reason_up_to_twenty() -> None:
    lost = [LabelledImage(f"https://elsewhere/{number}.jpg", ("a",)) for number in range(30)]
    with pytest.raises(ExportError) as refusal:
        make([*labelled(20, "a"), *lost])
    assert len(refusal.value.reasons) == 21
    assert refusal.value.reasons[-1] == "and 10 more images that can't be found"


def test_an_image_in_a_container_without_datastore_is_refused() -> None:
    with pytest.raises(ExportError, match="container other has no datastore"):
        make([*labelled(20, "a"), LabelledImage(f"{ACCOUNT}/other/x.jpg", ("a",))])


def test_the_report_tells_counts_or_reasons() -> None:
    told = report(make(labelled(20, "a", "b")), "c/e.json", state="training", job="train-1")
    assert (told["state"], told["job"]) == ("training", "train-1")
    assert sum(told["images"].values()) == 20
    assert told["labels"]["a"] == told["images"]
    refused = report(None, "c/e.json", state="refused", problems=["no"])
    assert (refused["state"], refused["problems"]) == ("refused", ["no"])


def test_images_that_do_not_exist_are_left_out_and_told() -> None:
    data_set = make(labelled(30, "a"), "3.jpg", "7.jpg", "elsewhere.jpg")
    assert sum(len(part) for part in data_set.splits.values()) == 28
    assert "2 images are left out, since they do not exist: photos/3.jpg, photos/7.jpg" in data_set.warnings


def test_very_many_missing_images_are_not_all_spelt_out() -> None:
    data_set = make(labelled(80, "a"), *(f"{number}.jpg" for number in range(40)))
    (warning,) = data_set.warnings
    assert warning.startswith("40 images are left out")
    assert warning.endswith(", …")
    assert warning.count("photos/") == 20


def test_too_few_images_to_train_on_are_refused_before_a_node_is_started() -> None:
    with pytest.raises(ExportError, match=r"images to train on, of 12 usable ones \(TRAIN_RATIO\); at least 10"):
        make(labelled(12, "a"), train_ratio=0.5)
