"""The end of a batch of a re-scoring: its files are written, and the images' states stay as they are."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

from shared.batches.decision import place_for
from shared.ledger import Batch, Image, Ledger, Settlement, rfc3339
from shared.manifests import batch_labels, write_manifest
from shared.messages import put
from shared.queues import RESCORE
from shared.results import Collected, Result, announce_files, write_files

if TYPE_CHECKING:
    from shared.clients import Clients

logger = logging.getLogger(__name__)


def collect_rescored(
    clients: Clients, ledger: Ledger, batch: Batch, *, job_error: str, last_attempt: bool = False
) -> None:
    """Write the files of a batch that was scored again, note it on its images' records, and close it. In the same
    transaction the batch of those opens that have no result and may have another attempt.
    """
    collected = write_files(clients, batch, job_error=job_error, last_attempt=last_attempt)
    tally = collected.tally
    batch = ledger.advance(
        batch, files=collected.paths, predicted=tally.predicted, errors=tally.failed, retried=tally.retried
    )
    container = clients.settings.images_container
    ledger.note_rescored(
        batch.id,
        (
            Settlement(_image(container, result), result.state, file=collected.paths[0])
            for result in collected.results
            if result.outcome is not None
        ),
        batch.model,
    )
    announce_files(clients, collected)
    ledger.close_batch(batch, _successor(clients, ledger, batch, collected))
    wake_rescorings(clients)
    logger.info(
        "batch %s of re-scoring %s: %d predicted, %d errors, %d are tried again",
        *(batch.id, batch.request, tally.predicted, tally.failed, tally.retried),
    )


def wake_rescorings(clients: Clients) -> None:
    """Let the re-scorings under way be planned on. It may be done once too often; if it is lost, a tick does it."""
    put(clients, RESCORE, {})


def _successor(clients: Clients, ledger: Ledger, batch: Batch, collected: Collected) -> Batch | None:
    """The batch of those that have no result, made ready to be scored."""
    if not collected.tally.retried:
        return None
    images = [
        _image(clients.settings.images_container, result, attempts=result.manifest_row.attempts + 1)
        for result in collected.results
        if result.outcome is None
    ]
    attempt = images[0].attempts + 1
    name = f"{batch.id.removesuffix(f'-{attempt - 1}') if attempt > 2 else batch.id}-{attempt}"
    manifest = write_manifest(clients, name, batch_labels(clients, batch), images)
    place = place_for(len(images), clients.settings)
    return dataclasses.replace(
        batch,
        id=name,
        state="claimed",
        route=place.route,
        reason=f"attempt {attempt} at what batch {batch.id} left out; {place.reason}",
        created=rfc3339(ledger.now()),
        images=manifest.images,
        shards=manifest.shards,
        folder=manifest.folder,
        job="",
        files=(),
        predicted=0,
        errors=0,
        retried=0,
        tries=0,
        error="",
        submitted="",
    )


def _image(container: str, result: Result, attempts: int = 0) -> Image:
    row = result.manifest_row
    etag = row.key.partition(":")[2]
    return Image(container, row.image, etag, row.container, row.path, row.etag, row.error, attempts)
