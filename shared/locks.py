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


class Lease:
    """A lease that this worker has, or had: it is renewed in the background, and may be lost when that fails."""

    def __init__(self, client: BlobLeaseClient, path: str) -> None:
        self._client = client
        self._path = path

    def renewed(self) -> bool:
        """Whether this worker still has it, as the storage service says now."""
        from azure.core.exceptions import HttpResponseError

        try:
            self._client.renew()
        except HttpResponseError as error:
            logger.warning("the lease on %s is lost: %s", self._path, error.reason)
            return False
        return True


@contextlib.contextmanager
def lock(clients: Clients, path: str) -> Iterator[bool]:
    """Whether this worker is the one; False when another is at it."""
    with lease_on(clients, path) as lease:
        yield lease is not None


@contextlib.contextmanager
def lease_on(clients: Clients, path: str) -> Iterator[Lease | None]:
    """The lease of the one worker; None when another has it.

    Raises azure.core.exceptions.ResourceNotFoundError when there is no work container.
    """
    from azure.core.exceptions import HttpResponseError

    client = _acquired(clients.blobs.get_blob_client(clients.settings.work_container, path))
    if client is None:
        yield None
        return
    ended = threading.Event()
    renewal = threading.Thread(target=_renew, args=(client, ended, path), daemon=True)
    renewal.start()
    try:
        yield Lease(client, path)
    finally:
        ended.set()
        renewal.join()
        with contextlib.suppress(HttpResponseError):  # It may have run out; then it needs no release.
            client.release()


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
