"""The steps of re-scorings. Any of them can be killed and done again: a listing goes on where the last batch that was
opened ended.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.batches.decision import place_for
from shared.batches.rescored import wake_rescorings
from shared.blob_listing import MAX_PAGE_SIZE, ListedBlob, list_pages
from shared.images import receive_image
from shared.ledger import Batch, ConcurrentUpdateError, Image, Ledger, Rescoring, image_of, rfc3339, row_column
from shared.locks import lock
from shared.manifests import write_manifest
from shared.models import model_store

if TYPE_CHECKING:
    from shared.clients import Clients

LOCK_PATH = "locks/rescoring"
# One is scored while the next one waits for the nodes. Images that arrive meanwhile come after these two at most.
MAX_OPEN_BATCHES = 2
# A step ends after so long, and another message goes on.
STEP_SECONDS = 240.0
# Images looked up in the ledger at once: a request each.
WORKERS = 8
# A re-scoring that could go on has been forgotten after so long.
STALLED_SECONDS = 120.0

logger = logging.getLogger(__name__)


def plan_rescorings(clients: Clients, ledger: Ledger, now: Callable[[], float] = time.monotonic) -> None:
    """Open the next batches of the re-scorings under way, oldest request first, as far as MAX_OPEN_BATCHES and the time
    allow. `now` is a clock in s.

    No effect while another worker is at it: what it does not see, a tick (`look_after_rescorings`) has planned.
    """
    deadline = now() + STEP_SECONDS
    failure: Exception | None = None
    with lock(clients, LOCK_PATH) as is_mine:
        under_way = ledger.open_rescorings() if is_mine else []
        for number, rescoring in enumerate(under_way):
            if _is_behind(ledger, rescoring, under_way[:number]):
                continue
            try:
                _plan(clients, ledger, rescoring, lambda: now() >= deadline)
            except ConcurrentUpdateError as error:
                logger.info("re-scoring %s is in other hands: %s", rescoring.id, error)
            except Exception as error:
                logger.exception("re-scoring %s could not be planned", rescoring.id)
                failure = error
            if now() >= deadline:
                wake_rescorings(clients)
                break
    if failure is not None:
        raise failure


def _is_behind(ledger: Ledger, rescoring: Rescoring, earlier: list[Rescoring]) -> bool:
    """Whether a re-scoring waits for the end of an earlier one, since what that scores needs not be scored again."""
    before = {each.id for each in earlier if _overlap(rescoring, each)}
    return bool(before) and any(each.id in before for each in ledger.open_rescorings())


def _overlap(one: Rescoring, other: Rescoring) -> bool:
    """Whether an image may be in both, with the same model."""
    if (one.model_name, one.model_version) != (other.model_name, other.model_version):
        return False
    return one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix)


def look_after_rescorings(clients: Clients, ledger: Ledger) -> None:
    """Have re-scorings planned on whose message was lost: those that could go on, but did not for a while. No effect
    before provisioning.
    """
    from azure.core.exceptions import ResourceNotFoundError

    try:
        open_ones = ledger.open_rescorings()
    except ResourceNotFoundError:
        return
    if not open_ones:
        return
    batches = [batch.request for batch in ledger.open_batches() if batch.request]
    now = ledger.now()
    for each in open_ones:
        can_go_on = len(batches) < MAX_OPEN_BATCHES if each.state == "planning" else each.id not in batches
        idle = (now - each.changed).total_seconds() if each.changed else 0.0
        if can_go_on and idle >= STALLED_SECONDS:
            wake_rescorings(clients)
            return


def _plan(clients: Clients, ledger: Ledger, rescoring: Rescoring, is_late: Callable[[], bool]) -> None:
    while rescoring.state == "planning" and _has_room(ledger) and not is_late():
        rescoring = _next_batch(clients, ledger, rescoring, is_late)
    # A batch whose images need another attempt opens their batch as it closes, so that there is always one open.
    if rescoring.state == "running" and not any(ledger.batches_named(f"{rescoring.id}-", only_open=True)):
        ledger.close_rescoring(rescoring)


def _has_room(ledger: Ledger) -> bool:
    return sum(bool(batch.request) for batch in ledger.open_batches()) < MAX_OPEN_BATCHES


def _next_batch(clients: Clients, ledger: Ledger, rescoring: Rescoring, is_late: Callable[[], bool]) -> Rescoring:
    """Open a re-scoring's next batch, or find that there is none. When the time ends before, nothing is changed but
    that some more images are known.
    """
    from azure.core.exceptions import ResourceNotFoundError

    try:
        labels = model_store(clients).labels(rescoring.model_path)
    except ResourceNotFoundError:
        error = f"model {rescoring.model} was deleted before all images were planned"
        return ledger.advance_rescoring(rescoring, state="running", error=error)
    found = _listed(clients, ledger, rescoring, is_late)
    if found is None:
        return rescoring
    changes: dict[str, Any] = {
        "state": "planning" if found.marker else "running",
        "marker": found.marker,
        "skipped": rescoring.skipped + found.skipped,
        "already_scored": rescoring.already_scored + found.already_scored,
    }
    if not found.images:
        return ledger.advance_rescoring(rescoring, **changes)
    batch_id = rescoring.batch_id(rescoring.batches)
    manifest = write_manifest(clients, batch_id, labels, found.images)
    place = place_for(sum(not image.error for image in found.images), clients.settings)
    batch = Batch(
        id=batch_id,
        state="claimed",
        route=place.route,
        reason=f"re-scoring of {rescoring.prefix or 'all images'}: {place.reason}",
        model_name=rescoring.model_name,
        model_version=rescoring.model_version,
        model_path=rescoring.model_path,
        created=rfc3339(ledger.now()),
        images=manifest.images,
        shards=manifest.shards,
        folder=manifest.folder,
        request=rescoring.id,
        tries=0,
    )
    logger.info("batch %s: %s", batch.id, batch.reason)
    planned = {"batches": rescoring.batches + 1, "images": rescoring.images + manifest.images}
    return ledger.advance_rescoring(rescoring, batch, **changes, **planned)


@dataclass(frozen=True)
class _Listed:
    """Images for one batch, and where the listing goes on; `skipped` were replaced or deleted meanwhile, and
    `already_scored` are left out since they have a row of this model, or get one anyhow.
    """

    images: list[Image]
    marker: str
    skipped: int
    already_scored: int


def _listed(clients: Clients, ledger: Ledger, rescoring: Rescoring, is_late: Callable[[], bool]) -> _Listed | None:
    """None when the time is over."""
    most = clients.settings.batch_max_images
    page_size = min(MAX_PAGE_SIZE, most)
    container = clients.blobs.get_container_client(clients.settings.images_container)
    images: list[Image] = []
    skipped, already_scored, marker = 0, 0, rescoring.marker
    scored_by = _ScoredBy(clients, ledger, rescoring.model)

    def known(blob: ListedBlob) -> Mapping[str, Any] | None:
        return None if is_late() else _record(clients, ledger, blob)

    with ThreadPoolExecutor(WORKERS, thread_name_prefix="rescoring") as pool:
        for page in list_pages(container, prefix=rescoring.prefix, marker=marker, page_size=page_size):
            found = list(pool.map(known, page.blobs))
            if is_late():
                break
            records = [record for record in found if record is not None]
            wanted = [record for record in records if not scored_by(record)]
            images += map(_image, wanted)
            skipped += found.count(None)
            already_scored += len(records) - len(wanted)
            marker = page.next_marker
            if len(images) + page_size > most:
                break
    return None if is_late() and not images else _Listed(images, marker, skipped, already_scored)


def _record(clients: Clients, ledger: Ledger, blob: ListedBlob) -> Mapping[str, Any] | None:
    """The ledger's record of a listed blob; one that it has not yet is received first. None when it has changed."""
    container = clients.settings.images_container
    named = Image(container, blob.path, blob.etag, container, blob.path, blob.etag)
    record = ledger.record(named)
    if record is None:
        receive_image(clients, ledger, blob.path)
        record = ledger.record(named)
    return record


def _image(record: Mapping[str, Any]) -> Image:
    # What failed when it was scored may be scored now; what was rejected at its arrival can't.
    error = "" if record["state"] == "failed" else str(record["error"])
    return dataclasses.replace(image_of(record), error=error, attempts=0)


class _ScoredBy:
    """Whether an image has a row of a model (`name:version`), or gets one without a re-scoring."""

    def __init__(self, clients: Clients, ledger: Ledger, model: str) -> None:
        self._ledger, self._model, self._column = ledger, model, row_column(model)
        champion = model_store(clients).champion()
        self._is_champion = champion is not None and model == f"{champion.name}:{champion.version}"
        self._models: dict[str, str] = {}

    def __call__(self, record: Mapping[str, Any]) -> bool:
        if record["state"] == "batched":
            return self._model_of(str(record["batch"])) == self._model
        return self._column in record or (record["state"] == "waiting" and self._is_champion)

    def _model_of(self, batch_id: str) -> str:
        if batch_id not in self._models:
            batch = self._ledger.batch(batch_id)
            self._models[batch_id] = batch.model if batch else ""
        return self._models[batch_id]
