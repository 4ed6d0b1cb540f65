"""What every label export comes down to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LabelledImage:
    """One image and its labels, sorted, each once. `url` stands as the export spells it; sizes in px, 0 if unknown."""

    url: str
    labels: tuple[str, ...]
    width: int = 0
    height: int = 0
