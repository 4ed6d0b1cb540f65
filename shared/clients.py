"""The only place that makes credentials and SDK clients. SDKs are imported when first used, for a short cold start."""

from __future__ import annotations

import base64
import functools
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared.errors import SettingsError
from shared.settings import Settings, settings

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.core.credentials import TokenCredential
    from azure.data.tables import TableServiceClient
    from azure.eventgrid import EventGridPublisherClient
    from azure.mgmt.core import ARMPipelineClient
    from azure.mgmt.eventgrid import EventGridManagementClient
    from azure.storage.blob import BlobServiceClient
    from azure.storage.queue import QueueClient, QueueServiceClient

DATA_STORAGE = "DATA_STORAGE"
PUBLIC_RESOURCE_MANAGER = "https://management.azure.com"


@dataclass(frozen=True)
class Principal:
    """An identity in Microsoft Entra: its object id, and whether it is a ServicePrincipal or a User."""

    object_id: str
    kind: str


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
        """The same, for questions whose answer is wanted now: clients that neither retry nor wait for long."""
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

        Sovereign and private clouds are told by ARM_CLOUD_METADATA_URL, as they are to azure-ai-ml.
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

    @functools.cached_property
    def announcements_topic(self) -> EventGridPublisherClient:
        """The custom topic for announcements. Its tokens are for https://eventgrid.azure.net, whatever the cloud."""
        from azure.eventgrid import EventGridPublisherClient

        return EventGridPublisherClient(self.settings.events_topic_endpoint, self.credential)

    @functools.cached_property
    def arm(self) -> ARMPipelineClient[Any, Any]:
        """Azure Resource Manager, for what no other client of ours asks; throttled and failed requests are repeated."""
        from azure.core.configuration import Configuration
        from azure.core.pipeline.policies import RetryPolicy, UserAgentPolicy
        from azure.mgmt.core import ARMPipelineClient
        from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy

        base = self.resource_manager
        configuration = Configuration[Any, Any]()
        configuration.retry_policy = RetryPolicy(**self._options("retry_total"))
        configuration.user_agent_policy = UserAgentPolicy("labelloop")
        configuration.authentication_policy = ARMChallengeAuthenticationPolicy(self.credential, f"{base}/.default")
        return ARMPipelineClient(base, config=configuration, **self._options("connection_timeout", "read_timeout"))

    def ask_resource_manager(
        self, method: str, path: str, api_version: str, *, body: Any = None, **query: str
    ) -> dict[str, Any]:
        """One request to an ARM path that starts with a slash; the answer's JSON. `query` without the leading `$` of
        OData's names: `filter="…"`.

        Raises azure.core.exceptions.HttpResponseError with ARM's code and message.
        """
        parameters = {"api-version": api_version, **{f"${name}": value for name, value in query.items()}}
        return self._ask(method, f"{self.resource_manager}{path}", params=parameters, json=body)

    def list_from_resource_manager(self, path: str, api_version: str) -> Iterator[dict[str, Any]]:
        """The items of an ARM collection, page by page. Raises as `ask_resource_manager` does."""
        page = self.ask_resource_manager("GET", path, api_version)
        yield from page["value"]
        while page.get("nextLink"):
            page = self._ask("GET", page["nextLink"])
            yield from page["value"]

    def _ask(self, method: str, url: str, **content: Any) -> dict[str, Any]:
        from azure.core.exceptions import HttpResponseError
        from azure.core.rest import HttpRequest
        from azure.mgmt.core.exceptions import ARMErrorFormat

        response = self.arm.send_request(HttpRequest(method, url, **content))
        if response.status_code >= 400:
            raise HttpResponseError(response=response, error_format=ARMErrorFormat)
        answer: dict[str, Any] = json.loads(response.text() or "{}")
        return answer

    @functools.cached_property
    def principal(self) -> Principal:
        """Who this process is to Azure, from the claims of its own token; they are used for advice alone."""
        token = self.credential.get_token(f"{self.resource_manager}/.default").token
        try:
            payload = token.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except (IndexError, ValueError):
            claims = {}
        kind = "ServicePrincipal" if claims.get("idtyp") == "app" else "User"
        return Principal(str(claims.get("oid") or "<object id of the app's identity>"), kind)

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

    def _options(self, *names: str) -> dict[str, Any]:
        return {name: self._storage_options[name] for name in names if name in self._storage_options}

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
