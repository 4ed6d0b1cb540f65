"""Event subscriptions of system and custom topics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from local.cloud.errors import BadRequestError
from local.cloud.eventgrid import filters
from local.cloud.eventgrid.destinations import Destinations, Endpoint
from local.cloud.eventgrid.events import EventLog
from local.cloud.eventgrid.schemas import CLOUD_EVENTS, EVENT_GRID, SCHEMAS
from local.cloud.resources import Json, Resource, ResourceStore

# Defaults and limits: learn.microsoft.com, "Event Grid message delivery and retry".
MAX_ATTEMPTS, MAX_MINUTES = 30, 1440

FAILED = "Failed"

Handshake = Callable[[Endpoint, str, str, str], Awaitable[None]]
# Whether a principal (its object id) may do something (an action of the data plane) at a scope (an ARM id).
May = Callable[[str, str, str], bool]
WRITE_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write"


class Subscriptions:
    """Creates, changes and deletes subscriptions."""

    def __init__(
        self,
        store: ResourceStore,
        events: EventLog,
        destinations: Destinations,
        handshake: Handshake,
        may: May,
    ) -> None:
        self._store = store
        self._events = events
        self._destinations = destinations
        self._handshake = handshake
        self._may = may

    def delete(self, subscription_id: str) -> bool:
        """Delete a subscription; its deliveries still under way are dropped."""
        deleted = self._store.delete(subscription_id)
        self._events.topics_changed()
        return deleted

    async def put(self, topic_id: str, name: str, body: Json) -> Resource:
        """Create or replace a subscription of a topic, once its endpoint has agreed to it.

        Raises NotFoundError without the topic, BadRequestError for a bad filter, schema, destination, dead-letter
        destination or handshake.
        """
        topic = self._store.get(topic_id)
        properties = _with_defaults(body.get("properties") or {}, topic)
        filters.check(properties["filter"])
        destination = properties.get("destination") or {}
        self._destinations.check(destination)
        _check_dead_letter(properties, topic, self._may)
        endpoint = self._destinations.endpoint(destination)
        source = str(topic.properties.get("source") or topic.id)
        subscription_id = f"{topic.id}/eventSubscriptions/{name}"
        properties.update(provisioningState="Succeeded", topic=source)
        try:
            await self._handshake(endpoint, source, name, properties["eventDeliverySchema"])
        except BadRequestError:
            if self._store.find(subscription_id) is None:
                # Azure keeps it, and delivers nothing to it: https://github.com/Azure/azure-sdk-for-net/issues/51014
                self._store.put(subscription_id, {"properties": {**properties, "provisioningState": FAILED}})
            raise
        resource = self._store.put(subscription_id, {"properties": properties})
        self._events.topics_changed()
        return resource

    async def patch(self, topic_id: str, name: str, body: Json) -> Resource:
        """Change parts of a subscription (EventSubscriptionUpdateParameters). Raises NotFoundError, and as `put`."""
        existing = self._store.get(f"{topic_id}/eventSubscriptions/{name}")
        changed = {key: value for key, value in body.items() if value is not None}
        return await self.put(topic_id, name, {"properties": {**existing.properties, **changed}})

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


def _with_defaults(given: Json, topic: Resource) -> Json:
    properties: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    taken = topic.properties.get("inputSchema") or EVENT_GRID
    schema = properties.setdefault("eventDeliverySchema", taken)
    if schema not in SCHEMAS or (taken, schema) == (CLOUD_EVENTS, EVENT_GRID):
        raise BadRequestError(
            f"Events that come in the schema '{taken}' cannot be delivered in the schema '{schema}' here.",
            code="InvalidRequest",
        )
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


def _check_dead_letter(properties: Json, topic: Resource, may: May) -> None:
    """With an identity, which is the topic's own, Event Grid asks at once whether it may write:
    https://learn.microsoft.com/azure/event-grid/managed-service-identity
    """
    with_identity = properties.get("deadLetterWithResourceIdentity") or {}
    destination = properties.get("deadLetterDestination") or with_identity.get("deadLetterDestination")
    if destination is None:
        return
    inner = destination.get("properties") or {}
    account, container = inner.get("resourceId"), inner.get("blobContainerName")
    if destination.get("endpointType") != "StorageBlob" or not account or not container:
        raise BadRequestError(
            "The dead-letter destination must be a StorageBlob with a resourceId and a blobContainerName.",
            code="InvalidRequest",
        )
    if not with_identity:
        return
    principal = _principal(with_identity.get("identity") or {}, topic)
    if not may(principal, WRITE_BLOBS, f"{account}/blobServices/default/containers/{container}"):
        raise BadRequestError(
            f"The identity '{principal}' of the topic '{topic.name}' may not write dead letters to the container "
            f"'{container}' of '{account}'. Grant it the role Storage Blob Data Contributor there.",
            code="InvalidRequest",
        )


def _principal(wanted: Json, topic: Resource) -> str:
    """The object id of the identity that is to be used. Raises BadRequestError unless the topic has it."""
    identity = topic.body.get("identity") or {}
    if wanted.get("type") == "UserAssigned":
        users = {user.lower(): ids for user, ids in (identity.get("userAssignedIdentities") or {}).items()}
        found = users.get(str(wanted.get("userAssignedIdentity")).lower(), {}).get("principalId")
    else:
        found = identity.get("principalId")
    if found is None:
        raise BadRequestError(
            f"The dead-letter destination wants an identity of type '{wanted.get('type')}', but the topic "
            f"'{topic.name}' has the identity type '{identity.get('type') or 'None'}'.",
            code="InvalidRequest",
        )
    return str(found)
