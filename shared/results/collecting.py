"""From a batch's parts to its files and its images' states in the ledger.

    parts + manifest → sealed results → CSV and the other formats, and a summary → ledger → announcement

Each step can be carried out again: it writes the same bytes. A file is put into storage in one step, and is under its
name entirely or not at all.
"""

from __future__ import annotations

import datetime as dt
import itertools
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from shared.events import PredictionsReady, announce
from shared.ledger import Batch, Image, Ledger, Settlement
from shared.manifests import batch_labels
from shared.predictions import FORMATS, PredictionRow
from shared.results.sealed import Result, SealedResults, found_results, sealed_results
from shared.results.summary import Tally, WrittenFile, summary_json

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient

    from shared.clients import Clients
    from shared.settings import Settings

# A file of no more bytes takes one request; a longer one is put in blocks, which appear together when all are there.
ONE_PUT_BYTES = 4_000_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Collected:
    """A batch's results, and the files that were written of them: none where no image has a row.

    `summary` is the path of the `_batch.json`, empty where there are no files.
    """

    results: SealedResults
    tally: Tally
    files: tuple[WrittenFile, ...]
    summary: str

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(file.path for file in self.files)


def collect(clients: Clients, ledger: Ledger, batch: Batch, *, job_error: str) -> None:
    """Write the files of a batch that was scored, settle every image, and close the batch."""
    collected = write_files(clients, batch, job_error=job_error)
    tally = collected.tally
    batch = ledger.advance(
        batch, files=collected.paths, predicted=tally.predicted, errors=tally.failed, retried=tally.retried
    )
    settlements = _settlements(clients.settings, collected.paths, collected.results)
    ledger.settle(batch.id, settlements, batch.model)
    announce_files(clients, collected)
    ledger.close_batch(batch)
    logger.info(
        "batch %s: %d predicted, %d errors, %d go into a later batch; %s",
        *(batch.id, tally.predicted, tally.failed, tally.retried, ", ".join(collected.paths) or "no file"),
    )


def write_files(clients: Clients, batch: Batch, *, job_error: str, last_attempt: bool = False) -> Collected:
    """Check the parts against the manifest, seal what is found, and write it in every format of PREDICTION_FORMATS.

    Touches nothing but blobs. `job_error` and `last_attempt` are for `found_results`, of what is not sealed yet.
    """
    settings = clients.settings
    labels = batch_labels(clients, batch)
    results = sealed_results(clients, batch)
    tally, sealed_at = Tally(), dt.datetime.min.replace(tzinfo=dt.UTC)
    for shard in results.seal(
        lambda number: found_results(clients, batch, number, job_error=job_error, last_attempt=last_attempt)
    ):
        tally.add(shard.results)
        sealed_at = max(sealed_at, shard.sealed_at)
    if not tally.rows:
        return Collected(results, tally, (), "")
    container = clients.blobs.get_container_client(settings.predictions_container)
    files = []
    for suffix in settings.prediction_formats:
        path = file_path(batch, f".{suffix}")
        chunks = FORMATS[suffix].chunks(prediction_rows(batch, results), labels)
        size = _upload(container.get_blob_client(path), chunks, FORMATS[suffix].content_type)
        files.append(WrittenFile(suffix, path, size, tally.rows))
    summary = file_path(batch, "_batch.json")
    content = summary_json(batch, tally, labels, files, sealed_at)
    _upload(container.get_blob_client(summary), iter([content]), "application/json")
    return Collected(results, tally, tuple(files), summary)


def announce_files(clients: Clients, collected: Collected) -> None:
    """Tell other systems of a batch's files. No effect where there are none."""
    if not collected.files:
        return
    batch, container = collected.results.batch, clients.settings.predictions_container

    def url(path: str) -> str:
        return f"{clients.account_url.rstrip('/')}/{container}/{quote(path)}"

    announcement = PredictionsReady(
        batch=batch.id,
        model=batch.model,
        container=container,
        files={file.format: file.path for file in collected.files},
        urls={file.format: url(file.path) for file in collected.files},
        summary_url=url(collected.summary),
        images=collected.tally.rows,
        predicted=collected.tally.predicted,
        errors=collected.tally.failed,
    )
    announce(clients, announcement)


def prediction_rows(batch: Batch, results: Iterable[Result]) -> Iterator[PredictionRow]:
    """The rows of a batch's results; an image that goes into a later batch has none."""
    model = batch.model
    for result in results:
        outcome = result.outcome
        if outcome is not None:
            yield PredictionRow(
                result.manifest_row.image,
                outcome.labels,
                outcome.probabilities,
                model,
                outcome.scored_at,
                outcome.error,
            )


def file_path(batch: Batch, ending: str) -> str:
    """`<yyyy>/<mm>/<dd>/<batch id><ending>`, by the day that the batch was made."""
    return f"{dt.datetime.fromisoformat(batch.created):%Y/%m/%d}/{batch.id}{ending}"


def _settlements(settings: Settings, files: tuple[str, ...], results: Iterable[Result]) -> Iterator[Settlement]:
    for result in results:
        row = result.manifest_row
        etag = row.key.partition(":")[2]
        image = Image(
            settings.images_container, row.image, etag, row.container, row.path, row.etag, row.error, row.attempts
        )
        if result.outcome is None:
            yield Settlement(image, result.state)
        else:
            yield Settlement(image, result.state, result.outcome.error, files[0])


def _upload(blob: BlobClient, chunks: Iterator[bytes], content_type: str) -> int:
    """Put a file in place of what is there; returns its bytes. In memory are a few megabytes."""
    from azure.core.exceptions import HttpResponseError
    from azure.storage.blob import ContentSettings

    size = 0

    def counted() -> Iterator[bytes]:
        nonlocal size
        for chunk in chunks:
            size += len(chunk)
            yield chunk

    settings = ContentSettings(content_type=content_type)
    pieces, begin = counted(), b""
    while len(begin) <= ONE_PUT_BYTES:
        piece = next(pieces, None)
        if piece is None:
            blob.upload_blob(begin, overwrite=True, content_settings=settings)
            return size
        begin += piece
    try:
        blob.upload_blob(itertools.chain([begin], pieces), overwrite=True, content_settings=settings)
    except HttpResponseError as error:
        # Another worker put the same file at the same time; with its blocks ours were dropped.
        if getattr(error, "error_code", None) != "InvalidBlockList" or blob.get_blob_properties().size != size:
            raise
    return size
