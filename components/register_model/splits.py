"""The images of a data set's split, and a model's scores on them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from components.register_model.evaluation import Floats, Scores, aligned, truth_matrix
from shared.errors import ImageRejectedError, LabelLoopError
from shared.image_reader import ImageReader
from shared.inference import Classifier
from shared.locations import BlobLocation, Datastores, locate
from shared.manifests import ManifestRow, read_lines

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient


@dataclass(frozen=True)
class Split:
    """The images of one split, by address, with their labels."""

    locations: tuple[BlobLocation, ...]
    labels: tuple[tuple[str, ...], ...]

    @classmethod
    def read(cls, data: Path, name: str, datastores: Datastores, account_url: str) -> Split:
        """Read a split from the data set's folder. Raises LabelLoopError when it has no images."""
        file = data / name / f"{name}.jsonl"
        rows = [json.loads(line) for line in read_lines(file.read_text(encoding="utf-8"))]
        if not rows:
            raise LabelLoopError(f"{file} has no images; the {name} split needs at least one")
        images = {locate(row["image_url"], datastores, account_url=account_url): tuple(row["label"]) for row in rows}
        locations = tuple(sorted(images, key=str))
        return cls(locations, tuple(images[location] for location in locations))

    def first(self, count: int) -> Split:
        """The first images alone."""
        return Split(self.locations[:count], self.labels[:count])

    def contents(self, blobs: BlobServiceClient, rows: Sequence[int]) -> Iterator[bytes | ImageRejectedError]:
        """The encoded images of some rows, one at a time."""
        reader = ImageReader(blobs)
        for row in rows:
            try:
                with reader.opened(_manifest_row(self.locations[row])) as content:
                    yield content
            except ImageRejectedError as rejection:
                yield rejection

    def score(self, blobs: BlobServiceClient, classifier: Classifier, labels: Sequence[str]) -> Scores:
        """A model's scores for `labels`. Raises LabelLoopError when an image can't be read: metrics on part of the
        images would not compare.
        """
        reader = ImageReader(blobs)
        predictions = classifier.predict(reader.source(_manifest_row(location)) for location in self.locations)
        probabilities = []
        for location, prediction in zip(self.locations, predictions, strict=True):
            if prediction.error:
                raise LabelLoopError(f"image {location}: {prediction.error}")
            probabilities.append(prediction.probabilities)
        matrix: Floats = np.array(probabilities, dtype=np.float64)
        return Scores(tuple(labels), truth_matrix(self.labels, labels), aligned(matrix, classifier.labels, labels))


def _manifest_row(location: BlobLocation) -> ManifestRow:
    return ManifestRow(str(location), location.path, location.container, location.path, "")
