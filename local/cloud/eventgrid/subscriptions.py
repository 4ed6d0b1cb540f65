"""System topics and their event subscriptions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from local.cloud.errors import BadRequestError, NotFoundError
from local.cloud.eventgrid import filters
from local.cloud.eventgrid.destinations import Destinations, Endpoint
from local.cloud.eventgrid.events import EventLog
from local.cloud.resources import Json, Resource, ResourceStore
from local.cloud.rules.ids import GroupScope

TOPIC_TYPES = {
    "microsoft.storage.storageaccounts": "microsoft.storage/storageaccounts",
    "microsoft.machinelearningservices.workspaces": "microsoft.machinelearningservices/workspaces",
}
# Defaults and limits: learn.microsoft.com, "Event Grid message delivery and retry".
MAX_ATTEMPTS, MAX_MINUTES = 30, 1440

Handshake = Callable[[Endpoint, str, str], Awaitable[None]]


class Subscriptions:
    """Creates, changes and deletes topics and subscriptions."""

    def __init__(
        self, store: ResourceStore, events: EventLog, destinations: Destinations, handshake: Handshake
    ) -> None:
        self._store = store
        self._events = events
        self._destinations = destinations
        self._handshake = handshake

    def topic_id(self, scope: GroupScope, topic: str) -> str:
        return scope.provider(f"Microsoft.EventGrid/systemTopics/{topic}")

    def put_topic(self, scope: GroupScope, name: str, body: Json) -> Resource:
        """Raises BadRequestError for an unknown topic type, a source of another type, or a second topic of a source."""
        properties = dict(body.get("properties") or {})
        source, kind = str(properties.get("source") or ""), str(properties.get("topicType") or "")
        wanted = TOPIC_TYPES.get(kind.lower())
        if wanted is None:
            raise BadRequestError(f"The topic type '{kind}' is not known to the local cloud.", code="InvalidRequest")
        if f"/{wanted}/" not in source.lower():
            raise BadRequestError(f"The source '{source}' is not of the topic type '{kind}'.", code="InvalidRequest")
        topic_id = self.topic_id(scope, name)
        for other in self._store.children(topic_id.rsplit("/", 1)[0]):
            same = str(other.properties.get("source", "")).lower() == source.lower()
            if same and other.id.lower() != topic_id.lower():
                raise BadRequestError(
                    f"The source '{source}' already has the system topic '{other.name}'; only one is allowed.",
                    code="InvalidRequest",
                )
        properties.update(provisioningState="Succeeded", metricResourceId=name)
        kept: Json = {"location": body.get("location"), "tags": body.get("tags"), "properties": properties}
        if body.get("identity"):
            kept["identity"] = body["identity"]
        resource = self._store.put(topic_id, kept)
        self._events.topics_changed()
        return resource

    def patch_topic(self, scope: GroupScope, name: str, body: Json) -> Resource:
        resource = self._store.get(self.topic_id(scope, name))
        changed: Json = {key: body[key] for key in ("tags", "identity") if key in body}
        return self._store.put(resource.id, {**resource.body, **changed})

    def delete(self, resource_id: str) -> bool:
        """Delete a topic (with its subscriptions) or a subscription; deliveries still under way are dropped."""
        deleted = self._store.delete(resource_id)
        self._events.topics_changed()
        return deleted

    async def put(self, scope: GroupScope, topic: str, name: str, body: Json) -> Resource:
        """Create or replace a subscription, once its endpoint has agreed to it.

        Raises NotFoundError without the topic, BadRequestError for a bad filter, destination or handshake.
        """
        topic_resource = self._store.find(self.topic_id(scope, topic))
        if topic_resource is None:
            raise NotFoundError(f"The system topic '{topic}' does not exist.")
        properties = _with_defaults(body.get("properties") or {})
        filters.check(properties["filter"])
        destination = properties.get("destination") or {}
        self._destinations.check(destination)
        _check_dead_letter(properties)
        endpoint = self._destinations.endpoint(destination)
        await self._handshake(endpoint, str(topic_resource.properties["source"]), name)
        properties.update(provisioningState="Succeeded", topic=topic_resource.properties["source"])
        resource = self._store.put(f"{topic_resource.id}/eventSubscriptions/{name}", {"properties": properties})
        self._events.topics_changed()
        return resource

    async def patch(self, scope: GroupScope, topic: str, name: str, body: Json) -> Resource:
        """Change parts of a subscription (EventSubscriptionUpdateParameters). Raises NotFoundError."""
        existing = self._store.get(f"{self.topic_id(scope, topic)}/eventSubscriptions/{name}")
        changed = {key: value for key, value in body.items() if value is not None}
        return await self.put(scope, topic, name, {"properties": {**existing.properties, **changed}})

    def full_url(self, resource: Resource) -> str:
        """What getFullUrl answers for a webhook. Raises BadRequestError for other destinations."""
        destination = resource.properties.get("destination") or {}
        if destination.get("endpointType") != "WebHook":
            raise BadRequestError("Only webhook destinations have a full URL.", code="InvalidRequest")
        return str(destination["properties"]["endpointUrl"])


def public_document(resource: Resource) -> Json:
    """A subscription as ARM answers it: a webhook shows its base URL alone, since the query carries a key."""
    document = resource.document()
    properties = dict(resource.properties)
    destination = dict(properties.get("destination") or {})
    if destination.get("endpointType") == "WebHook":
        inner = dict(destination["properties"])
        inner["endpointBaseUrl"] = str(inner.pop("endpointUrl")).partition("?")[0]
        destination["properties"] = inner
        properties["destination"] = destination
    document["properties"] = properties
    return document


def _with_defaults(given: Json) -> Json:
    properties: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    schema = properties.setdefault("eventDeliverySchema", "EventGridSchema")
    if schema != "EventGridSchema":
        raise BadRequestError(f"The local cloud delivers in EventGridSchema, not in '{schema}'.", code="InvalidRequest")
    subscription_filter = dict(properties.get("filter") or {})
    subscription_filter.setdefault("subjectBeginsWith", "")
    subscription_filter.setdefault("subjectEndsWith", "")
    properties["filter"] = subscription_filter
    retry = {"maxDeliveryAttempts": MAX_ATTEMPTS, "eventTimeToLiveInMinutes": MAX_MINUTES}
    retry.update({key: value for key, value in (properties.get("retryPolicy") or {}).items() if value is not None})
    for key, most in (("maxDeliveryAttempts", MAX_ATTEMPTS), ("eventTimeToLiveInMinutes", MAX_MINUTES)):
        if not 1 <= int(retry[key]) <= most:
            raise BadRequestError(f"{key} is {retry[key]}; it must be from 1 to {most}.", code="InvalidRequest")
    properties["retryPolicy"] = retry
    return properties


def _check_dead_letter(properties: Json) -> None:
    for key in ("deadLetterDestination", "deadLetterWithResourceIdentity"):
        destination = properties.get(key)
        if not destination:
            continue
        inner = destination if key == "deadLetterDestination" else destination.get("deadLetterDestination") or {}
        if inner.get("endpointType") != "StorageBlob" or not (inner.get("properties") or {}).get("blobContainerName"):
            raise BadRequestError("The dead-letter destination must be a StorageBlob with a blobContainerName.")
