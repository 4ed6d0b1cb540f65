"""Topics, subscriptions, filters, delivery, retry and dead letters, with the unmodified azure-mgmt-eventgrid."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from azure.ai.ml import MLClient
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.eventgrid import EventGridManagementClient
from azure.mgmt.eventgrid.models import (
    AzureFunctionEventSubscriptionDestination,
    DeadLetterWithResourceIdentity,
    EventSubscription,
    EventSubscriptionFilter,
    EventSubscriptionIdentity,
    EventSubscriptionUpdateParameters,
    IdentityInfo,
    NumberGreaterThanAdvancedFilter,
    NumberLessThanOrEqualsAdvancedFilter,
    RetryPolicy,
    StorageBlobDeadLetterDestination,
    StringInAdvancedFilter,
    SystemTopic,
    SystemTopicUpdateParameters,
    WebHookEventSubscriptionDestination,
)
from azure.storage.blob import BlobBlock, BlobServiceClient, ContainerClient

from local.cloud.eventgrid.delivery import PARALLEL_DELIVERIES
from local.config import StackConfig
from tests.contract.cloud.conftest import RunningStack
from tests.contract.cloud.pipelines import await_end, one_node
from tests.contract.cloud.recorder import Recorder, await_true
from tests.contract.cloud.roles import give

Unique = Callable[[str], str]


class Grid:
    """Makes subscriptions of the storage account's topic."""

    def __init__(self, client: EventGridManagementClient, config: StackConfig) -> None:
        self.client = client
        self.config = config
        self.group = config.resource_group
        self.providers = f"/subscriptions/{config.subscription_id}/resourceGroups/{config.resource_group}/providers"
        account = f"{self.providers}/Microsoft.Storage/storageAccounts/{config.account_name}"
        self.topic("storage", account, "Microsoft.Storage.StorageAccounts")

    def topic(self, name: str, source: str, kind: str) -> SystemTopic:
        topic = SystemTopic(location="westeurope", source=source, topic_type=kind)
        return self.client.system_topics.begin_create_or_update(self.group, name, topic).result()

    def function(self, name: str) -> AzureFunctionEventSubscriptionDestination:
        site = f"{self.providers}/Microsoft.Web/sites/{self.config.function_app_name}"
        return AzureFunctionEventSubscriptionDestination(resource_id=f"{site}/functions/{name}")

    def subscribe(self, name: str, destination: Any, topic: str = "storage", **options: Any) -> EventSubscription:
        subscription = EventSubscription(destination=destination, **options)
        operations = self.client.system_topic_event_subscriptions
        return operations.begin_create_or_update(self.group, topic, name, subscription).result()

    def unsubscribe(self, name: str, topic: str = "storage") -> None:
        self.client.system_topic_event_subscriptions.begin_delete(self.group, topic, name).result()


@pytest.fixture(scope="module")
def grid(event_grid: EventGridManagementClient, config: StackConfig, recorder: Recorder) -> Grid:
    return Grid(event_grid, config)


@pytest.fixture(scope="module")
def box(blobs: BlobServiceClient) -> Iterator[ContainerClient]:
    """A container of this module's own."""
    with blobs.create_container("box") as container:
        yield container


def in_box(path: str = "", **options: Any) -> EventSubscriptionFilter:
    return EventSubscriptionFilter(subject_begins_with=f"/blobServices/default/containers/box/blobs/{path}", **options)


def subject(path: str) -> str:
    return f"/blobServices/default/containers/box/blobs/{path}"


def test_a_written_blob_reaches_the_subscribed_function(
    grid: Grid, recorder: Recorder, box: ContainerClient, config: StackConfig
) -> None:
    subscribed = grid.subscribe(
        "all",
        grid.function("all"),
        filter=in_box("all/", included_event_types=["Microsoft.Storage.BlobCreated"]),
    )
    assert subscribed.provisioning_state == "Succeeded"
    written = box.upload_blob("all/a b+ü.txt", b"12345", content_type="text/plain")
    await_true(lambda: recorder.events("all"), "event")
    ((_, event, headers),) = recorder.deliveries("all")
    assert event["subject"] == subject("all/a b+ü.txt")
    assert event["eventType"] == "Microsoft.Storage.BlobCreated"
    assert event["topic"].endswith(f"/storageAccounts/{config.account_name}")
    data = event["data"]
    assert (data["api"], data["contentLength"], data["contentType"]) == ("PutBlob", 5, "text/plain")
    assert data["blobType"] == "BlockBlob"
    assert data["eTag"] == written.get_blob_properties().etag.strip('"')
    assert data["url"] == f"{config.storage_url('blob')}/box/all/a%20b%2B%C3%BC.txt"
    assert data["requestId"]
    assert headers["aeg-event-type"] == "Notification"
    assert headers["code"] == "e"


def test_every_kind_of_complete_write_is_an_event_and_deletes_are(
    grid: Grid, recorder: Recorder, box: ContainerClient
) -> None:
    grid.subscribe("kinds", grid.function("kinds"), filter=in_box("kinds/"))
    first = box.upload_blob("kinds/put", b"1")
    blocks = box.get_blob_client("kinds/blocks")
    blocks.stage_block("AA==", b"abc")
    blocks.stage_block("AQ==", b"defg")
    blocks.commit_block_list([BlobBlock("AA=="), BlobBlock("AQ==")])
    box.get_blob_client("kinds/copy").start_copy_from_url(first.url)
    first.set_blob_metadata({"quiet": "yes"})
    first.delete_blob()
    await_true(lambda: len(recorder.events("kinds")) == 4, "four events")
    by_api = {event["data"]["api"]: event for event in recorder.events("kinds")}
    assert by_api.keys() == {"PutBlob", "PutBlockList", "CopyBlob", "DeleteBlob"}
    assert by_api["PutBlockList"]["data"]["contentLength"] == 7
    assert by_api["CopyBlob"]["data"]["contentLength"] == 1
    assert by_api["DeleteBlob"]["eventType"] == "Microsoft.Storage.BlobDeleted"
    ids = [event["id"] for event in recorder.events("kinds")]
    assert len(set(ids)) == 4


def test_a_subscription_whose_receiver_is_slow_holds_up_no_other(
    grid: Grid, recorder: Recorder, box: ContainerClient
) -> None:
    grid.subscribe("slow", grid.function("slow"), filter=in_box("slow/"))
    grid.subscribe("quick", grid.function("quick"), filter=in_box("slow/last"))
    recorder.held.add("slow")
    try:
        for number in range(2 * PARALLEL_DELIVERIES):
            box.upload_blob(f"slow/{number}", b"")
        box.upload_blob("slow/last", b"")
        await_true(lambda: recorder.events("quick"), "event")
        assert len(recorder.events("slow")) == PARALLEL_DELIVERIES
    finally:
        recorder.held.clear()
    await_true(lambda: len(recorder.events("slow")) == 2 * PARALLEL_DELIVERIES + 1, "all events")
    for name in ("slow", "quick"):
        grid.unsubscribe(name)


def test_sequencers_order_the_events_of_one_blob(grid: Grid, recorder: Recorder, box: ContainerClient) -> None:
    grid.subscribe("ordered", grid.function("ordered"), filter=in_box("ordered/"))
    for size in range(1, 6):
        box.upload_blob("ordered/blob", b"x" * size, overwrite=True)
    await_true(lambda: len(recorder.events("ordered")) == 5, "five events")
    ordered = sorted(recorder.events("ordered"), key=lambda event: event["data"]["sequencer"])
    assert [event["data"]["contentLength"] for event in ordered] == [1, 2, 3, 4, 5]


def test_filters_of_subject_type_size_and_api_all_must_match(
    grid: Grid, recorder: Recorder, box: ContainerClient
) -> None:
    small = in_box(
        "filtered/",
        subject_ends_with=".JPG",
        included_event_types=["Microsoft.Storage.BlobCreated"],
        advanced_filters=[
            StringInAdvancedFilter(key="data.api", values=["PutBlob", "CopyBlob"]),
            NumberLessThanOrEqualsAdvancedFilter(key="data.contentLength", value=3),
        ],
    )
    large = in_box("filtered/", advanced_filters=[NumberGreaterThanAdvancedFilter(key="data.contentLength", value=3)])
    grid.subscribe("small", grid.function("small"), filter=small)
    grid.subscribe("large", grid.function("large"), filter=large)
    for name, size in (("a.jpg", 3), ("b.jpg", 4), ("c.png", 3)):
        box.upload_blob(f"filtered/{name}", b"x" * size)
    await_true(lambda: recorder.events("small") and recorder.events("large"), "events")
    assert [event["subject"] for event in recorder.events("small")] == [subject("filtered/a.jpg")]
    assert [event["subject"] for event in recorder.events("large")] == [subject("filtered/b.jpg")]


def test_a_webhook_at_the_function_app_is_delivered_to_its_plain_port(
    grid: Grid, recorder: Recorder, box: ContainerClient, config: StackConfig
) -> None:
    url = (
        f"https://127.0.0.1:{config.ports['functions']}/runtime/webhooks/blobs?functionName=Host.Functions.hook&code=b"
    )
    subscribed = grid.subscribe("hook", WebHookEventSubscriptionDestination(endpoint_url=url), filter=in_box("hook/"))
    assert subscribed.destination.endpoint_base_url == url.partition("?")[0]
    full = grid.client.system_topic_event_subscriptions.get_full_url(grid.group, "storage", "hook")
    assert full.endpoint_url == url
    assert {"functionName": "Host.Functions.hook", "code": "b"} in recorder.handshakes
    box.upload_blob("hook/a", b"")
    await_true(lambda: recorder.events("Host.Functions.hook"), "event")


def test_a_webhook_at_the_function_app_finds_it_on_whatever_port_it_has_now(
    grid: Grid, recorder: Recorder, box: ContainerClient
) -> None:
    url = "https://127.0.0.1:9/runtime/webhooks/blobs?functionName=Host.Functions.moved&code=m"
    grid.subscribe("moved", WebHookEventSubscriptionDestination(endpoint_url=url), filter=in_box("moved/"))
    box.upload_blob("moved/a", b"")
    await_true(lambda: recorder.events("Host.Functions.moved"), "event")


@pytest.mark.parametrize(("function", "reason"), [("refuses", "not the one sent"), ("missing", "answered 404")])
def test_a_subscription_whose_endpoint_fails_the_handshake_stays_and_gets_nothing(
    grid: Grid, recorder: Recorder, box: ContainerClient, function: str, reason: str
) -> None:
    with pytest.raises(HttpResponseError, match=reason):
        grid.subscribe(function, grid.function(function), filter=in_box("failed/"))
    subscriptions = grid.client.system_topic_event_subscriptions
    assert subscriptions.get(grid.group, "storage", function).provisioning_state == "Failed"
    grid.subscribe("other", grid.function("events"), filter=in_box("failed/"))
    box.upload_blob(f"failed/{function}", b"")
    await_true(lambda: recorder.events("events"), "event")
    assert recorder.events(function) == []


def test_what_cannot_be_delivered_is_refused(grid: Grid, config: StackConfig) -> None:
    elsewhere = f"{grid.providers}/Microsoft.Web/sites/elsewhere/functions/f"
    with pytest.raises(HttpResponseError, match="'elsewhere' does not exist"):
        grid.subscribe("bad", AzureFunctionEventSubscriptionDestination(resource_id=elsewhere))
    with pytest.raises(HttpResponseError, match="cannot be reached"):
        grid.subscribe("bad", WebHookEventSubscriptionDestination(endpoint_url="http://127.0.0.1:1/hook"))
    with pytest.raises(ResourceNotFoundError, match="nothing"):
        grid.subscribe("bad", grid.function("f"), topic="nothing")
    source = f"{grid.providers}/Microsoft.Storage/storageAccounts/{config.account_name}"
    with pytest.raises(HttpResponseError, match=r"existing tracked system topic .* Only one .* allowed per source"):
        grid.topic("second", source, "Microsoft.Storage.StorageAccounts")


def test_a_failed_delivery_is_tried_again_until_it_succeeds(
    grid: Grid, recorder: Recorder, box: ContainerClient
) -> None:
    grid.subscribe("retried", grid.function("retried"), filter=in_box("retried/"))
    recorder.statuses["retried"] = [500, 503]
    box.upload_blob("retried/a", b"")
    await_true(lambda: recorder.events("retried"), "delivery after failures")
    tries = recorder.deliveries("retried")
    assert [headers["status"] for _, _, headers in tries] == ["500", "503", "200"]
    assert [headers["aeg-delivery-count"] for _, _, headers in tries] == ["0", "1", "2"]
    assert len({event["id"] for _, event, _ in tries}) == 1


@pytest.mark.parametrize(
    ("name", "statuses", "reason"),
    [
        ("exhausted", [500, 500], "MaxDeliveryAttemptsExceeded"),
        ("rejected", [400], "UndeliverableDueToClientError"),
    ],
)
def test_an_undeliverable_event_becomes_a_dead_letter(
    grid: Grid,
    recorder: Recorder,
    box: ContainerClient,
    blobs: BlobServiceClient,
    config: StackConfig,
    name: str,
    statuses: list[int],
    reason: str,
) -> None:
    letters = blobs.create_container(f"dead-{name}")
    account = f"{grid.providers}/Microsoft.Storage/storageAccounts/{config.account_name}"
    recorder.statuses[name] = list(statuses)
    grid.subscribe(
        name,
        grid.function(name),
        filter=in_box(f"{name}/"),
        retry_policy=RetryPolicy(max_delivery_attempts=2, event_time_to_live_in_minutes=60),
        dead_letter_destination=StorageBlobDeadLetterDestination(
            resource_id=account, blob_container_name=f"dead-{name}"
        ),
    )
    box.upload_blob(f"{name}/a", b"")
    await_true(lambda: list(letters.list_blob_names()), "dead letter")
    (path,) = letters.list_blob_names()
    assert re.fullmatch(rf"storage/{name.upper()}/\d{{4}}/\d+/\d+/\d+/[0-9a-f-]{{36}}\.json", path)
    (letter,) = json.loads(letters.download_blob(path).readall())
    assert letter["deadLetterReason"] == reason
    assert letter["deliveryAttempts"] == len(statuses)
    assert letter["subject"] == subject(f"{name}/a")


def test_a_changed_subscription_is_in_force_and_a_deleted_one_is_silent(
    grid: Grid, recorder: Recorder, box: ContainerClient
) -> None:
    grid.subscribe("changing", grid.function("changing"), filter=in_box("before/"))
    grid.client.system_topic_event_subscriptions.begin_update(
        grid.group, "storage", "changing", EventSubscriptionUpdateParameters(filter=in_box("after/"))
    ).result()
    grid.subscribe("witness", grid.function("witness"), filter=in_box())
    box.upload_blob("before/a", b"")
    box.upload_blob("after/a", b"")
    await_true(lambda: recorder.events("changing"), "event after the change")
    grid.unsubscribe("changing")
    box.upload_blob("after/b", b"")
    await_true(lambda: recorder.events("witness", "after/b"), "event for the witness")
    assert [event["subject"] for event in recorder.events("changing")] == [subject("after/a")]
    grid.unsubscribe("witness")
    listed = grid.client.system_topic_event_subscriptions.list_by_system_topic(grid.group, "storage")
    assert {"changing", "witness"}.isdisjoint({each.name for each in listed})


def test_the_end_of_a_job_reaches_the_subscribed_function(
    grid: Grid, recorder: Recorder, ml: MLClient, letters: str, config: StackConfig, unique: Unique
) -> None:
    source = f"{grid.providers}/Microsoft.MachineLearningServices/workspaces/{config.workspace_name}"
    grid.topic("workspace", source, "Microsoft.MachineLearningServices.Workspaces")
    completed = EventSubscriptionFilter(included_event_types=["Microsoft.MachineLearningServices.RunCompleted"])
    grid.subscribe("jobs", grid.function("jobs"), topic="workspace", filter=completed)
    name = unique("announced")
    ml.jobs.create_or_update(one_node(name, letters))
    await_end(ml, name)
    await_true(lambda: recorder.events("jobs", f"/runs/{name}"), "event of the job's end")
    (event,) = recorder.events("jobs", f"/runs/{name}")
    assert event["data"]["runId"] == name


def test_events_can_be_lost_repeated_and_delayed_on_demand(
    grid: Grid, recorder: Recorder, box: ContainerClient, stack: RunningStack
) -> None:
    grid.subscribe("faulty", grid.function("faulty"), filter=in_box("faulty/"))
    rules = [
        {"service": "events", "path": "*/faulty/lost", "lost": True},
        {"service": "events", "path": "*/faulty/twice", "copies": 1, "delay": 0.1},
    ]
    assert stack.admin("PUT", "/faults", json={"value": rules}).status_code == 200
    try:
        box.upload_blob("faulty/lost", b"")
        box.upload_blob("faulty/twice", b"")
        await_true(lambda: len(recorder.events("faulty")) == 2, "both copies")
    finally:
        stack.admin("PUT", "/faults", json={"value": []})
    assert {event["subject"] for event in recorder.events("faulty")} == {subject("faulty/twice")}


def test_a_topic_keeps_its_identity_and_tags(grid: Grid) -> None:
    source = f"{grid.providers}/Microsoft.MachineLearningServices/workspaces/identified"
    kind = "Microsoft.MachineLearningServices.Workspaces"
    topics, own = grid.client.system_topics, IdentityInfo(type="SystemAssigned")

    def put(tags: dict[str, str]) -> SystemTopic:
        topic = SystemTopic(location="westeurope", source=source, topic_type=kind, identity=own, tags=tags)
        return topics.begin_create_or_update(grid.group, "identified", topic).result()

    created = put({"a": "1"})
    assert created.identity.principal_id
    assert created.identity.tenant_id == grid.config.tenant_id
    assert put({"b": "2"}).identity.principal_id == created.identity.principal_id
    changed = SystemTopicUpdateParameters(tags={"c": "3"})
    topics.begin_update(grid.group, "identified", changed).result()
    found = topics.get(grid.group, "identified")
    assert (found.tags, found.identity.principal_id) == ({"c": "3"}, created.identity.principal_id)
    topics.begin_update(
        grid.group, "identified", SystemTopicUpdateParameters(identity=IdentityInfo(type="None"))
    ).result()
    assert topics.get(grid.group, "identified").identity is None
    topics.begin_delete(grid.group, "identified").result()
    with pytest.raises(ResourceNotFoundError):
        topics.get(grid.group, "identified")
    topics.begin_delete(grid.group, "identified").result()


def test_dead_letters_by_identity_need_the_topic_to_have_it(
    grid: Grid, recorder: Recorder, box: ContainerClient, blobs: BlobServiceClient
) -> None:
    account = f"{grid.providers}/Microsoft.Storage/storageAccounts/{grid.config.account_name}"
    by_identity = DeadLetterWithResourceIdentity(
        identity=EventSubscriptionIdentity(type="SystemAssigned"),
        dead_letter_destination=StorageBlobDeadLetterDestination(
            resource_id=account, blob_container_name="dead-identified"
        ),
    )
    options = {
        "filter": in_box("identified/"),
        "retry_policy": RetryPolicy(max_delivery_attempts=1, event_time_to_live_in_minutes=1),
        "dead_letter_with_resource_identity": by_identity,
    }
    with pytest.raises(HttpResponseError, match="topic 'storage' has the identity type 'None'"):
        grid.subscribe("identified", grid.function("identified"), **options)
    identity = SystemTopicUpdateParameters(identity=IdentityInfo(type="SystemAssigned"))
    topic = grid.client.system_topics.begin_update(grid.group, "storage", identity).result()
    with pytest.raises(HttpResponseError, match="may not write dead letters to the container 'dead-identified'"):
        grid.subscribe("identified", grid.function("identified"), **options)
    give(grid.config, topic.identity.principal_id, "Storage Blob Data Contributor", account)
    grid.subscribe("identified", grid.function("identified"), **options)
    letters = blobs.create_container("dead-identified")
    recorder.statuses["identified"] = [500]
    box.upload_blob("identified/a", b"")
    await_true(lambda: list(letters.list_blob_names()), "dead letter")
    kept = grid.client.system_topic_event_subscriptions.get(grid.group, "storage", "identified")
    assert kept.dead_letter_with_resource_identity.identity.type == "SystemAssigned"
    grid.unsubscribe("identified")


def test_a_dead_letter_without_a_container_is_dropped(
    grid: Grid, recorder: Recorder, box: ContainerClient, stack: RunningStack
) -> None:
    account = f"{grid.providers}/Microsoft.Storage/storageAccounts/{grid.config.account_name}"
    recorder.statuses["dropped"] = [400]
    grid.subscribe(
        "dropped",
        grid.function("dropped"),
        filter=in_box("dropped/"),
        dead_letter_destination=StorageBlobDeadLetterDestination(resource_id=account, blob_container_name="nowhere"),
    )
    box.upload_blob("dropped/a", b"")

    def state() -> tuple[str, str]:
        (event,) = stack.events("Microsoft.Storage.BlobCreated", "/dropped/a")
        (delivery,) = [each for each in event["deliveries"] if each["subscription"] == "dropped"]
        return delivery["state"], delivery["lastStatus"]

    await_true(lambda: state()[0] == "dropped", "end of the delivery")
    assert "no container 'nowhere'" in state()[1]
    grid.unsubscribe("dropped")


def test_putting_a_subscription_again_replaces_it(grid: Grid, recorder: Recorder) -> None:
    grid.subscribe("replaced", grid.function("replaced"), filter=in_box("before/"), labels=["a"])
    grid.subscribe("replaced", grid.function("other"), filter=in_box("after/"))
    found = grid.client.system_topic_event_subscriptions.get(grid.group, "storage", "replaced")
    assert found.destination.resource_id.endswith("/functions/other")
    assert found.filter.subject_begins_with == subject("after/")
    assert found.labels is None
    grid.unsubscribe("replaced")


def test_events_of_azure_can_be_had_as_cloud_events(
    grid: Grid, recorder: Recorder, box: ContainerClient, config: StackConfig
) -> None:
    url = f"http://127.0.0.1:{config.ports['functions']}/hook?functionName=as-cloud-event"
    grid.subscribe(
        "as-cloud-event",
        WebHookEventSubscriptionDestination(endpoint_url=url),
        filter=in_box("cloud/"),
        event_delivery_schema="CloudEventSchemaV1_0",
    )
    box.upload_blob("cloud/a", b"1")
    await_true(lambda: recorder.events("as-cloud-event"), "event")
    (event,) = recorder.events("as-cloud-event")
    assert (event["specversion"], event["type"]) == ("1.0", "Microsoft.Storage.BlobCreated")
    assert (event["subject"], event["data"]["contentLength"]) == (subject("cloud/a"), 1)
    assert event["source"].endswith(f"/storageAccounts/{config.account_name}")
    grid.unsubscribe("as-cloud-event")
