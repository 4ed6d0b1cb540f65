"""One worker at a time: a lease on a blob of the work container, renewed while the worker is at it.

A worker that stalls for longer than the lease may find another at work; correctness must not rest on it alone.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, BlobLeaseClient

    from shared.clients import Clients

LEASE_SECONDS, RENEW_SECONDS = 60, 20.0

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def lock(clients: Clients, path: str) -> Iterator[bool]:
    """Whether this worker is the one; False when another is at it."""
    from azure.core.exceptions import HttpResponseError

    lease = _acquired(clients.blobs.get_blob_client(clients.settings.work_container, path))
    if lease is None:
        yield False
        return
    ended = threading.Event()
    renewal = threading.Thread(target=_renew, args=(lease, ended, path), daemon=True)
    renewal.start()
    try:
        yield True
    finally:
        ended.set()
        renewal.join()
        with contextlib.suppress(HttpResponseError):  # It may have run out; then it needs no release.
            lease.release()


def _acquired(blob: BlobClient) -> BlobLeaseClient | None:
    """The lease, None when another has it. The first worker ever makes the blob."""
    from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

    while True:
        try:
            return blob.acquire_lease(LEASE_SECONDS)
        except ResourceExistsError:
            return None
        except ResourceNotFoundError:
            try:
                blob.upload_blob(b"", overwrite=False)
            except HttpResponseError as error:
                if error.status_code not in {409, 412}:  # Another has made it, or leased it already.
                    raise


def _renew(lease: BlobLeaseClient, ended: threading.Event, path: str) -> None:
    from azure.core.exceptions import AzureError

    while not ended.wait(RENEW_SECONDS):
        try:
            lease.renew()
        except AzureError as error:
            # One more renewal comes before the lease runs out.
            logger.warning("the lease on %s could not be renewed: %s", path, error)
