"""Fetch images from blob storage with the node's own identity, as AutoML's nodes do."""

from __future__ import annotations

import os
from collections.abc import Callable

from local.automl.dataset import Example
from local.automl.errors import ImageError

Fetch = Callable[[Example], bytes]


def open_storage(account_url: str) -> Fetch:
    """A thread-safe function from an example to its file's bytes. It raises ImageError, which names the image."""
    from azure.core.exceptions import AzureError, ResourceNotFoundError
    from azure.identity import DefaultAzureCredential
    from azure.storage.blob import BlobServiceClient

    # On a cluster with a user-assigned identity, Azure ML puts its client id into this variable.
    credential = DefaultAzureCredential(managed_identity_client_id=os.environ.get("DEFAULT_IDENTITY_CLIENT_ID"))
    service = BlobServiceClient(account_url, credential=credential)

    def fetch(example: Example) -> bytes:
        try:
            return service.get_blob_client(example.container, example.path).download_blob().readall()
        except ResourceNotFoundError as error:
            raise ImageError(f"the image {example.url} is not in the container {example.container}") from error
        except AzureError as error:
            raise ImageError(f"the image {example.url} cannot be fetched: {error.message}") from error

    return fetch
