"""System topics, which a resource of Azure publishes to, and custom topics, which anyone with the right to may."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Any

from local.cloud.errors import BadRequestError, NotFoundError
from local.cloud.eventgrid.events import CUSTOM_TYPE, SYSTEM_TYPE, EventLog
from local.cloud.eventgrid.schemas import CLOUD_EVENTS, EVENT_GRID, SCHEMAS, check_event
from local.cloud.resources import Json, Resource, ResourceStore
from local.cloud.rules.identities import answered_identity
from local.cloud.rules.ids import GroupScope
from local.cloud.rules.regions import region_name, require_region
from local.config import StackConfig

SOURCES = {
    "microsoft.storage.storageaccounts": "microsoft.storage/storageaccounts",
    "microsoft.machinelearningservices.workspaces": "microsoft.machinelearningservices/workspaces",
}
# https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
_NAME = re.compile(r"^[a-zA-Z0-9-]{3,50}$")


class Topics:
    """Creates, changes and deletes topics, and takes what is published to custom ones."""

    def __init__(self, store: ResourceStore, events: EventLog, config: StackConfig) -> None:
        self._store = store
        self._events = events
        self._config = config

    def put_system(self, scope: GroupScope, name: str, body: Json) -> Resource:
        """Raises BadRequestError for a bad name, an unknown topic type, a source of another type, or a second topic of
        a source."""
        _check_name(name)
        properties = dict(body.get("properties") or {})
        source, kind = str(properties.get("source") or ""), str(properties.get("topicType") or "")
        wanted = SOURCES.get(kind.lower())
        if wanted is None:
            raise BadRequestError(f"The topic type '{kind}' is not known to the local cloud.", code="InvalidRequest")
        if f"/{wanted}/" not in source.lower():
            raise BadRequestError(f"The source '{source}' is not of the topic type '{kind}'.", code="InvalidRequest")
        topic_id = scope.provider(f"{SYSTEM_TYPE}/{name}")
        for other in self._of_type(SYSTEM_TYPE):
            same = str(other.properties.get("source", "")).lower() == source.lower()
            if same and other.id.lower() != topic_id.lower():
                raise BadRequestError(
                    f"There is an existing tracked system topic for the given source {source}. "
                    "Only one system topic is allowed per source.",
                    code="InvalidRequest",
                )
        properties.update(provisioningState="Succeeded", metricResourceId=name)
        return self._keep(topic_id, body, properties)

    def put_custom(self, scope: GroupScope, name: str, body: Json) -> Resource:
        """Raises BadRequestError for a bad name, a schema that is not known, and a name taken in the region: it is part
        of the endpoint's host name."""
        _check_name(name)
        location = region_name(str(body.get("location") or ""))
        require_region(location, CUSTOM_TYPE)
        topic_id = scope.provider(f"{CUSTOM_TYPE}/{name}")
        for other in self._of_type(CUSTOM_TYPE):
            same = other.name.lower() == name.lower() and region_name(other.body["location"]) == location
            if same and other.id.lower() != topic_id.lower():
                raise BadRequestError(f"The topic name '{name}' is taken in '{location}'.", code="InvalidRequest")
        properties = dict(body.get("properties") or {})
        schema = properties.setdefault("inputSchema", EVENT_GRID)
        if schema not in SCHEMAS:
            raise BadRequestError(
                f"The input schema '{schema}' is not known to the local cloud; {', '.join(SCHEMAS)} are.",
                code="InvalidRequest",
            )
        properties.setdefault("publicNetworkAccess", "Enabled")
        properties.setdefault("disableLocalAuth", False)
        properties.update(provisioningState="Succeeded", metricResourceId=name)
        return self._keep(topic_id, body, properties)

    def patch(self, topic_id: str, body: Json) -> Resource:
        """Change tags, identity and properties of a topic. Raises NotFoundError."""
        resource = self._store.get(topic_id)
        changed = {key: body[key] for key in ("tags", "identity") if body.get(key) is not None}
        return self._keep(
            topic_id, {**resource.body, **changed}, {**resource.properties, **(body.get("properties") or {})}
        )

    def delete(self, topic_id: str) -> None:
        """Delete a topic and its subscriptions; deliveries still under way are dropped."""
        self._store.delete(topic_id)
        self._events.topics_changed()

    def document(self, topic: Resource) -> Json:
        """A topic as ARM answers it, with this start's URLs."""
        document = topic.document()
        if topic.type.lower() == CUSTOM_TYPE.lower():
            endpoint = f"{self._config.arm_url}/eventgrid/topics/{topic.name}/api/events"
            document["properties"] = {**topic.properties, "endpoint": endpoint}
        return document

    def keys(self, topic: Resource) -> Json:
        """The two keys with which a custom topic may be published to."""
        return {name: self._key(topic, name) for name in ("key1", "key2")}

    def custom(self, name: str) -> Resource:
        """The custom topic of that name. Raises NotFoundError."""
        for topic in self._of_type(CUSTOM_TYPE):
            if topic.name.lower() == name.lower():
                return topic
        raise NotFoundError(f"The topic '{name}' does not exist.")

    def is_key(self, topic: Resource, given: str) -> bool:
        """Whether one of the topic's keys is given, and keys are not switched off."""
        if topic.properties["disableLocalAuth"]:
            return False
        return any(hmac.compare_digest(key.encode(), given.encode()) for key in self.keys(topic).values())

    def publish(self, topic: Resource, content_type: str, body: Any) -> None:
        """Take one event or a list. All or none: raises BadRequestError when one is not of the topic's schema."""
        schema = str(topic.properties["inputSchema"])
        given = CLOUD_EVENTS if "cloudevents" in content_type else EVENT_GRID
        if given != schema:
            raise BadRequestError(f"The topic takes events of the schema {schema}; '{content_type}' is not.")
        events = body if isinstance(body, list) else [body]
        for event in events:
            check_event(event, schema)
        with self._store.transaction():
            for event in events:
                own = {"topic": topic.id, "metadataVersion": "1"} if schema == EVENT_GRID else {}
                self._events.publish_event(topic.id, {**event, **own})

    def _keep(self, topic_id: str, body: Json, properties: Json) -> Resource:
        kept: Json = {"location": body.get("location"), "tags": body.get("tags"), "properties": properties}
        identity = body.get("identity") or {}
        if identity.get("type") not in (None, "None"):
            kept["identity"] = answered_identity(identity, topic_id, self._config.tenant_id)
        resource = self._store.put(topic_id, kept)
        self._events.topics_changed()
        return resource

    def _of_type(self, kind: str) -> list[Resource]:
        return [each for each in self._store.below("/subscriptions") if each.type.lower() == kind.lower()]

    def _key(self, topic: Resource, name: str) -> str:
        secret = self._config.identity_header.encode()
        return base64.b64encode(hmac.digest(secret, f"{topic.id}/{name}".lower().encode(), hashlib.sha256)).decode()


def _check_name(name: str) -> None:
    if not _NAME.match(name):
        raise BadRequestError(
            f"The topic name '{name}' is invalid. It must have 3 to 50 letters, digits and hyphens.",
            code="InvalidRequest",
        )
