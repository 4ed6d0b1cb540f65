"""What the demo measures: predictions against known labels."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Accuracy:
    """Mean average precision (macro, over the labels that occur) and micro-averaged F1, both 0..1."""

    mean_average_precision: float
    micro_f1: float


def read_rows(files: Sequence[bytes]) -> list[dict[str, str]]:
    """The rows of several predictions CSVs."""
    return [row for content in files for row in csv.DictReader(io.StringIO(content.decode("utf-8")))]


def images_more_than_once(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Images that have several rows."""
    return sorted(image for image, count in Counter(row["image"] for row in rows).items() if count > 1)


def measure(rows: Sequence[Mapping[str, str]], truth: Mapping[str, Sequence[str]]) -> Accuracy:
    """Compare predictions with the known labels of their images; rows with an error count as no prediction."""
    import numpy as np
    from sklearn.metrics import average_precision_score, f1_score

    known = sorted({label for labels in truth.values() for label in labels})
    images = [row for row in rows if row["image"] in truth]
    actual = np.array([[label in truth[row["image"]] for label in known] for row in images])
    scores = np.array([[float(row.get(f"prob_{label}") or 0.0) for label in known] for row in images])
    decided = np.array([[label in row["labels"].split(";") for label in known] for row in images])
    occurring = [column for column in range(len(known)) if actual[:, column].any()]
    precisions = [average_precision_score(actual[:, column], scores[:, column]) for column in occurring]
    return Accuracy(float(np.mean(precisions)), float(f1_score(actual, decided, average="micro", zero_division=0.0)))
