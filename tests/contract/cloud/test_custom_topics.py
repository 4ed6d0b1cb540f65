"""Custom topics: publishing with azure-eventgrid, and who hears of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridEvent, EventGridPublisherClient
from azure.identity import DefaultAzureCredential
from azure.mgmt.eventgrid import EventGridManagementClient
from azure.mgmt.eventgrid.models import (
    EventSubscription,
    EventSubscriptionFilter,
    EventSubscriptionUpdateParameters,
    RetryPolicy,
    StorageBlobDeadLetterDestination,
    StringInAdvancedFilter,
    Topic,
    TopicUpdateParameters,
    WebHookEventSubscriptionDestination,
)
from azure.storage.blob import BlobServiceClient

from local.config import StackConfig
from tests.contract.cloud.arm import Arm
from tests.contract.cloud.recorder import Recorder, await_true
from tests.contract.cloud.roles import Owner

CLOUD, GRID = "CloudEventSchemaV1_0", "EventGridSchema"
TOPIC = "labelloop"


class Announcements:
    """A custom topic of CloudEvents, its publisher, and its subscribers."""

    def __init__(
        self, client: EventGridManagementClient, credential: DefaultAzureCredential, config: StackConfig
    ) -> None:
        self.client, self.config, self.group = client, config, config.resource_group
        # The app's identity may send to the topic of this name.
        self.topic = self.make(TOPIC, CLOUD)
        self.publisher = EventGridPublisherClient(self.topic.endpoint, credential)

    def make(self, name: str, schema: str, **options: Any) -> Topic:
        topic = Topic(location="westeurope", input_schema=schema, **options)
        return self.client.topics.begin_create_or_update(self.group, name, topic).result()

    def hook(self, name: str) -> WebHookEventSubscriptionDestination:
        url = f"http://127.0.0.1:{self.config.ports['functions']}/hook?functionName={name}"
        return WebHookEventSubscriptionDestination(endpoint_url=url)

    def subscribe(self, name: str, topic: str = TOPIC, schema: str = CLOUD, **options: Any) -> Any:
        wanted = EventSubscription(destination=self.hook(name), event_delivery_schema=schema, **options)
        operations = self.client.topic_event_subscriptions
        return operations.begin_create_or_update(self.group, topic, name, wanted).result()


@pytest.fixture(scope="module")
def announcements(
    credential: DefaultAzureCredential, config: StackConfig, recorder: Recorder
) -> Iterator[Announcements]:
    scopes = [f"{config.arm_url}/.default"]
    with EventGridManagementClient(
        Owner(config), config.subscription_id, base_url=config.arm_url, credential_scopes=scopes
    ) as client:
        made = Announcements(client, credential, config)
        with made.publisher:
            yield made


def ready(subject: str = "batches/1", **data: Any) -> CloudEvent[Any]:
    return CloudEvent(source="/labelloop", type="LabelLoop.PredictionsReady", subject=subject, data=data)


def test_published_cloud_events_reach_a_subscriber_that_agreed(
    announcements: Announcements, recorder: Recorder
) -> None:
    subscribed = announcements.subscribe("hears")
    assert subscribed.provisioning_state == "Succeeded"
    assert {"functionName": "hears", "origin": "eventgrid.azure.net"} in recorder.handshakes
    announcements.publisher.send([ready(images=3), ready("batches/2", images=4)])
    await_true(lambda: len(recorder.events("hears")) == 2, "both events")
    deliveries = {event["subject"]: (event, headers) for _, event, headers in recorder.deliveries("hears")}
    event, headers = deliveries["batches/1"]
    assert (event["source"], event["type"], event["specversion"]) == ("/labelloop", "LabelLoop.PredictionsReady", "1.0")
    assert event["data"] == {"images": 3}
    assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert headers["aeg-subscription-name"] == "HEARS"


def test_filters_see_the_types_subjects_and_data_of_cloud_events(
    announcements: Announcements, recorder: Recorder
) -> None:
    few = StringInAdvancedFilter(key="data.size", values=["few"])
    announcements.subscribe(
        "picky",
        filter=EventSubscriptionFilter(
            subject_begins_with="picky/",
            included_event_types=["LabelLoop.PredictionsReady"],
            advanced_filters=[few],
        ),
    )
    other = CloudEvent(source="/labelloop", type="LabelLoop.TrainingFailed", subject="picky/0", data={"size": "few"})
    announcements.publisher.send([other, ready("picky/1", size="many"), ready("picky/2", size="few")])
    await_true(lambda: recorder.events("picky"), "event")
    assert [event["subject"] for event in recorder.events("picky")] == ["picky/2"]


def test_a_subscriber_that_does_not_allow_the_origin_is_not_subscribed(announcements: Announcements) -> None:
    with pytest.raises(HttpResponseError, match=r"URL validation.*allows the origin ''"):
        announcements.subscribe("refuses")
    operations = announcements.client.topic_event_subscriptions
    assert operations.get(announcements.group, TOPIC, "refuses").provisioning_state == "Failed"


def test_an_undeliverable_cloud_event_becomes_a_dead_letter(
    announcements: Announcements, recorder: Recorder, blobs: BlobServiceClient, arm: Arm
) -> None:
    letters = blobs.create_container("dead-announcements")
    recorder.statuses["deaf"] = [401]
    announcements.subscribe(
        "deaf",
        retry_policy=RetryPolicy(max_delivery_attempts=2, event_time_to_live_in_minutes=60),
        dead_letter_destination=StorageBlobDeadLetterDestination(
            resource_id=arm.account, blob_container_name="dead-announcements"
        ),
    )
    announcements.publisher.send(ready("batches/deaf"))
    await_true(lambda: list(letters.list_blob_names()), "dead letter")
    (path,) = letters.list_blob_names()
    assert path.startswith(f"{TOPIC}/DEAF/")
    (letter,) = json.loads(letters.download_blob(path).readall())
    assert (letter["subject"], letter["deadletterreason"]) == ("batches/deaf", "UndeliverableDueToClientError")


def test_only_whole_events_of_the_topics_schema_are_taken(announcements: Announcements, arm: Arm) -> None:
    grid_event = EventGridEvent(subject="s", event_type="t", data={}, data_version="1")
    with pytest.raises(HttpResponseError, match="takes events of the schema CloudEventSchemaV1_0"):
        announcements.publisher.send(grid_event)
    with pytest.raises(HttpResponseError, match="must have source, specversion, type"):
        announcements.publisher.send(
            [{"id": "1", "source": "/s", "specversion": "1.0", "type": "t"}, {"id": "2"}],
            content_type="application/cloudevents-batch+json",
        )


def test_publishing_needs_a_token_for_event_grid_or_a_key(
    announcements: Announcements, recorder: Recorder, arm: Arm
) -> None:
    announcements.subscribe("by-key", filter=EventSubscriptionFilter(subject_begins_with="by-key/"))
    keys = announcements.client.topics.list_shared_access_keys(announcements.group, TOPIC)
    with EventGridPublisherClient(announcements.topic.endpoint, AzureKeyCredential(keys.key1)) as publisher:
        publisher.send(ready("by-key/1"))
        await_true(lambda: recorder.events("by-key"), "event")
        stranger = EventGridPublisherClient(announcements.topic.endpoint, AzureKeyCredential("bm8="))
        with stranger, pytest.raises(ClientAuthenticationError):
            stranger.send(ready())
        announcements.client.topics.begin_update(
            announcements.group, TOPIC, TopicUpdateParameters(disable_local_auth=True)
        ).result()
        with pytest.raises(ClientAuthenticationError):
            publisher.send(ready())
    announcements.publisher.send(ready("by-key/2"))
    await_true(lambda: len(recorder.events("by-key")) == 2, "event by token")
    management = arm.send("POST", announcements.topic.endpoint, "2018-01-01", json=[])
    assert management.json()["error"]["code"] == "InvalidAuthenticationTokenAudience"


def test_a_topic_of_event_grid_events_delivers_them_in_either_schema(
    announcements: Announcements, recorder: Recorder
) -> None:
    topic = announcements.make("classic", GRID)
    key = announcements.client.topics.list_shared_access_keys(announcements.group, "classic").key2
    announcements.subscribe("old", topic="classic", schema=GRID)
    announcements.subscribe("new", topic="classic", schema=CLOUD)
    with EventGridPublisherClient(topic.endpoint, AzureKeyCredential(key)) as publisher:
        publisher.send(EventGridEvent(subject="s", event_type="Old.Event", data={"n": 1}, data_version="1"))
    await_true(lambda: recorder.events("old") and recorder.events("new"), "both deliveries")
    (old,), (new,) = recorder.events("old"), recorder.events("new")
    assert (old["eventType"], old["topic"], old["data"]) == ("Old.Event", topic.id, {"n": 1})
    assert (new["type"], new["source"], new["data"]) == ("Old.Event", topic.id, {"n": 1})
    with pytest.raises(HttpResponseError, match="cannot be delivered in the schema 'EventGridSchema'"):
        announcements.subscribe("backwards", schema=GRID)


def test_topics_are_listed_changed_and_deleted_with_their_subscriptions(announcements: Announcements) -> None:
    topics, group = announcements.client.topics, announcements.group
    announcements.make("passing", CLOUD, tags={"a": "1"})
    announcements.subscribe("passenger", topic="passing")
    assert "passing" in {topic.name for topic in topics.list_by_resource_group(group)}
    assert "passing" in {topic.name for topic in topics.list_by_subscription()}
    topics.begin_update(group, "passing", TopicUpdateParameters(tags={"b": "2"})).result()
    assert topics.get(group, "passing").tags == {"b": "2"}
    operations = announcements.client.topic_event_subscriptions
    changed = EventSubscriptionUpdateParameters(labels=["x"])
    operations.begin_update(group, "passing", "passenger", changed).result()
    assert [each.labels for each in operations.list(group, "passing")] == [["x"]]
    assert operations.get_full_url(group, "passing", "passenger").endpoint_url.endswith("functionName=passenger")
    topics.begin_delete(group, "passing").result()
    with pytest.raises(ResourceNotFoundError):
        topics.get(group, "passing")
    with pytest.raises(ResourceNotFoundError):
        operations.get(group, "passing", "passenger")


@pytest.mark.parametrize("name", ["ab", "under_score", "t" * 51])
def test_a_topic_takes_only_a_name_that_can_be_a_host_name(announcements: Announcements, arm: Arm, name: str) -> None:
    answer = arm.send("PUT", arm.provider(f"Microsoft.EventGrid/topics/{name}"), json={"location": "westeurope"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidRequest")
