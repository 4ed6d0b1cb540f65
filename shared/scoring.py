"""Scoring the images of a manifest shard: one part file of outcomes for each shard, wherever it runs.

A part grows while its shard is scored, by whole puts. Whoever scores the shard again, since a node was lost, a time-out
struck or storage failed, goes on from there, and every image has one outcome.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.errors import ImageUnavailableError
from shared.image_reader import ImageReader
from shared.inference import READERS, Classifier
from shared.manifests import ManifestRow, read_lines

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient

# So often a part is written and the rate is logged: what a lost node has to do again, at most.
SAVE_SECONDS = 60.0
# So many unavailable images one after another are an outage; then the rest is not even tried.
OUTAGE = 2 * READERS

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What a scorer says of one manifest row. `scored_at` is RFC 3339, UTC."""

    key: str
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    scored_at: str
    error: str = ""

    def to_json(self) -> str:
        return json.dumps(self.__dict__)

    @classmethod
    def from_json(cls, line: str) -> Outcome:
        values: dict[str, Any] = json.loads(line)
        return cls(**{**values, "labels": tuple(values["labels"]), "probabilities": tuple(values["probabilities"])})


@dataclass(frozen=True)
class Scored:
    """How the scoring of a shard of `images` went: `now` were scored this time, in `seconds`, the others before;
    `errors` of all have an error as their outcome, `unavailable` have none, as they could not be read.
    """

    images: int
    now: int
    errors: int
    unavailable: int
    seconds: float


class Part:
    """The outcomes of a shard in storage, by their rows' keys, as far as they are known."""

    def __init__(self, blobs: BlobServiceClient, container: str, path: str) -> None:
        self._blob = blobs.get_blob_client(container, path)
        self._etag: str | None = None
        self.outcomes: dict[str, Outcome] = {}

    def read(self) -> None:
        """Add what is in storage; what is there counts more than what is here."""
        from azure.core.exceptions import ResourceNotFoundError

        try:
            download = self._blob.download_blob()
            content = download.readall()
        except ResourceNotFoundError:
            self._etag = None
            return
        self._etag = str(download.properties.etag)
        self.outcomes.update((each.key, each) for each in map(Outcome.from_json, read_lines(content.decode())))

    def write(self) -> None:
        """Write all outcomes in one put, so that they are seen entirely or not at all. Two that score the same shard at
        the same time, since one was taken for lost, write the outcomes of both.
        """
        from azure.core import MatchConditions
        from azure.core.exceptions import ResourceExistsError, ResourceModifiedError

        while True:
            content = "".join(outcome.to_json() + "\n" for outcome in self.outcomes.values()).encode()
            condition: dict[str, Any] = {"overwrite": False}
            if self._etag:
                condition = {"overwrite": True, "etag": self._etag, "match_condition": MatchConditions.IfNotModified}
            try:
                self._etag = str(self._blob.upload_blob(content, **condition)["etag"])
            except (ResourceExistsError, ResourceModifiedError):
                self.read()
            else:
                return


def score_part(
    blobs: BlobServiceClient, classifier: Classifier, rows: Sequence[ManifestRow], container: str, path: str
) -> Scored:
    """Score the rows of a shard that its part has no outcome of, and write the part, also when something fails.

    A row that can't be read, decoded or run fails itself alone: its outcome is an error. A row that can't be read now
    gets no outcome. Raises what keeps the others from being scored, an outage of storage for one.
    """
    part = Part(blobs, container, path)
    part.read()
    missing = [row for row in rows if row.key not in part.outcomes]
    begun = saved = time.monotonic()
    now_scored, unsaved = 0, False
    try:
        for outcome in outcomes_of(blobs, classifier, missing):
            part.outcomes[outcome.key], unsaved = outcome, True
            now_scored += 1
            if time.monotonic() - saved >= SAVE_SECONDS:
                part.write()
                saved, unsaved = time.monotonic(), False
                rate = now_scored / (saved - begun)
                logger.info("%s: %d of %d images, %.1f/s", path, len(part.outcomes), len(rows), rate)
    finally:
        if unsaved:
            part.write()
    known = [part.outcomes[row.key] for row in rows if row.key in part.outcomes]
    errors = sum(bool(outcome.error) for outcome in known)
    return Scored(len(rows), now_scored, errors, len(rows) - len(known), time.monotonic() - begun)


def outcomes_of(blobs: BlobServiceClient, classifier: Classifier, rows: Sequence[ManifestRow]) -> Iterator[Outcome]:
    """The outcomes of rows, in order, without those that can't be read now. Raises ImageUnavailableError when so many
    can't be read that storage must be at fault.
    """
    reader = ImageReader(blobs)
    predictions = classifier.predict(reader.source(row) for row in rows if not row.error)
    in_a_row = 0
    for row in rows:
        if row.error:
            yield Outcome(row.key, (), (), _now(), row.error)
            continue
        prediction = next(predictions)
        in_a_row = in_a_row + 1 if prediction.retry else 0
        if in_a_row == OUTAGE:
            raise ImageUnavailableError(f"{OUTAGE} images one after another: {prediction.error}")
        if prediction.retry:
            logger.warning("%s/%s: %s", row.container, row.path, prediction.error)
        else:
            yield Outcome(row.key, prediction.labels, prediction.probabilities, _now(), prediction.error)


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
