"""Rows, labels, and the split."""

from __future__ import annotations

import numpy as np
import pytest

from local.automl.dataset import Example, hold_out, label_names, read_examples, target_matrix
from local.automl.errors import DataError
from tests.unit.local.automl.conftest import row

STORES = {"photos": "container-of-photos"}


def examples(*label_sets: str) -> list[Example]:
    """One example for each text of one-letter labels."""
    return [Example(f"u{i}", "c", f"p{i}", frozenset(labels)) for i, labels in enumerate(label_sets)]


@pytest.mark.parametrize(
    "url",
    [
        "azureml://subscriptions/s/resourcegroups/r/workspaces/w/datastores/photos/paths/a b/ü.jpg",
        "azureml://subscriptions/s/resourceGroups/r/workspaces/w/datastores/photos/paths/a b/ü.jpg",
        (
            "azureml://subscriptions/s/resourceGroups/r/providers/Microsoft.MachineLearningServices/workspaces/w"
            "/datastores/photos/paths/a b/ü.jpg"
        ),
        "azureml://datastores/photos/paths/a b/ü.jpg",
        "AmlDatastore://photos/a b/ü.jpg",
    ],
)
def test_every_form_of_address_leads_to_the_blob(url: str) -> None:
    (example,) = read_examples([{"image_url": url, "label": ["x"]}], "label", STORES)
    assert (example.container, example.path) == ("container-of-photos", "a b/ü.jpg")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"label": ["x"]}, "row 1 has no image_url"),
        ({"image_url": "https://x/y.jpg", "label": ["x"]}, "row 1: https://x/y.jpg is not an azureml://"),
        ({"image_url": "azureml://datastores/other/paths/a", "label": ["x"]}, "datastore other is not known.*photos"),
        ({**row("a"), "label": "x"}, "label is 'x'.*list"),
        ({"image_url": row("a")["image_url"]}, "label is None"),
        ({**row("a"), "label": [1]}, r"label is \[1\]"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(bad: dict[str, object], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read_examples([bad], "label", STORES)


def test_a_reviewed_negative_is_a_row_without_labels() -> None:
    (example,) = read_examples([row("a")], "label", STORES)
    assert example.labels == frozenset()


def test_labels_are_sorted_as_automl_sorts_them() -> None:
    assert label_names(examples(*["ba", "Zb", "a", "_"] * 3)) == ["Z", "_", "a", "b"]


@pytest.mark.parametrize(
    ("label_sets", "reason"),
    [
        (["a", "b"] * 4, "8 images are too few.*at least 10"),
        ([""] * 10, "no training image has a label"),
        (["ab", "b"] * 6, "every training image has the label 'b'"),
    ],
)
def test_data_that_cannot_be_learnt_is_refused(label_sets: list[str], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        label_names(examples(*label_sets))


def test_targets_leave_unknown_labels_out() -> None:
    assert target_matrix(examples("ac", "", "b"), ["a", "b"]).tolist() == [[True, False], [False, False], [False, True]]
    assert target_matrix([], ["a", "b"]).shape == (0, 2)


def test_the_held_back_share_is_stable_and_leaves_every_label_in_training() -> None:
    data = examples(*["a", "b", "ab", "", "a"] * 8, "r", "r")
    training, validation = hold_out(data)
    assert len(training) + len(validation) == len(data)
    assert len(validation) == round(0.2 * len(data))
    assert {label for example in training for label in example.labels} == {"a", "b", "r"}
    assert hold_out(data) == (training, validation)
    held = {example.url for example in validation}
    assert {example.url for example in hold_out(data[::-1])[1]} == held


def test_the_only_image_that_lacks_a_label_stays_in_training() -> None:
    for lonely in range(12):
        data = examples(*["a" if i != lonely else "b" for i in range(12)])
        training, _ = hold_out(data)
        targets = target_matrix(training, ["a", "b"])
        assert np.all(targets.any(axis=0) & ~targets.all(axis=0))
