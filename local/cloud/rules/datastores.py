"""Datastores of a workspace: the four that Azure ML makes, and those that people add."""

from __future__ import annotations

import re
from typing import Any

from local.cloud.errors import BadRequestError, NotFoundError, UserError
from local.cloud.resources import Json, Resource, ResourceStore
from local.cloud.rules.ids import WorkspaceScope
from local.config import StackConfig

DEFAULT_DATASTORE = "workspaceblobstore"
ARTIFACT_DATASTORE = "workspaceartifactstore"
# https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
_NAME = re.compile(r"^[a-z0-9_]{1,255}$")


class Datastores:
    """Reads and writes the datastores of workspaces."""

    def __init__(self, store: ResourceStore, config: StackConfig) -> None:
        self._store = store
        self._config = config

    @property
    def _endpoint(self) -> str:
        return f"127.0.0.1:{self._config.ports['blob']}"

    def default_containers(self, scope: WorkspaceScope, *, isolated: bool) -> list[str]:
        """The blob containers that a new workspace needs. With data isolation the artifacts have one of their own."""
        return list(_default_containers(scope, isolated=isolated).values())

    def create_defaults(self, scope: WorkspaceScope, *, isolated: bool, with_key: bool) -> None:
        """The datastores that Azure ML makes with a workspace. Here they go by identity unless a key is asked for."""
        for name, container in _default_containers(scope, isolated=isolated).items():
            body = self._blob(container, default=name == DEFAULT_DATASTORE, with_key=with_key)
            self._store.put(scope.child(f"datastores/{name}"), body)
        shares = {"workspacefilestore": "azureml-filestore", "workspaceworkingdirectory": "code"}
        for name, share in shares.items():
            properties = {
                **self._blob("", default=False, with_key=with_key)["properties"],
                "datastoreType": "AzureFile",
                "fileShareName": f"{scope.guid}-{share}" if isolated else f"{share}-{scope.guid}",
            }
            del properties["containerName"]
            self._store.put(scope.child(f"datastores/{name}"), {"properties": properties})

    def _blob(self, container: str, *, default: bool, with_key: bool) -> Json:
        return {
            "properties": {
                "datastoreType": "AzureBlob",
                "accountName": self._config.account_name,
                "containerName": container,
                "endpoint": self._endpoint,
                "protocol": "https",
                "credentials": {"credentialsType": "AccountKey" if with_key else "None"},
                "serviceDataAccessAuthIdentity": "WorkspaceSystemAssignedIdentity",
                "isDefault": default,
                "tags": {},
                "properties": {},
                "description": None,
            }
        }

    def put(self, scope: WorkspaceScope, name: str, body: Json) -> Resource:
        """Create or update. Keys and tokens in the body are dropped: the answer never carries them."""
        if not _NAME.match(name):
            raise UserError(
                f"The datastore name '{name}' is invalid. "
                "It must have 1 to 255 lowercase letters, digits and underscores."
            )
        properties = dict(body.get("properties") or {})
        kind = properties.get("datastoreType")
        if kind not in ("AzureBlob", "AzureFile", "AzureDataLakeGen2"):
            raise BadRequestError(f"The datastore type '{kind}' is not known to the local cloud.")
        account = properties.get("accountName")
        if account != self._config.account_name:
            raise UserError(
                f"The storage account '{account}' of datastore '{name}' does not exist; "
                f"the local cloud has '{self._config.account_name}'."
            )
        credentials = properties.get("credentials") or {"credentialsType": "None"}
        properties["credentials"] = {"credentialsType": credentials.get("credentialsType", "None")}
        properties.setdefault("isDefault", False)
        properties["endpoint"] = self._endpoint
        return self._store.put(scope.child(f"datastores/{name}"), {"properties": properties})

    def container(self, scope: WorkspaceScope, name: str) -> str:
        """The blob container behind a datastore. Raises UserError when there is none."""
        try:
            properties = self._store.get(scope.child(f"datastores/{name}")).properties
        except NotFoundError as error:
            raise UserError(f"The datastore '{name}' does not exist in workspace '{scope.workspace}'.") from error
        container = properties.get("containerName")
        if not container:
            raise UserError(f"The datastore '{name}' is not on blob storage: {properties.get('datastoreType')}.")
        return str(container)

    def containers(self, scope: WorkspaceScope) -> dict[str, str]:
        """Every blob datastore's name and container."""
        found: dict[str, str] = {}
        for resource in self._store.children(scope.child("datastores")):
            if "containerName" in resource.properties:
                found[resource.name] = str(resource.properties["containerName"])
        return found

    def secrets(self, scope: WorkspaceScope, name: str) -> dict[str, Any]:
        """What `listSecrets` answers. Raises UserError for a datastore without secrets, as Azure does."""
        properties = self._store.get(scope.child(f"datastores/{name}")).properties
        kind = (properties.get("credentials") or {}).get("credentialsType", "None")
        if kind != "AccountKey":
            raise UserError(f"The datastore '{name}' keeps no account key: its credentials are of type '{kind}'.")
        return {"secretsType": "AccountKey", "key": self._config.account_key}


def _default_containers(scope: WorkspaceScope, *, isolated: bool) -> dict[str, str]:
    """Container by datastore. The names with data isolation are those that isolated workspaces are seen to have."""
    if isolated:
        return {DEFAULT_DATASTORE: f"{scope.guid}-azureml-blobstore", ARTIFACT_DATASTORE: f"{scope.guid}-azureml"}
    return {DEFAULT_DATASTORE: scope.default_container, ARTIFACT_DATASTORE: "azureml"}
