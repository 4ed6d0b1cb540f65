"""Figures about a data set's images and labels, for the report."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.datasets.catalogue import Catalogue
from shared.datasets.facts import IMAGE_FORMATS, READ, Facts
from shared.datasets.findings import Findings
from shared.datasets.options import SPLITS
from shared.datasets.split import Sides

# Upper edges in px, of the longer side.
SIZES = (224, 320, 480, 640, 1024, 2048, 4096)
# So many of the most frequent labels are told in pairs.
PAIRED_LABELS = 20


def describe_images(catalogue: Catalogue, facts: Facts, findings: Findings) -> None:
    """Sizes in px by class, formats as they were read, and bytes in all."""
    longest = np.maximum(catalogue.widths, catalogue.heights)
    classes = np.bincount(np.searchsorted(SIZES, longest[longest > 0]), minlength=len(SIZES) + 1).tolist()
    names = [*(f"up to {edge} px" for edge in SIZES), f"more than {SIZES[-1]} px"]
    sizes = dict(zip(names, classes, strict=True))
    unknown = int((longest == 0).sum())
    findings.figures["sizes"] = sizes | ({"unknown": unknown} if unknown else {})
    formats = np.bincount(facts.format[facts.state == READ], minlength=len(IMAGE_FORMATS)).tolist()
    findings.figures["formats"] = {
        name: count for name, count in zip(IMAGE_FORMATS, formats, strict=True) if count and name
    }
    findings.figures["bytes"] = int(facts.size[facts.size > 0].sum())


def count_labels(catalogue: Catalogue, sides: Sides, findings: Findings) -> None:
    """Images by side, and of each label by side; labels that a side lacks; pairs of labels on one image."""
    findings.figures["images"] = _by_side(np.bincount(sides, minlength=len(SPLITS)))
    table = np.stack([catalogue.label_counts(sides == side) for side in range(len(SPLITS))], axis=1)
    findings.figures["labels"] = {label: _by_side(row) for label, row in zip(catalogue.labels, table, strict=True)}
    for side, name in enumerate(SPLITS):
        lacking = [catalogue.labels[number] for number in np.flatnonzero(table[:, side] == 0).tolist()]
        if lacking:
            text = f"{len(lacking)} labels have no images for {name}: what has them is too few, or too much alike"
            findings.add(f"label not in {name}", "warning", text, len(lacking), lacking, "label more images with them")
    findings.figures["co_occurrence"] = _pairs(catalogue, table.sum(axis=1))


def _by_side(counts: NDArray[np.int64]) -> dict[str, int]:
    return dict(zip(SPLITS, counts.tolist(), strict=True))


def _pairs(catalogue: Catalogue, totals: NDArray[np.int64]) -> dict[str, object]:
    """How many images have each two of the most frequent labels; on the diagonal, how many have one."""
    top = np.sort(np.argsort(-totals, kind="stable")[:PAIRED_LABELS])
    column = np.full(len(catalogue.labels), -1, np.int64)
    column[top] = np.arange(len(top))
    counts = np.zeros((len(top), len(top)), np.int64)
    for images, ids in catalogue.label_pieces():
        told = column[ids] >= 0
        has = np.zeros((int(images[-1] - images[0]) + 1 if len(images) else 0, len(top)), np.float32)
        has[(images - images[:1])[told], column[ids[told]]] = 1
        counts += (has.T @ has).astype(np.int64)
    return {"labels": [catalogue.labels[number] for number in top.tolist()], "images": counts.tolist()}
