"""Event Grid subscriptions: which events go to which trigger."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from shared.dead_letters import DEAD_LETTERS
from shared.errors import ProvisioningError
from shared.event_grid import BLOB_CREATED, RUN_EVENTS
from shared.provisioning.resource import Properties, Resource
from shared.provisioning.topics import EventTopic
from shared.provisioning.workspace import find_workspace
from shared.training import EXPORTS_FOLDER

if TYPE_CHECKING:
    from shared.clients import Clients

WEB_API_VERSION = "2024-04-01"
BLOBS_KEY = "blobs_extension"
# The writes that leave a complete blob behind:
# https://learn.microsoft.com/azure/event-grid/event-schema-blob-storage
COMPLETE_WRITES = ["PutBlob", "PutBlockList", "CopyBlob", "FlushWithClose"]
RETRY = {"maxDeliveryAttempts": 30, "eventTimeToLiveInMinutes": 1440}


class Subscription(Resource):
    """One event subscription. `_filter` and `_destination` are as in the REST API:
    https://learn.microsoft.com/rest/api/eventgrid/controlplane/system-topic-event-subscriptions/create-or-update
    """

    type = "event subscription"

    def __init__(self, clients: Clients, name: str, function: str, topic: EventTopic, *needs: Resource) -> None:
        super().__init__(name, [topic, *needs])
        self._clients = clients
        self._function = function
        self._topic = topic

    def desired(self) -> Properties:
        shown = {**_shown(self.document()), "state": "Succeeded"}
        return shown if self._key() is None else {**shown, "key": "current"}

    def actual(self) -> Properties | None:
        from azure.core.exceptions import ResourceNotFoundError

        subscriptions = self._clients.event_grid.system_topic_event_subscriptions
        place = (*self._topic.place(self._topic.find()), self.name)
        try:
            subscription = subscriptions.get(*place)
        except ResourceNotFoundError:
            return None
        found: dict[str, Any] = subscription.serialize()["properties"]
        state = {"state": str(subscription.provisioning_state)}
        if (found.get("destination") or {}).get("endpointType") != "WebHook":
            return {**_shown(found), **state}
        # What a subscription answers is without its URL's query, in which the key stands.
        url = str(subscriptions.get_full_url(*place).endpoint_url)
        found["destination"]["properties"] = {"endpointUrl": url}
        is_current = parse_qs(urlsplit(url).query).get("code") == [self._key()]
        return {**_shown(found), **state, "key": "current" if is_current else "outdated"}

    def make(self) -> None:
        from azure.mgmt.eventgrid.models import EventSubscription

        place = (*self._topic.place(self._topic.find()), self.name)
        document, key = self.document(), self._key()
        if key == "":
            raise ProvisioningError(
                f"{self.type} {self.name}",
                f"the function app has no system key {BLOBS_KEY} yet: its code must be deployed and have started once",
            )
        if key is not None:
            document["destination"]["properties"]["endpointUrl"] += f"&{urlencode({'code': key})}"
        subscription = EventSubscription.deserialize({"properties": document})
        subscriptions = self._clients.event_grid.system_topic_event_subscriptions
        if (self.actual() or {}).get("state") == "Failed":
            # One whose endpoint did not answer when it was made stays so: it has to be made anew.
            subscriptions.begin_delete(*place).result()
        subscriptions.begin_create_or_update(*place, subscription).result()

    def delete(self) -> None:
        found = self._topic.find()
        if found is not None:
            place = (*self._topic.place(found), self.name)
            self._clients.event_grid.system_topic_event_subscriptions.begin_delete(*place).result()

    def document(self) -> dict[str, Any]:
        """As the REST API has it, but without the key."""
        return {
            "destination": self._destination(),
            "filter": self._filter(),
            "eventDeliverySchema": "EventGridSchema",
            "retryPolicy": RETRY,
            "deadLetterWithResourceIdentity": {
                "identity": {"type": "SystemAssigned"},
                "deadLetterDestination": {
                    "endpointType": "StorageBlob",
                    "properties": {
                        "resourceId": self._clients.account_resource_id,
                        "blobContainerName": DEAD_LETTERS,
                    },
                },
            },
        }

    def _key(self) -> str | None:
        """The key that the destination wants, empty while there is none; None where Event Grid knows it by itself."""
        return None

    def _destination(self) -> dict[str, Any]:
        function = f"{self._clients.function_app_id}/functions/{self._function}"
        return {"endpointType": "AzureFunction", "properties": {"resourceId": function}}

    @abstractmethod
    def _filter(self) -> dict[str, Any]: ...


class LabelExports(Subscription):
    """Label exports, which land in the container of the workspace's default datastore."""

    def _filter(self) -> dict[str, Any]:
        container = default_container(self._clients) or "(the workspace's default container)"
        return _blobs(f"{container}/blobs/{EXPORTS_FOLDER}")


class Images(Subscription):
    """New images that are not too large: to the blob extension's own endpoint, which wants its own key
    (https://learn.microsoft.com/azure/azure-functions/functions-event-grid-blob-trigger).
    """

    def _filter(self) -> dict[str, Any]:
        settings = self._clients.settings
        size = {"operatorType": "NumberLessThanOrEquals", "key": "data.contentLength", "value": _limit(self._clients)}
        return _blobs(f"{settings.images_container}/blobs/", size)

    def _key(self) -> str:
        app = self._clients.function_app_id
        keys = self._clients.ask_resource_manager("POST", f"{app}/host/default/listKeys", WEB_API_VERSION)
        return str((keys.get("systemKeys") or {}).get(BLOBS_KEY) or "")

    def _destination(self) -> dict[str, Any]:
        query = urlencode({"functionName": f"Host.Functions.{self._function}"})
        url = f"https://{self._clients.function_app_hostname}/runtime/webhooks/blobs?{query}"
        return {"endpointType": "WebHook", "properties": {"endpointUrl": url}}


class LargeImages(Subscription):
    """New images that are too large."""

    def _filter(self) -> dict[str, Any]:
        size = {"operatorType": "NumberGreaterThan", "key": "data.contentLength", "value": _limit(self._clients)}
        return _blobs(f"{self._clients.settings.images_container}/blobs/", size)


class JobEvents(Subscription):
    """Jobs that have ended."""

    def _filter(self) -> dict[str, Any]:
        return {"includedEventTypes": list(RUN_EVENTS)}


def default_container(clients: Clients) -> str | None:
    """The container of the workspace's default datastore, None while there is no workspace."""
    if find_workspace(clients) is None:
        return None
    return str(clients.ml.datastores.get_default().container_name)


def _limit(clients: Clients) -> float:
    return float(clients.settings.max_image_megabytes * 1_000_000)


def _blobs(below: str, *more: Mapping[str, Any]) -> dict[str, Any]:
    """Complete blobs below `<container>/blobs/…`. Without "/blobs/" the prefix would also match a container whose name
    only starts so.
    """
    complete = {"operatorType": "StringIn", "key": "data.api", "values": COMPLETE_WRITES}
    return {
        "includedEventTypes": [BLOB_CREATED],
        "subjectBeginsWith": f"/blobServices/default/containers/{below}",
        "advancedFilters": [complete, *more],
    }


def _shown(document: Mapping[str, Any]) -> dict[str, Any]:
    """What of a subscription is compared and shown: without keys, and without what Azure adds by itself."""
    given = document.get("filter") or {}
    dead = (document.get("deadLetterWithResourceIdentity") or {}).get("deadLetterDestination") or {}
    inner = (document.get("destination") or {}).get("properties") or {}
    url = urlsplit(inner.get("endpointUrl") or "")
    function = parse_qs(url.query).get("functionName", [""])[0]
    return {
        "destination": inner.get("resourceId") or f"{url.scheme}://{url.netloc}{url.path}?functionName={function}",
        "event_types": sorted(given.get("includedEventTypes") or ()),
        "subject_begins_with": given.get("subjectBeginsWith") or "",
        "filters": [
            {key: each[key] for key in ("operatorType", "key", "value", "values") if key in each}
            for each in given.get("advancedFilters") or []
        ],
        "schema": document.get("eventDeliverySchema"),
        "retry": {name: (document.get("retryPolicy") or {}).get(name) for name in RETRY},
        "dead_letters": (dead.get("properties") or {}).get("blobContainerName"),
    }
