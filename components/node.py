"""What a cluster node knows: its identity, and the clients made with it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.core.credentials import TokenCredential
    from azure.storage.blob import BlobServiceClient


def node_credential() -> TokenCredential:
    """The cluster's identity. Azure ML names a user-assigned one in DEFAULT_IDENTITY_CLIENT_ID
    (https://learn.microsoft.com/azure/machine-learning/how-to-identity-based-service-authentication).
    """
    from azure.identity import ManagedIdentityCredential

    return ManagedIdentityCredential(client_id=os.environ.get("DEFAULT_IDENTITY_CLIENT_ID") or None)


def blob_service(account_url: str) -> BlobServiceClient:
    """The data account's blob service."""
    from azure.storage.blob import BlobServiceClient

    return BlobServiceClient(account_url, credential=node_credential())


def workspace_client() -> MLClient:
    """The workspace that the job runs in, as Azure ML names it in the job's environment."""
    from azure.ai.ml import MLClient

    return MLClient(
        node_credential(),
        os.environ["AZUREML_ARM_SUBSCRIPTION"],
        os.environ["AZUREML_ARM_RESOURCEGROUP"],
        os.environ["AZUREML_ARM_WORKSPACE_NAME"],
    )
