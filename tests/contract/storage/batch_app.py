"""One storage account as the app sees it: images are dropped, batches are dispatched, and what came of them is read."""

from __future__ import annotations

import datetime as dt
import io
from collections import Counter

from azure.storage.blob import BlobLeaseClient

from shared.batches import LEASE_PATH, dispatch, progress
from shared.batches.dispatching import new_batch
from shared.clients import Clients
from shared.images import receive_image
from shared.ledger import Batch, Ledger, WaitingImages
from shared.predictions import read_csv
from tests.support import drop_image, make_clients, make_settings, plain_jpeg, prepare_storage

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
FORMATS = {"prediction_formats": "csv,jsonl"}


class LedgerLater(Ledger):
    """The ledger as it will be in a minute: what waits has been quiet for long enough."""

    def waiting(self, limit: int) -> WaitingImages:
        found = super().waiting(limit)
        return WaitingImages(found.images, found.now + dt.timedelta(minutes=1))


class App:
    """One storage account, provisioned, as the app sees it."""

    def __init__(self, storage: str, **settings: object) -> None:
        self.storage = storage
        self.settings = make_settings(**{**FORMATS, **settings})
        self.clients = make_clients(storage, **{**FORMATS, **settings})
        prepare_storage(self.clients)
        self.ledger = LedgerLater(self.clients.tables)

    def drop(self, path: str, content: bytes = plain_jpeg()) -> None:
        """Upload an image and let it be received."""
        drop_image(self.clients, path, content)
        receive_image(self.clients, self.ledger, path, content)

    def dispatch(self) -> None:
        dispatch(self.clients, self.ledger)

    def files(self, suffix: str) -> dict[str, str]:
        container = self.clients.blobs.get_container_client(self.clients.settings.predictions_container)
        names = [name for name in container.list_blob_names() if name.endswith(suffix)]
        return {name: container.download_blob(name).readall().decode() for name in names}

    def rows(self) -> dict[str, dict[str, str]]:
        """The rows of all CSV files by image. No image may have two."""
        found = [row for text in self.files(".csv").values() for row in read_csv(io.StringIO(text, newline=""))]
        twice = [image for image, count in Counter(row["image"] for row in found).items() if count > 1]
        assert twice == []
        return {row["image"]: row for row in found}

    def states(self, path: str) -> list[str]:
        return [row["state"] for row in self.ledger.history(self.clients.settings.images_container, path)]

    def waiting(self) -> dict[str, int]:
        """The images that wait, with their attempts."""
        return {each.image.path: each.image.attempts for each in self.ledger.waiting(1000).images}

    def new_batch(self) -> Batch:
        """What waits, claimed for a batch, with its manifest written."""
        batch = new_batch(self.clients, self.ledger)
        assert batch is not None
        return progress.make_manifest(self.clients, self.ledger, batch)


def break_lease(clients: Clients, path: str = LEASE_PATH) -> None:
    """As time does to the lease of a dead dispatcher."""
    blob = clients.blobs.get_blob_client(clients.settings.work_container, path)
    if blob.exists() and blob.get_blob_properties().lease.state == "leased":
        BlobLeaseClient(blob).break_lease(0)


def delete_files(app: App) -> None:
    container = app.clients.blobs.get_container_client(app.settings.predictions_container)
    container.delete_blobs(*container.list_blob_names())


def delete_bundle(app: App, path: str) -> None:
    container = app.clients.blobs.get_container_client("labelloop")
    for name in list(container.list_blob_names(name_starts_with=f"{path}/")):
        container.delete_blob(name)
