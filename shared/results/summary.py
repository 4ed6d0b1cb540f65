"""What a batch came to, in one small JSON file beside its files of predictions: `<batch id>_batch.json`.

It is written last: where it is, the files that it names are complete.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.ledger import Batch
    from shared.results.sealed import Result

MAX_KINDS, MAX_EXAMPLES = 50, 5
OTHER_ERRORS = "other errors"
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True)
class WrittenFile:
    """A file of predictions: its format, its path in the predictions container, its bytes and rows."""

    format: str
    path: str
    bytes: int
    rows: int


@dataclass
class ErrorKind:
    """Errors whose texts differ in nothing but numbers."""

    error: str
    count: int = 0
    images: list[str] = field(default_factory=list)


@dataclass
class Tally:
    """Counts over the results of a batch, in the memory of a few dozen texts."""

    states: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    errors: dict[str, ErrorKind] = field(default_factory=dict)
    first_scored_at: str = ""
    last_scored_at: str = ""

    @property
    def predicted(self) -> int:
        return self.states["scored"]

    @property
    def failed(self) -> int:
        """Rows with an error."""
        return self.states["failed"] + self.states["rejected"]

    @property
    def retried(self) -> int:
        """Images that go into a later batch."""
        return self.states["waiting"]

    @property
    def rows(self) -> int:
        return self.predicted + self.failed

    def add(self, results: Iterable[Result]) -> None:
        for result in results:
            self.states[result.state] += 1
            outcome = result.outcome
            if outcome is None:
                continue
            if outcome.error:
                self._add_error(outcome.error, result.manifest_row.image)
            self.labels.update(outcome.labels)
            if outcome.scored_at:
                # RFC 3339 in UTC throughout, so that the order of the texts is that of the times.
                self.first_scored_at = min(self.first_scored_at or outcome.scored_at, outcome.scored_at)
                self.last_scored_at = max(self.last_scored_at, outcome.scored_at)

    def _add_error(self, error: str, image: str) -> None:
        kind = _NUMBER.sub("#", error)
        if kind not in self.errors and len(self.errors) >= MAX_KINDS:
            kind = error = OTHER_ERRORS
        errors = self.errors.setdefault(kind, ErrorKind(error))
        errors.count += 1
        if len(errors.images) < MAX_EXAMPLES:
            errors.images.append(image)


def summary_json(
    batch: Batch, tally: Tally, labels: Sequence[str], files: Iterable[WrittenFile], sealed_at: dt.datetime
) -> bytes:
    """The file. Times are RFC 3339, UTC, null where nothing was submitted or scored; `collected` is when the last shard
    was sealed. `labels` counts the images that each label of the model was predicted for; of each kind of error
    there are its first text and images.
    """
    values: dict[str, Any] = {
        "batch": batch.id,
        "model": batch.model,
        "route": batch.route,
        "reason": batch.reason,
        "job": batch.job,
        "request": batch.request,
        "images": tally.states.total(),
        "states": {state: tally.states[state] for state in ("scored", "failed", "rejected", "waiting")},
        "labels": {label: tally.labels[label] for label in labels},
        "errors": [
            {"error": kind.error, "count": kind.count, "images": kind.images}
            for kind in sorted(tally.errors.values(), key=lambda kind: -kind.count)
        ],
        "timings": {
            "created": utc_text(batch.created),
            "submitted": utc_text(batch.submitted),
            "first_scored": utc_text(tally.first_scored_at),
            "last_scored": utc_text(tally.last_scored_at),
            "collected": utc_text(sealed_at.isoformat()),
        },
        "files": [vars(file) for file in files],
    }
    return json.dumps(values, ensure_ascii=False, indent=2).encode() + b"\n"


def utc_text(time: str) -> str | None:
    """A time of RFC 3339 with `Z`, to the second; None for none."""
    if not time:
        return None
    moment = dt.datetime.fromisoformat(time).astimezone(dt.UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
