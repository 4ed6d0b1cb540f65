"""Event subscriptions, of topics of either kind."""

from __future__ import annotations

import functools

from local.cloud.eventgrid.subscriptions import Subscriptions, public_document
from local.cloud.resources import Json, ResourceStore
from local.cloud.wire.http import Reply, Request, Route
from local.cloud.wire.lists import list_reply
from local.cloud.wire.operations import Operations
from local.cloud.wire.workspace_routes import GROUP
from local.config import StackConfig

PROVIDER = "Microsoft.EventGrid"


def event_subscription_routes(
    topic_type: str,
    sdk: str,
    store: ResourceStore,
    subscriptions: Subscriptions,
    operations: Operations,
    config: StackConfig,
) -> list[Route]:
    """The routes below topics of a type, such as `Microsoft.EventGrid/topics`; `sdk` names the client's operations.

    Subscriptions are made in the background, since their endpoint is asked first; clients poll the operation.
    """

    def topic_id(request: Request) -> str:
        return request.group.provider(f"{topic_type}/{request.params['topic']}")

    def subscription_id(request: Request) -> str:
        return f"{topic_id(request)}/eventSubscriptions/{request.params['name']}"

    async def put(request: Request) -> Reply:
        store.get(topic_id(request))
        work = functools.partial(subscriptions.put, topic_id(request), request.params["name"], request.document)
        headers = operations.start(request, PROVIDER, subscription_id(request), work, seconds=0)
        properties = {**(request.document.get("properties") or {}), "provisioningState": "Creating"}
        return Reply(_answer(request, properties), 201, headers)

    async def patch(request: Request) -> Reply:
        properties = {**store.get(subscription_id(request)).properties, "provisioningState": "Updating"}
        work = functools.partial(subscriptions.patch, topic_id(request), request.params["name"], request.document)
        headers = operations.start(request, PROVIDER, subscription_id(request), work, seconds=0)
        return Reply(_answer(request, properties), 201, headers)

    def _answer(request: Request, properties: Json) -> Json:
        kind = f"{topic_type}/eventSubscriptions"
        return {"id": subscription_id(request), "name": request.params["name"], "type": kind, "properties": properties}

    async def get(request: Request) -> Reply:
        return Reply(public_document(store.get(subscription_id(request))))

    async def list_all(request: Request) -> Reply:
        found = store.children(f"{store.get(topic_id(request)).id}/eventSubscriptions")
        return list_reply(request, config.arm_url, [public_document(resource) for resource in found])

    async def delete(request: Request) -> Reply:
        return Reply(status=200 if subscriptions.delete(subscription_id(request)) else 204)

    async def full_url(request: Request) -> Reply:
        return Reply({"endpointUrl": subscriptions.full_url(store.get(subscription_id(request)))})

    async def delivery_attributes(request: Request) -> Reply:
        store.get(subscription_id(request))
        return Reply({"value": []})

    topic = f"{GROUP}/providers/{topic_type}/{{topic}}"
    subscription = f"{topic}/eventSubscriptions/{{name}}"
    attributes = f"{subscription}/getDeliveryAttributes"
    return [
        Route("PUT", subscription, put, "create a subscription after its handshake", f"{sdk}.begin_create_or_update"),
        Route("PATCH", subscription, patch, "change a subscription", f"{sdk}.begin_update"),
        Route("GET", subscription, get, "subscription", f"{sdk}.get"),
        Route("GET", f"{topic}/eventSubscriptions", list_all, "subscriptions of a topic", f"{sdk}.list"),
        Route("DELETE", subscription, delete, "delete a subscription", f"{sdk}.begin_delete"),
        Route("POST", f"{subscription}/getFullUrl", full_url, "a webhook's URL with its key", f"{sdk}.get_full_url"),
        Route("POST", attributes, delivery_attributes, "delivery attributes (none)", f"{sdk}.get_delivery_attributes"),
    ]
