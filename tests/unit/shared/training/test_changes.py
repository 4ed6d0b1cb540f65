"""How much of a data set is new since another one."""

from __future__ import annotations

import pytest

from shared.clients import Clients
from shared.datasets import DataSet, Example
from shared.locations import BlobLocation
from shared.training.changes import Labelling, count_changes, labelling_of, load_labelling, save_labelling
from tests.support import make_clients


def labelling(**images: str) -> Labelling:
    """Of images by name, each with its labels, a letter each."""
    examples = [Example(BlobLocation("c", name), tuple(labels)) for name, labels in images.items()]
    splits = {"train": examples[::2], "validation": examples[1::2], "test": []}
    return labelling_of(DataSet("d1", splits, tuple("ab"), {}, ()))


@pytest.mark.parametrize(
    ("after", "changes"),
    [
        ({"x": "a", "y": "b", "z": "ab"}, 0),
        ({"z": "ab", "x": "a", "y": "b"}, 0),
        ({"x": "a", "y": "b"}, 1),
        ({"x": "a", "y": "b", "z": "ab", "new": "a"}, 1),
        ({"x": "a", "y": "a", "z": "ab"}, 1),
        ({"x": "b", "z": "a", "new": "a"}, 4),
        ({}, 3),
    ],
)
def test_images_that_are_new_gone_or_labelled_anew_are_changes(after: dict[str, str], changes: int) -> None:
    before = labelling(x="a", y="b", z="ab")
    assert count_changes(before, labelling(**after)) == changes
    assert count_changes(labelling(**after), before) == changes


@pytest.fixture
def clients(storage: str) -> Clients:
    clients = make_clients(storage)
    clients.blobs.create_container("labelloop")
    return clients


def test_a_labelling_is_kept_by_its_data_set(clients: Clients) -> None:
    kept = labelling(x="a", y="b")
    save_labelling(clients.blobs, "labelloop", "d1", kept)
    loaded = load_labelling(clients.blobs, "labelloop", "d1")
    assert loaded is not None
    assert count_changes(kept, loaded) == 0
    assert load_labelling(clients.blobs, "labelloop", "d2") is None
