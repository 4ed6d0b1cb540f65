"""Rows of the training table → images and targets; and a split where no validation table was given."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from local.automl.errors import DataError

# AutoML needs ten images, and holds this share of the training rows back when it is given no validation data
# (Microsoft's documentation of AutoML for images).
MIN_IMAGES = 10
VALIDATION_SHARE = 0.2

# Both forms that Azure ML writes, and the one that its label exports use.
_URL_FORMS = (
    re.compile(
        r"azureml://subscriptions/[^/]+/resourcegroups/[^/]+/(?:providers/[^/]+/)?workspaces/[^/]+"
        r"/datastores/(?P<datastore>[^/]+)/paths/(?P<path>.+)",
        re.IGNORECASE,
    ),
    re.compile(r"azureml://datastores/(?P<datastore>[^/]+)/paths/(?P<path>.+)", re.IGNORECASE),
    re.compile(r"AmlDatastore://(?P<datastore>[^/]+)/(?P<path>.+)", re.IGNORECASE),
)


@dataclass(frozen=True)
class Example:
    """One image, where it lies, and its labels (none: a reviewed negative)."""

    url: str
    container: str
    path: str
    labels: frozenset[str]


def read_examples(rows: Sequence[Mapping[str, Any]], target: str, datastores: Mapping[str, str]) -> list[Example]:
    """The examples of a table's rows, in order. Raises DataError, which names the row (counted from 1)."""
    return [_example(number, row, target, datastores) for number, row in enumerate(rows, 1)]


def _example(number: int, row: Mapping[str, Any], target: str, datastores: Mapping[str, str]) -> Example:
    url = row.get("image_url")
    if not isinstance(url, str):
        raise DataError(f"row {number} has no image_url")
    match = next((found for form in _URL_FORMS if (found := form.fullmatch(url))), None)
    if match is None:
        raise DataError(f"row {number}: {url} is not an azureml:// address of a datastore path")
    container = datastores.get(match["datastore"])
    if container is None:
        known = ", ".join(sorted(datastores)) or "none"
        raise DataError(f"row {number}: the datastore {match['datastore']} is not known; known: {known}")
    labels = row.get(target)
    if not isinstance(labels, list) or not all(isinstance(label, str) and label for label in labels):
        raise DataError(f"row {number}: {target} is {labels!r}; multi-label training needs a list of label names")
    return Example(url, container, match["path"], frozenset(labels))


def label_names(examples: Sequence[Example]) -> list[str]:
    """The labels of the training rows, sorted, which is AutoML's order. Raises DataError when they cannot be learnt."""
    if len(examples) < MIN_IMAGES:
        raise DataError(f"{len(examples)} images are too few to train on; AutoML needs at least {MIN_IMAGES}")
    names = sorted({label for example in examples for label in example.labels})
    if not names:
        raise DataError("no training image has a label")
    for name in names:
        if all(name in example.labels for example in examples):
            raise DataError(
                f"every training image has the label {name!r}; without an image that lacks it, it cannot be learnt"
            )
    return names


def target_matrix(examples: Sequence[Example], names: Sequence[str]) -> NDArray[np.bool_]:
    """(images, labels) bool; labels that are not in `names` are left out."""
    return np.array([[name in example.labels for name in names] for example in examples], bool).reshape(-1, len(names))


def hold_out(examples: Sequence[Example], share: float = VALIDATION_SHARE) -> tuple[list[Example], list[Example]]:
    """Split into training and validation by a hash of the image's address, so that the split is stable.

    Of the images with a label, and of those without it, at least half stay in training.
    """
    names = sorted({label for example in examples for label in example.labels})
    spare = Counter((name, name in example.labels) for example in examples for name in names)
    for key in spare:
        spare[key] //= 2
    wanted = round(len(examples) * share)
    held: set[str] = set()
    for example in sorted(examples, key=lambda example: hashlib.sha256(example.url.encode()).digest()):
        sides = [(name, name in example.labels) for name in names]
        if len(held) < wanted and example.url not in held and all(spare[side] > 0 for side in sides):
            held.add(example.url)
            spare.subtract(sides)
    training = [example for example in examples if example.url not in held]
    return training, [example for example in examples if example.url in held]
