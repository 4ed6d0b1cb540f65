"""The Azure Machine Learning workspace and what is in it: datastores, environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shared.cluster import ENVIRONMENT_NAME, cluster_environment
from shared.locations import datastore_name
from shared.provisioning.resource import TAGS, Properties, Resource

if TYPE_CHECKING:
    from azure.ai.ml.entities import Workspace

    from shared.clients import Clients


def find_workspace(clients: Clients) -> Workspace | None:
    """The workspace, or None."""
    from azure.core.exceptions import ResourceNotFoundError

    try:
        return clients.ml.workspaces.get(clients.settings.azureml_workspace_name)
    except ResourceNotFoundError:
        return None


def region_name(location: str | None) -> str:
    """A region's short name: Azure also shows `West Europe` for westeurope."""
    return (location or "").replace(" ", "").lower()


class MachineLearningWorkspace(Resource):
    """The workspace. One that others made is used as it is, provided that its exports land in the data account."""

    type = "workspace"
    fixed = frozenset({"location", "storage_account"})
    is_foreign_in_conflict = True

    def __init__(self, clients: Clients) -> None:
        super().__init__(clients.settings.azureml_workspace_name)
        self._clients = clients

    @property
    def remedy(self) -> str:
        return (
            "label exports land in the workspace's own storage account: set DATA_STORAGE and AZURE_LOCATION to the "
            "workspace's, or choose another AZUREML_WORKSPACE_NAME"
        )

    def desired(self) -> Properties:
        return {
            "location": self._clients.settings.azure_location,
            "storage_account": self._clients.account_resource_id,
        }

    def actual(self) -> Properties | None:
        found = find_workspace(self._clients)
        if found is None:
            return None
        return {"location": region_name(found.location), "storage_account": str(found.storage_account)}

    def make(self) -> None:
        from azure.ai.ml.entities import Workspace

        settings = self._clients.settings
        workspace = Workspace(
            name=self.name,
            location=settings.azure_location,
            storage_account=self._clients.account_resource_id,
            key_vault=settings.key_vault_resource_id or None,
            application_insights=settings.application_insights_resource_id or None,
            container_registry=settings.container_registry_resource_id or None,
            enable_data_isolation=settings.workspace_data_isolation,
            # The account's shared keys may be off.
            system_datastores_auth_mode="identity",
            tags=dict(TAGS),
        )
        self._clients.ml.workspaces.begin_create(workspace).result()

    def delete(self) -> None:
        if find_workspace(self._clients) is not None:
            # Its storage account, key vault and Application Insights are not its own.
            self._clients.ml.workspaces.begin_delete(self.name, delete_dependent_resources=False).result()


class Datastore(Resource):
    """A datastore that shows one of the app's containers, without credentials: whoever reads has an identity."""

    type = "datastore"
    fixed = frozenset({"account", "container"})

    def __init__(self, clients: Clients, container: str, needs: Sequence[Resource]) -> None:
        super().__init__(datastore_name(container), needs)
        self._clients = clients
        self._container = container

    @property
    def remedy(self) -> str:
        return (
            f"it may be somebody else's: give the container another name in the settings, or DELETE "
            f"/api/provision/{self.id} (no data is lost) and provision again"
        )

    def desired(self) -> Properties:
        return {"account": self._clients.account_name, "container": self._container, "credentials": "none"}

    def actual(self) -> Properties | None:
        found = self._found()
        if found is None:
            return None
        credentials = type(getattr(found, "credentials", None)).__name__
        return {
            "account": getattr(found, "account_name", None),
            "container": getattr(found, "container_name", None),
            "credentials": "none" if credentials in {"NoneType", "NoneCredentialConfiguration"} else credentials,
        }

    def make(self) -> None:
        from azure.ai.ml.entities import AzureBlobDatastore

        self._clients.ml.datastores.create_or_update(
            AzureBlobDatastore(
                name=self.name,
                account_name=self._clients.account_name,
                container_name=self._container,
                description="LabelLoop",
                tags=dict(TAGS),
            )
        )

    def delete(self) -> None:
        if self._found() is not None:
            self._clients.ml.datastores.delete(self.name)

    def _found(self) -> Any | None:
        from azure.core.exceptions import ResourceNotFoundError

        try:
            return self._clients.ml.datastores.get(self.name)
        except ResourceNotFoundError:
            return None


class ClusterEnvironment(Resource):
    """The Python environment of the cluster's steps. Its version is a hash of its content."""

    type = "environment"

    def __init__(self, clients: Clients, workspace: Resource) -> None:
        super().__init__(ENVIRONMENT_NAME, [workspace])
        self._clients = clients

    def desired(self) -> Properties:
        wanted = cluster_environment()
        return {"version": wanted.version, "image": wanted.image}

    def actual(self) -> Properties | None:
        from azure.core.exceptions import ResourceNotFoundError

        wanted = cluster_environment()
        try:
            found = self._clients.ml.environments.get(wanted.name, wanted.version)
        except ResourceNotFoundError:
            return None
        return {"version": found.version, "image": found.image}

    def make(self) -> None:
        self._clients.ml.environments.create_or_update(cluster_environment())

    @property
    def deletion(self) -> str:
        return "Azure ML only archives environments: `az ml environment archive`"
