"""From a batch's parts to its files and its images' states in the ledger.

parts + manifest → one sealed result → CSV and the other formats → ledger
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.events import PredictionsReady, announce
from shared.ledger import Batch, Image, Ledger, Settlement
from shared.models import model_store
from shared.predictions import WRITERS, PredictionRow
from shared.scoring import ManifestRow, Outcome, manifest_path, part_path, read_lines, read_manifest

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient

    from shared.clients import Clients
    from shared.settings import Settings

SPOOL_BYTES = 8_000_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """How one image of a batch ended. Without an `outcome` it goes into a later batch."""

    manifest_row: ManifestRow
    outcome: Outcome | None

    @property
    def state(self) -> str:
        if self.outcome is None:
            return "waiting"
        if self.manifest_row.error:
            return "rejected"
        return "failed" if self.outcome.error else "scored"

    def to_json(self) -> str:
        outcome = self.outcome.__dict__ if self.outcome else None
        return json.dumps({"manifest_row": self.manifest_row.__dict__, "outcome": outcome})

    @classmethod
    def from_json(cls, line: str) -> Result:
        values = json.loads(line)
        outcome = Outcome.from_json(json.dumps(values["outcome"])) if values["outcome"] else None
        return cls(ManifestRow(**values["manifest_row"]), outcome)


def collect(clients: Clients, ledger: Ledger, batch: Batch, *, job_error: str) -> None:
    """Check the parts against the manifest, write the files, settle every image, and close the batch.

    What is found is sealed first, in one blob that is never written again: files and ledger rest on it alone, however
    often, by whomever, and however late this is carried out.
    """
    settings = clients.settings
    labels = model_store(clients).labels(batch.model_path)
    with _sealed_results(clients, batch, job_error) as sealed:
        count = Counter(result.state for result in sealed())
        rows_expected = count.total() - count["waiting"]
        files = tuple(_file_path(batch, suffix) for suffix in settings.prediction_formats) if rows_expected else ()
        for suffix, path in zip(settings.prediction_formats, files, strict=False):
            with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as file:
                WRITERS[suffix](_rows(batch, sealed()), labels, file)
                file.seek(0)
                blob = clients.blobs.get_blob_client(settings.predictions_container, path)
                blob.upload_blob(file, overwrite=True)
        errors = count["failed"] + count["rejected"]
        batch = ledger.advance(batch, files=files, predicted=count["scored"], errors=errors, retried=count["waiting"])
        ledger.settle(batch.id, _settlements(settings, files, sealed()))
    # Images that a stalled dispatcher claimed after the manifest was written.
    ledger.release(batch.id)
    if files:
        announce(clients, _ready(settings, batch))
    ledger.close_batch(batch)
    logger.info(
        "batch %s: %d predicted, %d errors, %d go into a later batch; %s",
        *(batch.id, batch.predicted, batch.errors, batch.retried, ", ".join(files) or "no file"),
    )


def _ready(settings: Settings, batch: Batch) -> PredictionsReady:
    return PredictionsReady(
        batch=batch.id,
        model=f"{batch.model_name}:{batch.model_version}",
        container=settings.predictions_container,
        files=dict(zip(settings.prediction_formats, batch.files, strict=True)),
        images=batch.predicted + batch.errors,
        predicted=batch.predicted,
        errors=batch.errors,
    )


@contextlib.contextmanager
def _sealed_results(clients: Clients, batch: Batch, job_error: str) -> Iterator[Callable[[], Iterator[Result]]]:
    """The batch's results, sealed by the first who asks for them; the value gives them anew at each call."""
    from azure.core.exceptions import ResourceExistsError

    blob = clients.blobs.get_blob_client(clients.settings.work_container, f"{batch.folder}result.jsonl")
    with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as file:
        for result in _results(clients, batch, job_error):
            file.write(result.to_json().encode() + b"\n")
        file.seek(0)
        try:
            blob.upload_blob(file, overwrite=False)
        except ResourceExistsError:
            file.seek(0)
            file.truncate()
            blob.download_blob().readinto(file)

        def read() -> Iterator[Result]:
            file.seek(0)
            return (Result.from_json(line.decode()) for line in file)

        yield read


def _results(clients: Clients, batch: Batch, job_error: str) -> Iterator[Result]:
    """Each image of the manifest, once, with what the parts say of it."""
    container = clients.settings.work_container
    for shard in range(batch.shards):
        outcomes = _read_part(clients.blobs, container, batch, shard)
        for row in read_shard(clients.blobs, container, batch, shard):
            outcome = outcomes.get(row.key)
            if outcome is None and (row.error or row.attempts + 1 >= clients.settings.max_attempts):
                error = row.error or job_error or "the scoring job gave no result for this image"
                outcome = Outcome(row.key, (), (), "", error)
            yield Result(row, outcome)


def _rows(batch: Batch, results: Iterable[Result]) -> Iterator[PredictionRow]:
    model = f"{batch.model_name}:{batch.model_version}"
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


def _file_path(batch: Batch, suffix: str) -> str:
    return f"{dt.datetime.fromisoformat(batch.created):%Y/%m/%d}/{batch.id}.{suffix}"


def read_shard(blobs: BlobServiceClient, container: str, batch: Batch, shard: int) -> list[ManifestRow]:
    content = blobs.get_blob_client(container, manifest_path(batch.folder, shard)).download_blob().readall()
    return read_manifest(content.decode())


def _read_part(blobs: BlobServiceClient, container: str, batch: Batch, shard: int) -> dict[str, Outcome]:
    from azure.core.exceptions import ResourceNotFoundError

    try:
        content = blobs.get_blob_client(container, part_path(batch.folder, shard)).download_blob().readall()
    except ResourceNotFoundError:
        return {}
    return {each.key: each for each in map(Outcome.from_json, read_lines(content.decode()))}
