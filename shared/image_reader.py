"""Reading the images of a manifest from storage."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from shared.ahead import Budget
from shared.errors import ImageRejectedError, ImageUnavailableError

if TYPE_CHECKING:
    from azure.core.exceptions import HttpResponseError
    from azure.storage.blob import BlobServiceClient, StorageStreamDownloader

    from shared.manifests import ManifestRow

DELETED = "the image was deleted before it was scored"
REPLACED = "the image was replaced before it was scored; its newer content has a row of its own"
# Missing rights, time-outs and throttling: not the image's fault.
TRANSIENT = frozenset({401, 403, 408, 429})
# Of encoded images in memory, in bytes. A larger one is held alone.
MAX_HELD = 200_000_000
# The most that MAX_IMAGE_MEGABYTES can be set to. What is larger was not checked at its arrival.
MAX_IMAGE = 1_000_000_000


class ImageReader:
    """Reads images for several threads, which together hold a bounded number of bytes."""

    def __init__(self, blobs: BlobServiceClient) -> None:
        self._blobs = blobs
        self._held = Budget(MAX_HELD)

    def source(self, row: ManifestRow) -> Callable[[], contextlib.AbstractContextManager[bytes]]:
        """Opens a row's image: `shared.inference.Source`."""
        return partial(self.opened, row)

    @contextlib.contextmanager
    def opened(self, row: ManifestRow) -> Iterator[bytes]:
        """A row's image as long as the context lasts. With an etag, the content of that etag or none.

        Raises ImageRejectedError when it can't be read, ImageUnavailableError when it can't be read now. The client has
        retried by then, also what broke off in the middle of a body.
        """
        with self._reasons(row):
            download = self._download(row)
        if download.size > MAX_IMAGE:
            raise ImageRejectedError(
                f"the file has {download.size / 1e6:.0f} MB; at most {MAX_IMAGE / 1e6:.0f} are read"
            )
        # The first bytes are here already: at most `max_single_get_size` of the client in each thread.
        with self._held.held(download.size):
            with self._reasons(row):
                content: bytes = download.readall()
            yield content

    def _download(self, row: ManifestRow) -> StorageStreamDownloader[bytes]:
        from azure.core import MatchConditions

        condition: dict[str, Any] = {}
        if row.etag:
            condition = {"etag": f'"{row.etag}"', "match_condition": MatchConditions.IfNotModified}
        return self._blobs.get_blob_client(row.container, row.path).download_blob(**condition)

    @contextlib.contextmanager
    def _reasons(self, row: ManifestRow) -> Iterator[None]:
        """Turns the SDK's errors into ours."""
        from azure.core.exceptions import AzureError, HttpResponseError, ResourceModifiedError, ResourceNotFoundError

        try:
            yield
        except ResourceNotFoundError:
            raise ImageRejectedError(DELETED) from None
        except ResourceModifiedError:
            raise ImageRejectedError(self._why_modified(row)) from None
        except HttpResponseError as error:
            status = error.status_code
            if status is None or status in TRANSIENT or status >= 500:
                raise ImageUnavailableError(f"the image can't be read now: {_told(error)}") from error
            # An archived blob, for one, answers 409.
            raise ImageRejectedError(f"the image can't be read: {_told(error)}") from None
        except AzureError as error:
            raise ImageUnavailableError(f"the image can't be read now: {error.message}") from error

    def _why_modified(self, row: ManifestRow) -> str:
        # A condition on a blob that is not there fails as well.
        with self._reasons(row):
            there = self._blobs.get_blob_client(row.container, row.path).exists()
        return REPLACED if there else DELETED


def _told(error: HttpResponseError) -> str:
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or error.reason or error.message)
