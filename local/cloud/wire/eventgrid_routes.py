"""System and custom topics of Event Grid, and publishing to the custom ones."""

from __future__ import annotations

from collections.abc import Callable

from local.cloud.errors import AuthenticationFailedError
from local.cloud.eventgrid.events import CUSTOM_TYPE, SYSTEM_TYPE
from local.cloud.eventgrid.subscriptions import Subscriptions
from local.cloud.eventgrid.topics import Topics
from local.cloud.resources import Resource, ResourceStore
from local.cloud.rules.providers import Providers
from local.cloud.wire.event_subscription_routes import PROVIDER, event_subscription_routes
from local.cloud.wire.http import Guard, Reply, Request, Route
from local.cloud.wire.lists import list_reply
from local.cloud.wire.operations import Operations
from local.cloud.wire.workspace_routes import GROUP
from local.config import StackConfig

PUBLISH = "/eventgrid/topics/{topic}/api/events"


def eventgrid_routes(
    store: ResourceStore,
    topics: Topics,
    subscriptions: Subscriptions,
    providers: Providers,
    operations: Operations,
    config: StackConfig,
) -> list[Route]:
    """The management plane."""

    async def put_system(request: Request) -> Reply:
        providers.require(request.params["subscription"], PROVIDER)
        is_new = store.find(request.group.provider(f"{SYSTEM_TYPE}/{request.params['topic']}")) is None
        topic = topics.put_system(request.group, request.params["topic"], request.document)
        return Reply(topics.document(topic), 201 if is_new else 200)

    async def put_custom(request: Request) -> Reply:
        providers.require(request.params["subscription"], PROVIDER)
        topic = topics.put_custom(request.group, request.params["topic"], request.document)
        return Reply(topics.document(topic), 201)

    async def list_keys(request: Request) -> Reply:
        return Reply(topics.keys(store.get(request.group.provider(f"{CUSTOM_TYPE}/{request.params['topic']}"))))

    def common(topic_type: str, sdk: str) -> list[Route]:
        """What topics of both kinds have."""

        def topic_id(request: Request) -> str:
            return request.group.provider(f"{topic_type}/{request.params['topic']}")

        def documents(request: Request, found: list[Resource]) -> Reply:
            return list_reply(request, config.arm_url, [topics.document(topic) for topic in found])

        async def get(request: Request) -> Reply:
            return Reply(topics.document(store.get(topic_id(request))))

        async def patch(request: Request) -> Reply:
            return Reply(topics.document(topics.patch(topic_id(request), request.document)))

        async def list_in_group(request: Request) -> Reply:
            return documents(request, store.children(request.group.provider(topic_type)))

        async def list_in_subscription(request: Request) -> Reply:
            below = store.below(f"/subscriptions/{request.params['subscription']}")
            return documents(request, [topic for topic in below if topic.type.lower() == topic_type.lower()])

        async def delete(request: Request) -> Reply:
            if store.find(topic_id(request)) is None:
                return Reply(status=204)

            async def work() -> None:
                topics.delete(topic_id(request))

            return Reply(status=202, headers=operations.start(request, PROVIDER, topic_id(request), work))

        in_group = f"{GROUP}/providers/{topic_type}"
        in_subscription = f"/subscriptions/{{subscription}}/providers/{topic_type}"
        topic = f"{in_group}/{{topic}}"
        own = f"azure-mgmt-eventgrid {sdk}"
        return [
            Route("GET", topic, get, "topic", f"{own}s.get"),
            Route("PATCH", topic, patch, "tags, identity and properties of a topic", f"{own}s.begin_update"),
            Route("GET", in_group, list_in_group, "topics of a group", f"{own}s.list_by_resource_group"),
            Route("GET", in_subscription, list_in_subscription, "of a subscription", f"{own}s.list_by_subscription"),
            Route("DELETE", topic, delete, "delete a topic and its subscriptions", f"{own}s.begin_delete"),
            *event_subscription_routes(
                topic_type, f"{own}_event_subscriptions", store, subscriptions, operations, config
            ),
        ]

    system, custom = (f"{GROUP}/providers/{kind}/{{topic}}" for kind in (SYSTEM_TYPE, CUSTOM_TYPE))
    sdk = "azure-mgmt-eventgrid"
    return [
        Route("PUT", system, put_system, "create or update a system topic", f"{sdk} system_topics"),
        *common(SYSTEM_TYPE, "system_topic"),
        Route("PUT", custom, put_custom, "create or update a custom topic", f"{sdk} topics"),
        Route("POST", f"{custom}/listKeys", list_keys, "keys of a custom topic", f"{sdk} topics"),
        *common(CUSTOM_TYPE, "topic"),
        *operations.routes(PROVIDER),
    ]


def publishing_routes(topics: Topics) -> list[Route]:
    """The data plane: https://learn.microsoft.com/azure/event-grid/post-to-custom-topic"""

    async def publish(request: Request) -> Reply:
        topic = topics.custom(request.params["topic"])
        topics.publish(topic, request.headers.get("content-type", ""), request.body)
        return Reply(status=200)

    return [Route("POST", PUBLISH, publish, "publish events to a custom topic", "azure-eventgrid send")]


def publishing_guard(topics: Topics, require_token: Callable[[str | None], object]) -> Guard:
    """Lets pass who has a token of Event Grid's audience, or one of the topic's keys."""

    def guard(request: Request) -> None:
        key = request.headers.get("aeg-sas-key")
        if key is None:
            require_token(request.headers.get("authorization"))
        elif not topics.is_key(topics.custom(request.params["topic"]), key):
            raise AuthenticationFailedError("The request's aeg-sas-key is not one of the topic's, or keys are off.")

    return guard
