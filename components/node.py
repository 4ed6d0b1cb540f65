"""What a cluster node knows: its identity, and the clients made with it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.core.credentials import TokenCredential
    from azure.storage.blob import BlobServiceClient

RETRIES = 5
FIRST_GET_BYTES = 8_000_000


def node_credential() -> TokenCredential:
    """The cluster's identity. Azure ML names a user-assigned one in DEFAULT_IDENTITY_CLIENT_ID
    (https://learn.microsoft.com/azure/machine-learning/how-to-identity-based-service-authentication).
    """
    from azure.identity import ManagedIdentityCredential

    return ManagedIdentityCredential(client_id=os.environ.get("DEFAULT_IDENTITY_CLIENT_ID") or None)


def blob_service(account_url: str, credential: Any = None) -> BlobServiceClient:
    """The data account's blob service, by the node's identity unless told otherwise.

    Nobody waits for a node, so it waits: a request that fails is sent five times more within a minute or so; the jitter
    keeps nodes that failed together apart. A body that stalls for 30 s is asked for again twice, by the SDK itself.
    What the first request for an image brings is small, since the reader learns its size from that.
    """
    from azure.storage.blob import BlobServiceClient, ExponentialRetry

    retries: dict[str, Any] = {f"retry_{kind}": RETRIES for kind in ("total", "connect", "read", "status")}
    return BlobServiceClient(
        account_url,
        credential=credential or node_credential(),
        retry_policy=ExponentialRetry(initial_backoff=1, increment_base=2, random_jitter_range=1, **retries),
        connection_timeout=10,
        read_timeout=30,
        max_single_get_size=FIRST_GET_BYTES,
        max_chunk_get_size=FIRST_GET_BYTES,
    )


def workspace_client() -> MLClient:
    """The workspace that the job runs in, as Azure ML names it in the job's environment."""
    from azure.ai.ml import MLClient

    return MLClient(
        node_credential(),
        os.environ["AZUREML_ARM_SUBSCRIPTION"],
        os.environ["AZUREML_ARM_RESOURCEGROUP"],
        os.environ["AZUREML_ARM_WORKSPACE_NAME"],
    )
