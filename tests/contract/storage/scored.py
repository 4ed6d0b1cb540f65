"""Batches whose scorer is the test: what its parts tell is given by path."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from shared.ledger import Batch, Image, Ledger, rfc3339
from shared.manifests import part_path, write_manifest
from shared.results import read_shard, write_files
from shared.scoring import Outcome
from tests.support import make_clients, make_settings, prepare_storage

LABELS = ("red", "green", "blue")
NOON = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
ALL_FORMATS = {"prediction_formats": "csv,jsonl,parquet", "compute_max_nodes": 1}


def image(path: str, *, error: str = "", attempts: int = 0) -> Image:
    return Image("images", path, "0x1", "images", path, "0x1", error, attempts)


class Account:
    """A storage account with batches whose scorer is this test."""

    def __init__(self, connection_string: str, **settings: object) -> None:
        self.storage = connection_string
        self.settings = make_settings(**{**ALL_FORMATS, **settings})
        self.clients = make_clients(connection_string, **{**ALL_FORMATS, **settings})
        self.ledger = Ledger(self.clients.tables)

    def prepare(self) -> Account:
        """The account with its containers and tables."""
        prepare_storage(self.clients)
        return self

    def batch(
        self,
        images: Sequence[Image],
        outcomes: Mapping[str, Mapping[str, Any]],
        *,
        created: dt.datetime = NOON,
        version: str = "1",
        labels: Sequence[str] = LABELS,
    ) -> Batch:
        """A batch whose job has ended; `outcomes` by path are what its parts tell."""
        batch_id = f"{created:%Y%m%d-%H%M%S}-ab12"
        manifest = write_manifest(self.clients, batch_id, tuple(labels), list(images))
        batch = Batch(
            id=batch_id,
            state="submitted",
            route="cluster",
            reason="three",
            model_name="multilabel",
            model_version=version,
            model_path=f"models/multilabel/train-{version}",
            created=rfc3339(created),
            images=manifest.images,
            shards=manifest.shards,
            folder=manifest.folder,
            job=f"score-{batch_id}",
            submitted=rfc3339(created + dt.timedelta(minutes=1)),
        )
        self.write_parts(batch, outcomes)
        return self.ledger.open_batch(batch)

    def write_parts(self, batch: Batch, outcomes: Mapping[str, Mapping[str, Any]]) -> None:
        container = self.clients.blobs.get_container_client(self.settings.work_container)
        for shard in range(batch.shards):
            rows = read_shard(self.clients.blobs, self.settings.work_container, batch, shard)
            lines = [
                Outcome(**{**PREDICTED, "key": row.key, **outcomes[row.image]}).to_json()
                for row in rows
                if row.image in outcomes
            ]
            container.upload_blob(part_path(batch.folder, shard), "\n".join(lines), overwrite=True)

    def done(self, *arguments: Any, **options: Any) -> Batch:
        """The same, written and closed."""
        batch = self.batch(*arguments, **options)
        collected = write_files(self.clients, batch, job_error="")
        self.ledger.close_batch(self.ledger.advance(batch, files=collected.paths))
        return batch

    def blobs(self) -> dict[str, bytes]:
        container = self.clients.blobs.get_container_client("predictions")
        return {name: container.download_blob(name).readall() for name in container.list_blob_names()}


PREDICTED: dict[str, Any] = {
    "labels": ("red",),
    "probabilities": (0.9, 0.2, 0.1),
    "scored_at": "2026-11-24T12:05:00Z",
    "error": "",
}
FAILED: dict[str, Any] = {"labels": (), "probabilities": (), "error": "the image can't be decoded: 7 bytes are missing"}
NO_IMAGE: dict[str, Any] = {**FAILED, "error": "not an image"}
