"""Which predictions a person learns most from: the least certain, and the most surprising ones.

Both measures are from 0 to 1, and need no more than an image's probabilities, the model's thresholds, and counts of the
labels that it was trained on.

Uncertain: how near a probability is to its threshold, as a share of the way to the end of the scale on its side (0
below, 1 above), so that labels with a low and with a high threshold compare; of an image the nearest one.

Surprising: the greatest of
- for two predicted labels, how much rarer they come together in training than by chance: with n(a) n(b) / N images
  `expected`, 1 - (n(ab) + 1) / (expected + 1), times both probabilities. Labels too rare to tell say nothing.
- for one predicted label, its surprisal -log(rate) as a share of that of a label that was never seen, times its
  probability; by half, since a rare label is no contradiction.
- where nothing is predicted, the surprisal of that, times how far the highest probability is below 1.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

DEFAULT_THRESHOLD = 0.5
RARE_WEIGHT = 0.5
# Of an image with very many labels, those with the highest probabilities are compared with each other.
MAX_PAIRED = 20


class Judgement(NamedTuple):
    """How much an image is worth looking at, and why, in words."""

    score: float
    why: str


@dataclass
class LabelCounts:
    """How often labels come, alone and together, in some labelled images."""

    images: int = 0
    unlabelled: int = 0
    single: Counter[str] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)

    @classmethod
    def of(cls, labelled: Iterable[Sequence[str]]) -> LabelCounts:
        counts = cls()
        for labels in labelled:
            counts.images += 1
            counts.unlabelled += not labels
            counts.single.update(labels)
            counts.pairs.update(itertools.combinations(sorted(labels)[:MAX_PAIRED], 2))
        return counts


def uncertainty(
    probabilities: Mapping[str, float], thresholds: Mapping[str, float], label: str | None = None
) -> Judgement:
    """By the label that is nearest to its threshold, or by `label` alone."""
    best = Judgement(0.0, "")
    for name, probability in probabilities.items():
        if label is not None and name != label:
            continue
        threshold = thresholds.get(name, DEFAULT_THRESHOLD)
        room = threshold if probability < threshold else 1 - threshold
        score = 1 - abs(probability - threshold) / room if room > 0 else float(probability == threshold)
        if score > best.score or not best.why:
            best = Judgement(_bounded(score), f"{name} {probability:.2f}, threshold {threshold:.2f}")
    return best


def surprise(
    labels: Sequence[str], probabilities: Mapping[str, float], seen: LabelCounts, label: str | None = None
) -> Judgement:
    """By the labels that were `seen` in training; of an image without `label`, if one is given, there is none."""
    if not seen.images or (label is not None and label not in labels):
        return Judgement(0.0, "")
    judged = [_rare(each, probabilities.get(each, 1.0), seen) for each in labels]
    likely = sorted(labels, key=lambda each: -probabilities.get(each, 1.0))[:MAX_PAIRED]
    for one, other in itertools.combinations(sorted(likely), 2):
        weight = probabilities.get(one, 1.0) * probabilities.get(other, 1.0)
        judged.append(_unlikely_pair(one, other, weight, seen))
    if not labels:
        highest = max(probabilities.values(), default=0.0)
        share = 1 - seen.unlabelled / seen.images
        score = (1 - highest) * _surprisal(seen.unlabelled, seen.images)
        judged.append(Judgement(_bounded(score), f"no label, but {share:.0%} of the training's images have one"))
    return max(judged)


def _rare(label: str, probability: float, seen: LabelCounts) -> Judgement:
    rate = seen.single[label] / seen.images
    score = RARE_WEIGHT * probability * _surprisal(seen.single[label], seen.images)
    return Judgement(_bounded(score), f"{label} {probability:.2f}, which {rate:.1%} of the training's images have")


def _unlikely_pair(one: str, other: str, weight: float, seen: LabelCounts) -> Judgement:
    expected = seen.single[one] * seen.single[other] / seen.images
    together = seen.pairs[one, other]
    score = weight * (1 - (together + 1) / (expected + 1))
    times = f"{together} of the training's images, {expected:.0f} by chance"
    return Judgement(_bounded(score), f"{one} and {other} together: {times}")


def _surprisal(count: int, images: int) -> float:
    """0 for what is always there, 1 for what never was."""
    return math.log((images + 1) / (count + 1)) / math.log(images + 1)


def _bounded(score: float) -> float:
    return round(min(max(score, 0.0), 1.0), 6)
