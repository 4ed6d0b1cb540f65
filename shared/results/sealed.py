"""The results of a batch, one sealed blob for each shard of its manifest.

What is found of a shard is sealed at once, in a blob that is never written again: files, ledger and answers rest on it
alone, however often, by whomever and however late a batch is collected. A part that comes later changes nothing.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import msgspec

from shared.ahead import map_ahead
from shared.manifests import ManifestRow, manifest_path, part_path, read_manifest
from shared.scoring import Outcome

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient

    from shared.clients import Clients
    from shared.ledger import Batch

# So many shards are read at once, while the one before them is worked on.
READ_AHEAD = 8
# A batch of no more than these bytes is read once and kept; of a greater one every pass reads the shards anew.
KEPT_BYTES = 8_000_000

Item = TypeVar("Item")
Value = TypeVar("Value")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """How one image of a batch ended. Without an `outcome` it goes into a later batch."""

    manifest_row: ManifestRow
    outcome: Outcome | None

    @property
    def state(self) -> str:
        """scored, failed, rejected or waiting."""
        if self.outcome is None:
            return "waiting"
        if self.manifest_row.error:
            return "rejected"
        return "failed" if self.outcome.error else "scored"


@dataclass(frozen=True)
class Shard:
    """A sealed shard: its results in the manifest's order, and when the storage service took it (UTC)."""

    results: list[Result]
    sealed_at: dt.datetime
    content: bytes


class SealedResults:
    """The results of a batch that is sealed. A pass over them takes the memory of a few shards."""

    def __init__(self, blobs: BlobServiceClient, container: str, batch: Batch) -> None:
        self._blobs = blobs
        self._container = container
        self.batch = batch
        self._kept: dict[int, tuple[bytes, dt.datetime]] = {}
        self._kept_bytes = 0

    def seal(self, results: Callable[[int], list[Result]]) -> Iterator[Shard]:
        """Seal every shard that is not sealed yet, with what `results` says of it; gives all shards in order."""
        for number, shard in enumerate(ahead(lambda each: self._sealed(each, results(each)), range(self.batch.shards))):
            if self._kept_bytes + len(shard.content) <= KEPT_BYTES:
                self._kept_bytes += len(shard.content)
                self._kept[number] = (shard.content, shard.sealed_at)
            yield shard

    def __iter__(self) -> Iterator[Result]:
        for shard in ahead(self.shard, range(self.batch.shards)):
            yield from shard.results

    def shard(self, number: int) -> Shard:
        """One sealed shard. Raises azure.core.exceptions.ResourceNotFoundError when it is not sealed."""
        if number in self._kept:
            return _shard(*self._kept[number])
        return self._read(_sealed_path(self.batch, number))

    def find(self, key: str) -> Result | None:
        """The result of one content of one image, by its ledger key, with two requests however large the batch is."""
        digest = _digest(key)
        container = self._blobs.get_container_client(self._container)
        for blob in container.list_blobs(name_starts_with=_sealed_folder(self.batch), include=["metadata"]):
            if blob.metadata["first"] <= digest <= blob.metadata["last"]:
                for result in self._read(blob.name).results:
                    if result.manifest_row.key == key:
                        return result
        return None

    def _sealed(self, number: int, results: list[Result]) -> Shard:
        from azure.core.exceptions import ResourceExistsError

        path = _sealed_path(self.batch, number)
        digests = [_digest(result.manifest_row.key) for result in results]
        content = msgspec.json.Encoder().encode_lines(results)
        blob = self._blobs.get_blob_client(self._container, path)
        # With these, `find` needs to look into one shard, as long as a manifest is in the order of its keys.
        metadata = {"first": min(digests), "last": max(digests)}
        try:
            answer = blob.upload_blob(content, overwrite=False, metadata=metadata)
        except ResourceExistsError:
            return self._read(path)
        return Shard(results, answer["last_modified"], content)

    def _read(self, path: str) -> Shard:
        download = self._blobs.get_blob_client(self._container, path).download_blob()
        return _shard(download.readall(), download.properties.last_modified)


def _shard(content: bytes, sealed_at: dt.datetime) -> Shard:
    return Shard(msgspec.json.Decoder(Result).decode_lines(content), sealed_at, content)


def sealed_results(clients: Clients, batch: Batch) -> SealedResults:
    """Where a batch's results are, or will be, sealed."""
    return SealedResults(clients.blobs, clients.settings.work_container, batch)


def found_results(
    clients: Clients, batch: Batch, shard: int, *, job_error: str, last_attempt: bool = False
) -> list[Result]:
    """Each image of a manifest shard, once, in its order, with what the shard's part says of it.

    An image that the part leaves out has no outcome, so that it is scored again; when it was so often already, or this
    is the `last_attempt`, its outcome is an error: `job_error`, if the job had one.
    """
    container = clients.settings.work_container
    outcomes = _read_part(clients.blobs, container, batch, shard)
    results = []
    for row in read_shard(clients.blobs, container, batch, shard):
        outcome = outcomes.get(row.key)
        exhausted = last_attempt or row.attempts + 1 >= clients.settings.max_attempts
        if outcome is None and (row.error or exhausted):
            error = row.error or job_error or "the scoring job gave no result for this image"
            outcome = Outcome(row.key, (), (), "", error)
        results.append(Result(row, outcome))
    return results


def read_shard(blobs: BlobServiceClient, container: str, batch: Batch, shard: int) -> list[ManifestRow]:
    """The rows of one shard of a batch's manifest."""
    content = blobs.get_blob_client(container, manifest_path(batch.folder, shard)).download_blob().readall()
    return read_manifest(content.decode())


def ahead(work: Callable[[Item], Value], items: Iterable[Item]) -> Iterator[Value]:
    """`map`, in order, with READ_AHEAD items worked on in threads meanwhile."""
    with ThreadPoolExecutor(READ_AHEAD, thread_name_prefix="results") as pool:
        yield from map_ahead(pool, work, items, READ_AHEAD)


def _read_part(blobs: BlobServiceClient, container: str, batch: Batch, shard: int) -> dict[str, Outcome]:
    from azure.core.exceptions import ResourceNotFoundError

    try:
        content = blobs.get_blob_client(container, part_path(batch.folder, shard)).download_blob().readall()
    except ResourceNotFoundError:
        return {}
    decoder = msgspec.json.Decoder(Outcome)
    outcomes = {}
    for line in content.splitlines():
        try:
            outcome = decoder.decode(line)
        except msgspec.MsgspecError as error:
            # NaN, for one, is no JSON. One image must not hold up all others.
            logger.warning("batch %s: a line of shard %d is left out: %s: %.200r", batch.id, shard, error, line)
        else:
            outcomes[outcome.key] = outcome
    return outcomes


def _sealed_folder(batch: Batch) -> str:
    return f"{batch.folder}results/"


def _sealed_path(batch: Batch, shard: int) -> str:
    return f"{_sealed_folder(batch)}shard-{shard:05d}.jsonl"


def _digest(key: str) -> str:
    """The part of an image's key that can stand in a header."""
    return key.partition(":")[0]
