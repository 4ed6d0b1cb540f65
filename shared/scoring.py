"""Scoring the images of a manifest shard: one part file of outcomes for each shard, wherever it runs."""

from __future__ import annotations

import datetime as dt
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.errors import ImageRejectedError
from shared.inference import Classifier

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient

READ_AHEAD = 8
DELETED = "the image was deleted before it was scored"
REPLACED = "the image was replaced before it was scored; its newer content has a row of its own"
# Missing rights, time-outs and throttling: not the image's fault.
TRANSIENT = frozenset({401, 403, 408, 429})


@dataclass(frozen=True)
class ManifestRow:
    """One image of a batch: its ledger `key`, the blob that arrived, and the blob to be scored.

    With an `error` the image was rejected at its arrival, and is not read.
    """

    key: str
    image: str
    container: str
    path: str
    etag: str
    attempts: int = 0
    error: str = ""

    def to_json(self) -> str:
        return json.dumps(self.__dict__)


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


def read_lines(content: str) -> list[str]:
    """The lines of JSON Lines. Not `splitlines`, which also breaks at characters that JSON strings may contain."""
    return [line for line in content.split("\n") if line]


def read_manifest(content: str) -> list[ManifestRow]:
    """The rows of a manifest shard."""
    return [ManifestRow(**json.loads(line)) for line in read_lines(content)]


def manifest_folder(folder: str) -> str:
    """The folder of a batch's manifest shards below the batch's own, with a slash at its end."""
    return f"{folder}manifest/"


def manifest_path(folder: str, shard: int) -> str:
    """A manifest shard's blob in the work container."""
    return f"{manifest_folder(folder)}shard-{shard:05d}.jsonl"


def part_path(folder: str, shard: int | str) -> str:
    """The blob of a shard's outcomes in the work container. `shard` is its number, or its manifest file's stem."""
    stem = shard if isinstance(shard, str) else f"shard-{shard:05d}"
    return f"{folder}parts/{stem}.jsonl"


def score_shard(blobs: BlobServiceClient, classifier: Classifier, rows: list[ManifestRow]) -> list[Outcome]:
    """Read and score every row. A row that can't be read or decoded fails itself alone."""
    contents = read_images(blobs, [row for row in rows if not row.error])
    predictions = classifier.predict(contents)
    outcomes = []
    for row in rows:
        if row.error:
            outcomes.append(Outcome(row.key, (), (), _now(), row.error))
            continue
        prediction = next(predictions)
        outcomes.append(Outcome(row.key, prediction.labels, prediction.probabilities, _now(), prediction.error))
    return outcomes


def write_part(blobs: BlobServiceClient, container: str, path: str, outcomes: list[Outcome]) -> None:
    """Write a part in one put, so that it is there entirely or not at all, and a retry replaces its own."""
    content = "".join(outcome.to_json() + "\n" for outcome in outcomes).encode()
    blobs.get_blob_client(container, path).upload_blob(content, overwrite=True)


def read_images(blobs: BlobServiceClient, rows: list[ManifestRow]) -> Iterator[bytes | ImageRejectedError]:
    """The rows' blobs in order, several downloads ahead of the reader."""
    from concurrent.futures import Future, ThreadPoolExecutor

    with ThreadPoolExecutor(READ_AHEAD, thread_name_prefix="download") as pool:
        pending: deque[Future[bytes | ImageRejectedError]] = deque()
        for row in rows:
            pending.append(pool.submit(_read_image, blobs, row))
            if len(pending) > 2 * READ_AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _read_image(blobs: BlobServiceClient, row: ManifestRow) -> bytes | ImageRejectedError:
    from azure.core import MatchConditions
    from azure.core.exceptions import HttpResponseError, ResourceModifiedError, ResourceNotFoundError

    condition: dict[str, Any] = {}
    if row.etag:
        condition = {"etag": f'"{row.etag}"', "match_condition": MatchConditions.IfNotModified}
    blob = blobs.get_blob_client(row.container, row.path)
    try:
        content: bytes = blob.download_blob(**condition).readall()
    except ResourceNotFoundError:
        return ImageRejectedError(DELETED)
    except ResourceModifiedError:
        # A condition on a blob that is not there fails as well.
        return ImageRejectedError(REPLACED if blob.exists() else DELETED)
    except HttpResponseError as error:
        # An archived blob, for one, answers 409. What may go away by itself is tried again with the whole shard.
        if error.status_code is None or error.status_code in TRANSIENT or error.status_code >= 500:
            raise
        return ImageRejectedError(f"the image can't be read: {getattr(error, 'error_code', None) or error.reason}")
    return content


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
