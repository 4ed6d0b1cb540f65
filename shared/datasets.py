"""From labelled images to AutoML's training data: a stable split, JSON Lines with MLTable files, data assets."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os.path import commonprefix
from typing import TYPE_CHECKING, Any

from shared.errors import ExportError, InvalidRequestError
from shared.labels import LabelledImage
from shared.locations import BlobLocation, Datastores, datastore_name, locate

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.storage.blob import BlobServiceClient

    from shared.settings import Settings

SPLITS = ("train", "validation", "test")
# AutoML for images wants at least 10 images:
# https://learn.microsoft.com/azure/machine-learning/how-to-prepare-datasets-for-automl-images
MIN_IMAGES = 10
MAX_REASONS = 20
# https://learn.microsoft.com/azure/machine-learning/reference-yaml-mltable
MLTABLE = """\
paths:
  - file: ./{name}.jsonl
transformations:
  - read_json_lines:
      encoding: utf8
      invalid_lines: error
      include_path_column: false
  - convert_column_types:
      - columns: image_url
        column_type: stream_info
"""


@dataclass(frozen=True)
class Example:
    """An image of the data account with its labels (sorted)."""

    location: BlobLocation
    labels: tuple[str, ...]
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class DataSet:
    """What one label export is trained on. `id` is a hash of all that it consists of."""

    id: str
    splits: Mapping[str, tuple[Example, ...]]
    labels: tuple[str, ...]
    left_out: Mapping[str, int]
    warnings: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Its folder in the work container."""
        return f"datasets/{self.id}"

    def uri(self, work_container: str) -> str:
        """Its folder as a datastore URI, with a slash at its end."""
        return f"azureml://datastores/{datastore_name(work_container)}/paths/{self.folder}/"


def make_data_set(
    images: Iterable[LabelledImage],
    export: str,
    datastores: Datastores,
    account_url: str,
    settings: Settings,
    *,
    missing: Callable[[Collection[BlobLocation]], set[BlobLocation]],
) -> DataSet:
    """Check every row of an export and split it. Raises ExportError with all reasons (at most 20 are spelt out).

    The same image twice has its labels united. Images that do not exist (`missing` says which), labels with fewer than
    MIN_IMAGES_PER_LABEL images and images without labels are left out, which the warnings say.
    """
    by_location: dict[BlobLocation, Example] = {}
    reasons: list[str] = []
    problems = 0
    for image in images:
        try:
            location = locate(image.url, datastores, account_url=account_url)
            datastores.name_of(location.container)
        except InvalidRequestError as error:
            problems += 1
            if problems <= MAX_REASONS:
                reasons.append(str(error))
            continue
        earlier = by_location.get(location)
        labels = tuple(sorted({*image.labels, *(earlier.labels if earlier else ())}))
        by_location[location] = Example(location, labels, image.width, image.height)
    if problems > MAX_REASONS:
        reasons.append(f"and {problems - MAX_REASONS} more images that can't be found")
    if reasons:
        raise ExportError(export, reasons)
    warnings = []
    lost = missing(by_location.keys())
    if lost:
        shown = ", ".join(sorted(map(str, lost))[:MAX_REASONS]) + (", …" if len(lost) > MAX_REASONS else "")
        warnings.append(f"{len(lost)} images are left out, since they do not exist: {shown}")
    present = [example for location, example in by_location.items() if location not in lost]
    return _checked(sorted(present, key=lambda each: str(each.location)), export, settings, warnings)


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


def _checked(examples: Sequence[Example], export: str, settings: Settings, warnings: list[str]) -> DataSet:
    counts = Counter(label for example in examples for label in example.labels)
    left_out = {label: count for label, count in sorted(counts.items()) if count < settings.min_images_per_label}
    kept = [
        dataclasses.replace(example, labels=tuple(label for label in example.labels if label not in left_out))
        for example in examples
    ]
    labelled = [example for example in kept if example.labels]
    warnings += [
        f"label {label!r} is left out: it has {count} images, fewer than MIN_IMAGES_PER_LABEL"
        f" ({settings.min_images_per_label})"
        for label, count in left_out.items()
    ]
    unlabelled = sum(not example.labels for example in examples)
    if unlabelled:
        warnings.append(f"{unlabelled} images without labels are left out")
    emptied = len(examples) - len(labelled) - unlabelled
    if emptied:
        warnings.append(f"{emptied} images are left out with all their labels")
    labels = tuple(sorted(set(counts) - set(left_out)))
    if len(labelled) < MIN_IMAGES or not labels:
        raise _too_few(export, settings, f"{len(labelled)} usable labelled images with {len(labels)} labels", warnings)
    splits = split(labelled, train_ratio=settings.train_ratio, seed=settings.random_seed)
    if len(splits["train"]) < MIN_IMAGES:
        figures = f"{len(splits['train'])} images to train on, of {len(labelled)} usable ones (TRAIN_RATIO)"
        raise _too_few(export, settings, figures, warnings)
    return DataSet(_identity(splits), splits, labels, left_out, tuple(warnings))


def _too_few(export: str, settings: Settings, figures: str, warnings: Sequence[str]) -> ExportError:
    wanted = (
        f"at least {MIN_IMAGES} images to train on, and {settings.min_images_per_label} of each label"
        " (MIN_IMAGES_PER_LABEL), are needed"
    )
    return ExportError(export, [f"has {figures}; {wanted}", *warnings])


def split(examples: Sequence[Example], *, train_ratio: float, seed: int) -> dict[str, tuple[Example, ...]]:
    """Deal examples to train, validation and test by a hash of their location, so that an image stays on its side in
    every later export. Validation and test get at least one image each: the nearest to the border moves over.
    """
    if len(examples) < len(SPLITS):
        raise ValueError(f"{len(examples)} examples can't be split into {len(SPLITS)}")
    ranked = sorted((_position(example, seed), index) for index, example in enumerate(examples))
    border = train_ratio + (1 - train_ratio) / 2
    parts: dict[str, list[Example]] = {name: [] for name in SPLITS}
    for position, index in ranked:
        name = "train" if position < train_ratio else "validation" if position < border else "test"
        parts[name].append(examples[index])
    for needy in ("validation", "test", "train"):
        if not parts[needy]:
            donor = max(SPLITS, key=lambda name: len(parts[name]))
            # Ranked by position: the last of an earlier split, or the first of a later one, is nearest to the border.
            nearest = -1 if SPLITS.index(donor) < SPLITS.index(needy) else 0
            parts[needy].append(parts[donor].pop(nearest))
    return {name: tuple(each) for name, each in parts.items()}


def _position(example: Example, seed: int) -> float:
    digest = hashlib.sha256(f"{seed}|{example.location}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _identity(splits: Mapping[str, Sequence[Example]]) -> str:
    digest = hashlib.sha256()
    for name in SPLITS:
        for example in splits[name]:
            digest.update(json.dumps([name, str(example.location), example.labels]).encode())
    return digest.hexdigest()[:16]


def write_data_set(blobs: BlobServiceClient, data_set: DataSet, datastores: Datastores, container: str) -> None:
    """Write each split as `<folder>/<split>/` with `<split>.jsonl` and `MLTable`. Writing it again changes nothing."""
    for name, examples in data_set.splits.items():
        rows = "".join(json.dumps(_row(example, datastores), ensure_ascii=False) + "\n" for example in examples)
        folder = f"{data_set.folder}/{name}"
        blobs.get_blob_client(container, f"{folder}/{name}.jsonl").upload_blob(rows.encode(), overwrite=True)
        table = MLTABLE.format(name=name).encode()
        blobs.get_blob_client(container, f"{folder}/MLTable").upload_blob(table, overwrite=True)


def _row(example: Example, datastores: Datastores) -> dict[str, Any]:
    row: dict[str, Any] = {"image_url": datastores.uri(example.location)}
    if example.width and example.height:
        suffix = example.location.path.rsplit(".", 1)[-1].lower()
        row["image_details"] = {"format": suffix, "width": f"{example.width}px", "height": f"{example.height}px"}
    return {**row, "label": list(example.labels)}


def register_data_asset(ml: MLClient, data_set: DataSet, export: str, settings: Settings) -> str:
    """Register the data set's folder as a data asset whose version is its id; returns `name:version`.

    The same data set again is the same version. The asset is the folder of all splits, not one MLTable each: for an
    MLTable the SDK reads the file back and fetches a schema from the internet before it registers anything.
    """
    from azure.ai.ml.constants import AssetTypes
    from azure.ai.ml.entities import Data

    images = {f"{name}_images": str(len(examples)) for name, examples in data_set.splits.items()}
    asset = Data(
        name=f"{settings.model_name}-data",
        version=data_set.id,
        type=AssetTypes.URI_FOLDER,
        path=data_set.uri(settings.work_container),
        description=f"label export {export}",
        tags={"export": export, "labels": str(len(data_set.labels)), **images},
    )
    ml.data.create_or_update(asset)
    return f"{asset.name}:{asset.version}"


def report(
    data_set: DataSet | None, export: str, *, state: str, job: str = "", problems: Sequence[str] = ()
) -> dict[str, Any]:
    """What became of an export, for people: counts by label and split, warnings, the job or what went wrong.

    `state` is refused (nothing is started), failed (it could not be started and is tried again, a few times), training,
    and in the end trained, training failed or training canceled.
    """
    counts: dict[str, Any] = {}
    if data_set:
        counts = {
            "images": {name: len(examples) for name, examples in data_set.splits.items()},
            "labels": {
                label: {
                    name: sum(label in example.labels for example in examples)
                    for name, examples in data_set.splits.items()
                }
                for label in data_set.labels
            },
            "warnings": list(data_set.warnings),
        }
    return {
        "export": export,
        "state": state,
        "job": job,
        **counts,
        "problems": list(problems),
    }
