"""Event Grid system topics: the sources of the events that trigger the app."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from shared.errors import ConflictError
from shared.provisioning.resource import TAGS, Properties, Resource, same
from shared.provisioning.workspace import region_name

if TYPE_CHECKING:
    from azure.mgmt.eventgrid.models import SystemTopic

    from shared.clients import Clients

STORAGE_TOPIC_TYPE = "Microsoft.Storage.StorageAccounts"
WORKSPACE_TOPIC_TYPE = "Microsoft.MachineLearningServices.Workspaces"
STORAGE_API_VERSION = "2023-05-01"


class EventTopic(Resource):
    """The system topic of one source.

    A source has at most one (https://learn.microsoft.com/azure/event-grid/system-topics), so one that exists is used,
    whatever its name. Its system-assigned identity writes the dead letters: no other kind passes a storage firewall
    (https://learn.microsoft.com/azure/event-grid/handler-storage-queues).
    """

    type = "system topic"
    fixed = frozenset({"source"})
    is_foreign_in_conflict = True
    topic_type: str

    def __init__(self, clients: Clients, name: str, *needs: Resource) -> None:
        # 3 to 50 letters, digits and hyphens:
        # https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsofteventgrid
        super().__init__(f"labelloop-{name.replace('_', '-')}", needs)
        self._clients = clients

    @property
    @abstractmethod
    def source(self) -> str:
        """ARM id of what the events are about."""

    @abstractmethod
    def _location(self) -> str:
        """The source's region, in which its topic has to be."""

    @property
    def remedy(self) -> str:
        return f"another source's topic has the name {self.name}: delete that one, or use another resource group"

    def desired(self) -> Properties:
        return {"source": self.source, "identity": "SystemAssigned", "state": "Succeeded"}

    def actual(self) -> Properties | None:
        found = self.find()
        if found is None:
            return self._of_that_name()
        identity = str(found.identity.type if found.identity else "None")
        return {
            "source": str(found.source),
            "identity": "SystemAssigned" if "SystemAssigned" in identity else identity,
            "state": str(found.provisioning_state),
            "name": str(found.name),
        }

    def make(self) -> None:
        from azure.mgmt.eventgrid.models import IdentityInfo, SystemTopic

        found = self.find()
        assigned = dict((found.identity.user_assigned_identities if found and found.identity else None) or {})
        identity = IdentityInfo(
            type="SystemAssigned, UserAssigned" if assigned else "SystemAssigned",
            user_assigned_identities=assigned or None,
        )
        group, name = self.place(found)
        topic = SystemTopic(
            location=found.location if found else self._location(),
            source=self.source,
            topic_type=self.topic_type,
            identity=identity,
            tags={**((found.tags if found else None) or {}), **TAGS},
        )
        self._clients.event_grid.system_topics.begin_create_or_update(group, name, topic).result()

    def delete(self) -> None:
        found = self.find()
        if found is None:
            return
        if found.name != self.name:
            raise ConflictError(f"the source's system topic is {found.name}, which others made: delete it in Azure")
        self._clients.event_grid.system_topics.begin_delete(*self.place(found)).result()

    def find(self) -> SystemTopic | None:
        """The source's topic: in the app's resource group, or in the source's own."""
        groups = dict.fromkeys((self._clients.settings.azure_resource_group, self.source.split("/")[4]))
        for group in groups:
            for topic in self._clients.event_grid.system_topics.list_by_resource_group(group):
                if same(str(topic.source), self.source):
                    return topic
        return None

    def place(self, found: SystemTopic | None) -> tuple[str, str]:
        """Resource group and name: those of the topic that exists, else those that it is going to have."""
        if found is None:
            return self._clients.settings.azure_resource_group, self.name
        return str(found.id).split("/")[4], str(found.name)

    def _of_that_name(self) -> Properties | None:
        from azure.core.exceptions import ResourceNotFoundError

        try:
            other = self._clients.event_grid.system_topics.get(*self.place(None))
        except ResourceNotFoundError:
            return None
        return {"source": str(other.source), "name": self.name}


class StorageTopic(EventTopic):
    """Blobs in the data account."""

    topic_type = STORAGE_TOPIC_TYPE

    def __init__(self, clients: Clients) -> None:
        super().__init__(clients, clients.account_name)

    @property
    def source(self) -> str:
        return self._clients.account_resource_id

    def _location(self) -> str:
        account = self._clients.ask_resource_manager("GET", self.source, STORAGE_API_VERSION)
        return region_name(account["location"])


class WorkspaceTopic(EventTopic):
    """Jobs in the workspace."""

    topic_type = WORKSPACE_TOPIC_TYPE

    def __init__(self, clients: Clients, workspace: Resource) -> None:
        super().__init__(clients, clients.settings.azureml_workspace_name, workspace)

    @property
    def source(self) -> str:
        return self._clients.settings.workspace_id

    def _location(self) -> str:
        return self._clients.settings.azure_location
