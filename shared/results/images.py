"""What came of single images, by the results of the batches that they were in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.manifests import batch_labels
from shared.results.listing import EVER, Position, TimeRange, ended_shards
from shared.results.sealed import Result, sealed_results

if TYPE_CHECKING:
    from shared.clients import Clients
    from shared.ledger import Batch, Ledger

ENDED_STATES = ("scored", "failed", "rejected")


@dataclass(frozen=True)
class Wanted:
    """Which images of a list: in one of `states`, with a path that begins with `prefix`, of batches made in `made`.

    With a `label`, those that it was predicted for or, with a `min_probability` above 0 as well, those whose
    probability of it is at least that; with a `min_probability` alone, those where any label has it.
    """

    states: tuple[str, ...] = ENDED_STATES
    label: str = ""
    min_probability: float = 0.0
    prefix: str = ""
    made: TimeRange = EVER

    def has(self, result: Result, labels: tuple[str, ...]) -> bool:
        """Whether it is one of them. `labels` are those of its model."""
        outcome = result.outcome
        if outcome is None or result.state not in self.states or not result.manifest_row.image.startswith(self.prefix):
            return False
        if self.min_probability > 0:
            probabilities = dict(zip(labels, outcome.probabilities, strict=False))
            considered = [probabilities.get(self.label, 0.0)] if self.label else probabilities.values()
            return max(considered, default=0.0) >= self.min_probability
        return not self.label or self.label in outcome.labels


@dataclass(frozen=True)
class ImageResult:
    """What came of one content of one image. `state` is scored, failed or rejected, `model` is `name:version`.

    `probabilities` has every label of the model, in its order, and nothing where there is an `error`; `scored_at` is
    empty where nothing was scored; `file` is a path in the predictions container.
    """

    path: str
    etag: str
    state: str
    batch: str
    model: str
    labels: tuple[str, ...]
    probabilities: dict[str, float]
    error: str
    file: str
    scored_at: str


def latest_images(
    clients: Clients, ledger: Ledger, wanted: Wanted, *, limit: int, begin: Position | None = None
) -> tuple[list[ImageResult], Position | None]:
    """At most `limit` images of batches that have ended, newest batch first, and where the list goes on, if it does.

    There may be fewer although it goes on. Raises InvalidRequestError when `begin` is in no batch that has ended.
    """
    images: list[ImageResult] = []
    for shard in ended_shards(clients, ledger, begin, wanted.made):
        if shard.is_beyond:
            return images, shard.position(0)
        for number, result in shard.results():
            if not wanted.has(result, shard.labels):
                continue
            if len(images) == limit:
                return images, shard.position(number)
            images.append(_image_result(shard.batch, result, shard.labels))
    return images, None


def image_result(clients: Clients, ledger: Ledger, batch_id: str, key: str) -> ImageResult | None:
    """What a batch says of one content of one image, by its ledger key; None when it does not, or has not ended yet."""
    batch = ledger.batch(batch_id)
    if batch is None or batch.state != "done":
        return None
    result = sealed_results(clients, batch).find(key)
    if result is None or result.outcome is None:
        return None
    return _image_result(batch, result, batch_labels(clients, batch))


def _image_result(batch: Batch, result: Result, labels: tuple[str, ...]) -> ImageResult:
    row, outcome = result.manifest_row, result.outcome
    assert outcome is not None  # noqa: S101 # only results that are rows get here
    return ImageResult(
        path=row.image,
        etag=row.key.partition(":")[2],
        state=result.state,
        batch=batch.id,
        model=batch.model,
        labels=outcome.labels,
        probabilities=dict(zip(labels, outcome.probabilities, strict=False)),
        error=outcome.error,
        file=batch.files[0] if batch.files else "",
        scored_at=outcome.scored_at,
    )
