"""Whether a candidate takes over from the champion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from components.register_model.evaluation import Scores
from components.register_model.resampling import RESAMPLES, Resampled, lower_bound, margin

# A label collapses when its average precision or F1 falls by more than this, on at least so many test images, and by
# more than noise explains: at this level for all labels together.
COLLAPSE_CONFIDENCE = 0.95
COLLAPSE_DROP = 0.2
COLLAPSE_SUPPORT = 5


@dataclass(frozen=True)
class Measured:
    """One model on the test images: its metrics (`evaluation.evaluate`) and those of the samples."""

    metrics: Mapping[str, Any]
    resampled: Resampled


@dataclass(frozen=True)
class Decision:
    """Whether to promote, why, and the numbers behind it."""

    promote: bool
    reason: str
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Gate:
    """A candidate takes over when it is better in `metric` by more than `min_gain`, the gain exceeds its bootstrap
    noise (the lower end of the one-sided interval of level `confidence` lies above 0), and no label collapses. `always`
    promotes in any case.
    """

    metric: str
    min_gain: float = 0.0
    confidence: float = 0.9
    always: bool = False

    def decide(
        self, scores: Scores, candidate: Measured, champion: Measured | None, blockers: Sequence[str] = ()
    ) -> Decision:
        """Decide from both models' measures on the images of `scores`. `blockers` are reasons against promotion that
        were found elsewhere.
        """
        collapsed = collapsed_labels(scores, candidate, champion) if champion else []
        numbers = {**self._numbers(scores, candidate, champion), "collapsed": collapsed} if champion else {}
        better, text = self._compared(numbers, len(scores.truth)) if champion else (True, "there was no champion")
        against = [*blockers, *([] if better else [text]), *(_collapse_text(each) for each in collapsed)]
        if self.always:
            reason = "PROMOTE_ALWAYS is set" + (f", in spite of: {'; '.join(against)}" if against else f"; {text}")
            return Decision(True, reason, numbers)
        return Decision(not against, "; ".join(against) or text, numbers)

    def _numbers(self, scores: Scores, candidate: Measured, champion: Measured) -> dict[str, Any]:
        differences = candidate.resampled.metrics[self.metric] - champion.resampled.metrics[self.metric]
        low = lower_bound(differences, self.confidence, len(scores.truth))
        return {
            "metric": self.metric,
            "candidate": candidate.metrics[self.metric],
            "champion": champion.metrics[self.metric],
            "gain": round(candidate.metrics[self.metric] - champion.metrics[self.metric], 6),
            "gain_at_least": round(low, 6) if math.isfinite(low) else None,
            "confidence": self.confidence,
            "min_gain": self.min_gain,
            "resamples": RESAMPLES,
            "images": len(scores.truth),
        }

    def _compared(self, numbers: Mapping[str, Any], images: int) -> tuple[bool, str]:
        figures = f"{self.metric} {numbers['candidate']:.4f} against the champion's {numbers['champion']:.4f}"
        if numbers["gain"] <= self.min_gain:
            return False, f"not better by more than {self.min_gain:g}: {figures}"
        low = numbers["gain_at_least"]
        if low is None or low <= 0:
            least = "anything" if low is None else f"as little as {low:+.4f}"
            return False, (
                f"the gain is within the noise: {figures}, but on {images} test images the gain may be {least}"
                f" ({self.confidence:.0%} one-sided)"
            )
        return True, f"better: {figures}, by at least {low:.4f} ({self.confidence:.0%} one-sided)"


def collapsed_labels(scores: Scores, candidate: Measured, champion: Measured) -> list[dict[str, Any]]:
    """The labels on which the candidate is far worse than the champion; see COLLAPSE_DROP.

    Two differences of each label are looked at, so each must be surer than all together (Bonferroni), or one of many
    labels would always seem to collapse.
    """
    support = scores.truth.sum(axis=0)
    watched = [index for index in range(len(scores.labels)) if support[index] >= COLLAPSE_SUPPORT]
    level = 1 - (1 - COLLAPSE_CONFIDENCE) / max(2 * len(watched), 1)
    found = []
    for index in watched:
        label, size = scores.labels[index], int(support[index])
        for metric in ("average_precision", "f1"):
            before, after = (each.metrics["labels"][label][metric] for each in (champion, candidate))
            samples = [getattr(each.resampled, metric)[:, index] for each in (candidate, champion)]
            noise = margin(np.subtract(*samples), level, size)
            if before - after > max(COLLAPSE_DROP, noise):
                found.append({"label": label, "metric": metric, "before": before, "after": after, "support": size})
                break
    return found


def _collapse_text(each: Mapping[str, Any]) -> str:
    metric = str(each["metric"]).replace("_", " ")
    return (
        f"label {each['label']!r} collapses: {metric} {each['before']:.4f} → {each['after']:.4f}"
        f" on {each['support']} images"
    )
