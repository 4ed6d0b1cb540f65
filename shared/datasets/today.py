"""What shared/training.py calls until it is switched over: `make_data_set`, `find_missing` and `report`, without
groups, without memory of earlier splits, and with all locations as objects.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Sequence
from os.path import commonprefix
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shared.datasets.catalogue import Catalogue
from shared.datasets.data_set import DataSet
from shared.datasets.facts import MISSING, Facts, Remembered
from shared.datasets.findings import Findings
from shared.datasets.making import build_data_set
from shared.datasets.options import DataSetOptions
from shared.labels import LabelledImage
from shared.locations import BlobLocation, Datastores

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient

    from shared.settings import Settings

Missing = Callable[[Collection[BlobLocation]], set[BlobLocation]]


class _Asked:
    def __init__(self, missing: Missing) -> None:
        self._missing = missing

    def look_up(self, catalogue: Catalogue, facts: Facts, _findings: Findings) -> None:
        locations = {BlobLocation(container, path): index for index, container, path in catalogue.scan()}
        for each in self._missing(locations.keys()):
            facts.exists[locations[each]] = MISSING

    def read(self, _catalogue: Catalogue, _facts: Facts, _chosen: NDArray[np.int64], _limit: int) -> None:
        """No image is read."""

    def recall(self, _options: DataSetOptions) -> Remembered:
        return Remembered()

    def remember(self, _options: DataSetOptions, _remembered: Remembered) -> bool:
        return True


def make_data_set(
    images: Iterable[LabelledImage],
    export: str,
    datastores: Datastores,
    account_url: str,
    settings: Settings,
    *,
    missing: Missing,
) -> DataSet:
    options = DataSetOptions(settings.train_ratio, settings.random_seed, settings.min_images_per_label)
    return build_data_set(images, export, datastores, account_url, options, Findings(), store=_Asked(missing))


def find_missing(blobs: BlobServiceClient, locations: Collection[BlobLocation]) -> set[BlobLocation]:
    """The locations where there is no blob; each container is listed once, below the paths' common prefix."""
    from azure.core.exceptions import ResourceNotFoundError

    paths: dict[str, set[str]] = {}
    for location in locations:
        paths.setdefault(location.container, set()).add(location.path)
    missing = set()
    for container, wanted in paths.items():
        prefix = commonprefix(sorted(wanted))  # noqa: RUF071 - storage compares prefixes by character, too
        listing = blobs.get_container_client(container).list_blob_names(name_starts_with=prefix)
        with contextlib.suppress(ResourceNotFoundError):  # Without the container, all of them are missing.
            wanted.difference_update(listing)
        missing |= {BlobLocation(container, path) for path in wanted}
    return missing


def report(
    data_set: DataSet | None, export: str, *, state: str, job: str = "", problems: Sequence[str] = ()
) -> dict[str, Any]:
    """What became of an export, for people: counts by label and split, warnings, the job or what went wrong."""
    counts: dict[str, Any] = {}
    if data_set:
        labels = {
            label: {name: sum(label in each.labels for each in some) for name, some in data_set.splits.items()}
            for label in data_set.labels
        }
        images = {name: len(examples) for name, examples in data_set.splits.items()}
        counts = {"images": images, "labels": labels, "warnings": list(data_set.warnings)}
    return {"export": export, "state": state, "job": job, **counts, "problems": list(problems)}
