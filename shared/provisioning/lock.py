"""One worker provisions at a time: a lease on a blob, renewed while it works. Correctness does not rest on it, since
making a resource twice makes it once; it keeps workers from waiting for each other's halves.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azure.storage.blob import BlobLeaseClient

    from shared.clients import Clients

LOCK_PATH = "provisioning.lock"
LEASE_SECONDS, RENEW_SECONDS = 60, 20.0


@contextlib.contextmanager
def provisioning_lock(clients: Clients) -> Iterator[bool]:
    """Whether this worker is the one; False when another is at it."""
    from azure.core.exceptions import HttpResponseError, ResourceExistsError

    blob = clients.blobs.get_blob_client(clients.settings.work_container, LOCK_PATH)
    with contextlib.suppress(ResourceExistsError):
        blob.upload_blob(b"", overwrite=False)
    try:
        lease = blob.acquire_lease(LEASE_SECONDS)
    except ResourceExistsError:
        yield False
        return
    ended = threading.Event()
    renewal = threading.Thread(target=_renew, args=(lease, ended), daemon=True)
    renewal.start()
    try:
        yield True
    finally:
        ended.set()
        renewal.join()
        with contextlib.suppress(HttpResponseError):  # It may have run out; then it needs no release.
            lease.release()


def _renew(lease: BlobLeaseClient, ended: threading.Event) -> None:
    from azure.core.exceptions import AzureError

    while not ended.wait(RENEW_SECONDS):
        # The next renewal comes before the lease runs out.
        with contextlib.suppress(AzureError):
            lease.renew()
