"""The only place that makes credentials and SDK clients. SDKs are imported when first used, for a short cold start."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared.errors import SettingsError
from shared.settings import Settings, settings

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.core.credentials import TokenCredential
    from azure.data.tables import TableServiceClient
    from azure.mgmt.eventgrid import EventGridManagementClient
    from azure.storage.blob import BlobServiceClient
    from azure.storage.queue import QueueClient, QueueServiceClient

DATA_STORAGE = "DATA_STORAGE"
PUBLIC_RESOURCE_MANAGER = "https://management.azure.com"


class Clients:
    """The clients of one process. `environment` holds the connection settings, in the Functions convention:
    a connection string in `X`, or `X__accountName` or `X__blobServiceUri` (…`queue`…, …`table`…) with `X__clientId`
    for an identity (https://learn.microsoft.com/azure/azure-functions/functions-reference#connections).
    `storage_options` go to the storage clients as they are.
    """

    def __init__(self, configured: Settings, environment: Mapping[str, str], **storage_options: Any) -> None:
        self.settings = configured
        self._environment = environment
        self._storage_options = storage_options

    @functools.cached_property
    def probing(self) -> Clients:
        """The same, for questions whose answer is wanted now: storage clients that neither retry nor wait for long."""
        return Clients(self.settings, self._environment, retry_total=0, connection_timeout=5, read_timeout=10)

    @functools.cached_property
    def credential(self) -> TokenCredential:
        """The process's identity."""
        from azure.identity import DefaultAzureCredential

        client_id = self._environment.get(f"{DATA_STORAGE}__clientId") or None
        return DefaultAzureCredential(managed_identity_client_id=client_id)

    @functools.cached_property
    def blobs(self) -> BlobServiceClient:
        """Blob service of the data account."""
        from azure.storage.blob import BlobServiceClient

        connection = self._environment.get(DATA_STORAGE)
        if connection:
            return BlobServiceClient.from_connection_string(connection, **self._storage_options)
        return BlobServiceClient(self._service_uri("blob"), credential=self.credential, **self._storage_options)

    @functools.cached_property
    def queues(self) -> QueueServiceClient:
        """Queue service of the data account."""
        from azure.storage.queue import QueueServiceClient

        connection = self._environment.get(DATA_STORAGE)
        if connection:
            return QueueServiceClient.from_connection_string(connection, **self._storage_options)
        return QueueServiceClient(self._service_uri("queue"), credential=self.credential, **self._storage_options)

    @functools.cached_property
    def tables(self) -> TableServiceClient:
        """Table service of the data account."""
        from azure.data.tables import TableServiceClient

        connection = self._environment.get(DATA_STORAGE)
        if connection:
            return TableServiceClient.from_connection_string(connection, **self._storage_options)
        return TableServiceClient(self._service_uri("table"), credential=self.credential, **self._storage_options)

    def queue(self, name: str) -> QueueClient:
        """One queue, whose messages are base64 as the Functions host's default (`messageEncoding`) wants them."""
        from azure.storage.queue import TextBase64DecodePolicy, TextBase64EncodePolicy

        return self.queues.get_queue_client(
            name, message_encode_policy=TextBase64EncodePolicy(), message_decode_policy=TextBase64DecodePolicy()
        )

    @functools.cached_property
    def ml(self) -> MLClient:
        """The workspace."""
        from azure.ai.ml import MLClient

        configured = self.settings
        return MLClient(
            self.credential,
            configured.azure_subscription_id,
            configured.azure_resource_group,
            configured.azureml_workspace_name,
        )

    @functools.cached_property
    def resource_manager(self) -> str:
        """Base URL of Azure Resource Manager in this cloud, without a slash at its end.

        Sovereign and private clouds are found as azure-ai-ml finds them: by ARM_CLOUD_METADATA_URL.
        """
        metadata_url = self._environment.get("ARM_CLOUD_METADATA_URL")
        if not metadata_url:
            return PUBLIC_RESOURCE_MANAGER
        from azure.core import PipelineClient
        from azure.core.rest import HttpRequest

        with PipelineClient[Any, Any](metadata_url) as client:
            response = client.send_request(HttpRequest("GET", metadata_url))
            response.raise_for_status()
            clouds = response.json()
        for cloud in clouds if isinstance(clouds, list) else [clouds]:
            url: str = cloud["resourceManager"]
            if metadata_url.startswith(url.rstrip("/")):
                return url.rstrip("/")
        raise SettingsError("ARM_CLOUD_METADATA_URL", f"is {metadata_url!r}, which describes no cloud of that address")

    @functools.cached_property
    def event_grid(self) -> EventGridManagementClient:
        """Event Grid's management plane."""
        from azure.mgmt.eventgrid import EventGridManagementClient

        base = self.resource_manager
        return EventGridManagementClient(
            self.credential,
            self.settings.azure_subscription_id,
            base_url=base,
            credential_scopes=[f"{base}/.default"],
            polling_interval=5,
        )

    def post_to_resource_manager(self, path: str, api_version: str) -> dict[str, Any]:
        """POST without a body to an ARM path that starts with a slash; the answer's JSON.

        Raises azure.core.exceptions.HttpResponseError.
        """
        from azure.core.rest import HttpRequest
        from azure.mgmt.core import ARMPipelineClient
        from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy

        base = self.resource_manager
        authentication = ARMChallengeAuthenticationPolicy(self.credential, f"{base}/.default")
        with ARMPipelineClient[Any, Any](base, policies=[authentication]) as client:
            response = client.send_request(HttpRequest("POST", f"{base}{path}", params={"api-version": api_version}))
            response.raise_for_status()
            answer: dict[str, Any] = json.loads(response.text())
            return answer

    @property
    def account_name(self) -> str:
        """Name of the data account."""
        return account_name(self.blobs)

    @property
    def account_url(self) -> str:
        """The data account's blob endpoint, without the SAS that a connection string may bring."""
        return str(self.blobs.url).partition("?")[0]

    @property
    def account_resource_id(self) -> str:
        """ARM id of the data account."""
        return (
            self.settings.data_storage_resource_id
            or f"{self.settings.resource_group_id}/providers/Microsoft.Storage/storageAccounts/{self.account_name}"
        )

    @property
    def function_app_id(self) -> str:
        """ARM id of the function app that runs this code. Raises SettingsError when it can't be told."""
        if self.settings.function_app_resource_id:
            return self.settings.function_app_resource_id
        site = self._environment.get("WEBSITE_SITE_NAME")
        if not site:
            raise SettingsError("FUNCTION_APP_RESOURCE_ID", "is not set, and the host did not set WEBSITE_SITE_NAME")
        return f"{self.settings.resource_group_id}/providers/Microsoft.Web/sites/{site}"

    @property
    def function_app_hostname(self) -> str:
        """Host name under which the app is reached. Raises SettingsError when the host did not tell it."""
        hostname = self._environment.get("WEBSITE_HOSTNAME")
        if not hostname:
            raise SettingsError("WEBSITE_HOSTNAME", "is not set; the Functions host sets it")
        return hostname

    def _service_uri(self, service: str) -> str:
        uri = self._environment.get(f"{DATA_STORAGE}__{service}ServiceUri")
        if uri:
            return uri
        account = self._environment.get(f"{DATA_STORAGE}__accountName")
        if account:
            return f"https://{account}.{service}.core.windows.net"
        raise SettingsError(
            DATA_STORAGE,
            f"is not set; give a connection string, or {DATA_STORAGE}__accountName, or "
            f"{DATA_STORAGE}__{service}ServiceUri for an identity",
        )


def account_name(blobs: BlobServiceClient) -> str:
    """Name of a storage account, by its host name or, where the endpoint is path-style, by its path."""
    name: str | None = blobs.account_name
    return name or urlsplit(blobs.url).path.strip("/")


@functools.cache
def clients() -> Clients:
    """The process's clients, from os.environ."""
    return Clients(settings(), os.environ)
