"""A row of predictions, and the columns that it has in every format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PredictionRow:
    """One image of a batch. `probabilities` are 0..1, in the model's label order; with an `error` both lists are empty.
    `scored_at` is RFC 3339, UTC, or empty where nothing was scored.
    """

    image: str
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    model: str
    scored_at: str
    error: str = ""


def columns(labels: Sequence[str]) -> list[str]:
    """Column names for a model's labels."""
    return ["image", "labels", *probability_columns(labels), "model", "scored_at", "error"]


def probability_columns(labels: Sequence[str]) -> list[str]:
    return [f"prob_{label}" for label in labels]
