"""System topics and event subscriptions."""

from __future__ import annotations

from local.cloud.eventgrid.subscriptions import Subscriptions, public_document
from local.cloud.resources import ResourceStore
from local.cloud.wire.http import Json, Reply, Request, Route
from local.cloud.wire.lists import list_reply
from local.cloud.wire.operations import Operations
from local.cloud.wire.workspace_routes import GROUP
from local.config import StackConfig

PROVIDER = "Microsoft.EventGrid"
TOPICS = f"{GROUP}/providers/{PROVIDER}/systemTopics"


def eventgrid_routes(
    store: ResourceStore, subscriptions: Subscriptions, operations: Operations, config: StackConfig
) -> list[Route]:
    """Subscriptions are made in the background, since their endpoint is asked first; clients poll the operation."""
    base = config.arm_url

    def topic_id(request: Request) -> str:
        return subscriptions.topic_id(request.group, request.params["topic"])

    def subscription_id(request: Request) -> str:
        return f"{topic_id(request)}/eventSubscriptions/{request.params['name']}"

    async def put_topic(request: Request) -> Reply:
        is_new = store.find(topic_id(request)) is None
        resource = subscriptions.put_topic(request.group, request.params["topic"], request.document)
        return Reply(resource.document(), 201 if is_new else 200)

    async def patch_topic(request: Request) -> Reply:
        return Reply(subscriptions.patch_topic(request.group, request.params["topic"], request.document).document())

    async def get_topic(request: Request) -> Reply:
        return Reply(store.get(topic_id(request)).document())

    async def list_topics(request: Request) -> Reply:
        found = store.children(request.group.provider(f"{PROVIDER}/systemTopics"))
        return list_reply(request, base, [resource.document() for resource in found])

    async def list_topics_in_subscription(request: Request) -> Reply:
        below = store.below(f"/subscriptions/{request.params['subscription']}")
        wanted = f"{PROVIDER}/systemTopics".lower()
        return list_reply(request, base, [r.document() for r in below if r.type.lower() == wanted])

    async def delete_topic(request: Request) -> Reply:
        return Reply(status=200 if subscriptions.delete(topic_id(request)) else 204)

    async def put(request: Request) -> Reply:
        store.get(topic_id(request))
        work = subscriptions.put(request.group, request.params["topic"], request.params["name"], request.document)
        return _accepted(request, work_headers=operations.start(request.params["subscription"], PROVIDER, work))

    async def patch(request: Request) -> Reply:
        store.get(subscription_id(request))
        work = subscriptions.patch(request.group, request.params["topic"], request.params["name"], request.document)
        return _accepted(request, work_headers=operations.start(request.params["subscription"], PROVIDER, work))

    def _accepted(request: Request, work_headers: dict[str, str]) -> Reply:
        properties = {**(request.document.get("properties") or {}), "provisioningState": "Creating"}
        body: Json = {
            "id": subscription_id(request),
            "name": request.params["name"],
            "type": f"{PROVIDER}/systemTopics/eventSubscriptions",
            "properties": properties,
        }
        return Reply(body, 201, work_headers)

    async def get(request: Request) -> Reply:
        return Reply(public_document(store.get(subscription_id(request))))

    async def list_subscriptions(request: Request) -> Reply:
        found = store.children(f"{store.get(topic_id(request)).id}/eventSubscriptions")
        return list_reply(request, base, [public_document(resource) for resource in found])

    async def delete(request: Request) -> Reply:
        return Reply(status=200 if subscriptions.delete(subscription_id(request)) else 204)

    async def full_url(request: Request) -> Reply:
        return Reply({"endpointUrl": subscriptions.full_url(store.get(subscription_id(request)))})

    async def delivery_attributes(request: Request) -> Reply:
        store.get(subscription_id(request))
        return Reply({"value": []})

    topic = f"{TOPICS}/{{topic}}"
    subscription = f"{topic}/eventSubscriptions/{{name}}"
    topics_sdk = "azure-mgmt-eventgrid system_topics"
    sdk = "azure-mgmt-eventgrid system_topic_event_subscriptions"
    status = (
        f"/subscriptions/{{subscription}}/providers/{PROVIDER}/locations/{{location}}/operationsStatus/{{operation}}"
    )
    return [
        Route("PUT", topic, put_topic, "create or update a system topic", f"{topics_sdk}.begin_create_or_update"),
        Route("PATCH", topic, patch_topic, "tags and identity of a system topic", f"{topics_sdk}.begin_update"),
        Route("GET", topic, get_topic, "system topic", f"{topics_sdk}.get"),
        Route("GET", TOPICS, list_topics, "system topics of a group", f"{topics_sdk}.list_by_resource_group"),
        Route(
            "GET",
            f"/subscriptions/{{subscription}}/providers/{PROVIDER}/systemTopics",
            list_topics_in_subscription,
            "system topics of a subscription",
            f"{topics_sdk}.list_by_subscription",
        ),
        Route("DELETE", topic, delete_topic, "delete a topic and its subscriptions", f"{topics_sdk}.begin_delete"),
        Route("PUT", subscription, put, "create a subscription after its handshake", f"{sdk}.begin_create_or_update"),
        Route("PATCH", subscription, patch, "change a subscription", f"{sdk}.begin_update"),
        Route("GET", subscription, get, "subscription", f"{sdk}.get"),
        Route("GET", f"{topic}/eventSubscriptions", list_subscriptions, "subscriptions", f"{sdk}.list_by_system_topic"),
        Route("DELETE", subscription, delete, "delete a subscription", f"{sdk}.begin_delete"),
        Route("POST", f"{subscription}/getFullUrl", full_url, "a webhook's URL with its key", f"{sdk}.get_full_url"),
        Route(
            "POST",
            f"{subscription}/getDeliveryAttributes",
            delivery_attributes,
            "delivery attributes (none)",
            f"{sdk}.get_delivery_attributes",
        ),
        Route("GET", status, operations.get, "state of a long-running operation", "azure-core polling"),
    ]
