"""Datastores of a workspace: the four that Azure ML makes, and those that people add."""

from __future__ import annotations

from typing import Any

from local.cloud.errors import BadRequestError, NotFoundError, UserError
from local.cloud.resources import Json, Resource, ResourceStore
from local.cloud.rules.ids import WorkspaceScope
from local.config import StackConfig

DEFAULT_DATASTORE = "workspaceblobstore"
ARTIFACT_DATASTORE = "workspaceartifactstore"
ARTIFACT_CONTAINER = "azureml"


class Datastores:
    """Reads and writes the datastores of workspaces."""

    def __init__(self, store: ResourceStore, config: StackConfig) -> None:
        self._store = store
        self._config = config

    @property
    def _endpoint(self) -> str:
        return f"127.0.0.1:{self._config.ports['blob']}"

    def default_containers(self, scope: WorkspaceScope) -> list[str]:
        """The blob containers that a new workspace needs."""
        return [scope.default_container, ARTIFACT_CONTAINER]

    def create_defaults(self, scope: WorkspaceScope) -> None:
        """The datastores that Azure ML makes with a workspace."""
        blobs = {DEFAULT_DATASTORE: scope.default_container, ARTIFACT_DATASTORE: ARTIFACT_CONTAINER}
        for name, container in blobs.items():
            body = self._blob(container, default=name == DEFAULT_DATASTORE)
            self._store.put(scope.child(f"datastores/{name}"), body)
        shares = {"workspacefilestore": "azureml-filestore", "workspaceworkingdirectory": "code"}
        for name, share in shares.items():
            properties = {
                **self._blob("", default=False)["properties"],
                "datastoreType": "AzureFile",
                "fileShareName": f"{share}-{scope.guid}",
            }
            del properties["containerName"]
            self._store.put(scope.child(f"datastores/{name}"), {"properties": properties})

    def _blob(self, container: str, *, default: bool) -> Json:
        return {
            "properties": {
                "datastoreType": "AzureBlob",
                "accountName": self._config.account_name,
                "containerName": container,
                "endpoint": self._endpoint,
                "protocol": "https",
                "credentials": {"credentialsType": "None"},
                "serviceDataAccessAuthIdentity": "WorkspaceSystemAssignedIdentity",
                "isDefault": default,
                "tags": {},
                "properties": {},
                "description": None,
            }
        }

    def put(self, scope: WorkspaceScope, name: str, body: Json) -> Resource:
        """Create or update. Keys and tokens in the body are dropped: the answer never carries them."""
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
