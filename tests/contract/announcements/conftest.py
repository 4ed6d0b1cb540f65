"""A provisioned stack whose app announces to a custom topic, and a receiver that has subscribed to it."""

from __future__ import annotations

import functools
import itertools
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from azure.mgmt.eventgrid.models import EventSubscription, Topic, WebHookEventSubscriptionDestination

from local.config import StackConfig
from shared.clients import Clients
from shared.events import PredictionsReady, announce
from tests.contract.cloud.recorder import Recorder, await_true
from tests.contract.cloud_client.exporting import upload_pictures
from tests.contract.local_stack import (
    Cloud,
    MakeClients,
    app_clients,
    ignore_sdk_warnings,
    problems,
    provision,
    running_cloud,
)

# The topic that the app may publish to, as `infra` has it.
TOPIC = "labelloop"
CLOUD_EVENTS = "CloudEventSchemaV1_0"
Event = dict[str, Any]
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ignore_sdk_warnings(items, Path(__file__).parent)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The stack. Its Functions host sends what is put on the queue, here or there."""
    folder = tmp_path_factory.mktemp("stack")
    url = StackConfig.load_or_create(folder).arm_url
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVENTS_TOPIC_ENDPOINT", f"{url}/eventgrid/topics/{TOPIC}/api/events")
        with running_cloud(folder) as cloud:
            yield cloud


@pytest.fixture(scope="module")
def make(cloud: Cloud) -> MakeClients:
    return functools.partial(
        app_clients, cloud, min_images_per_label=3, export_quiet_seconds=0, on_newer_export="cancel"
    )


@dataclass(frozen=True)
class Receiver:
    """Another system, as far as it has heard."""

    clients: Clients
    recorder: Recorder

    def heard(self, subject: str) -> list[Event]:
        """All that was announced about a thing before this call."""
        queue = self.clients.queue("announcements")
        await_true(lambda: queue.get_queue_properties().approximate_message_count == 0, "empty queue")
        mark = f"mark-{next(_numbers)}"
        announce(self.clients, PredictionsReady(mark, "m:1", "predictions", {}, 0, 0, 0, {}, ""))
        await_true(lambda: self.recorder.events("receiver", mark), "event that was announced last")
        return [event for event in self.recorder.events("receiver", subject) if event["subject"] == subject]


@pytest.fixture(scope="module")
def receiver(cloud: Cloud, make: MakeClients) -> Iterator[Receiver]:
    clients = make()
    report = provision(clients)
    assert report["state"] == "ready", problems(report)
    group, grid = clients.settings.azure_resource_group, clients.event_grid
    topic = Topic(location="westeurope", input_schema=CLOUD_EVENTS, disable_local_auth=True)
    made = grid.topics.begin_create_or_update(group, TOPIC, topic).result()
    assert made.endpoint == clients.settings.events_topic_endpoint
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with Recorder(port) as recorder:
        hook = WebHookEventSubscriptionDestination(endpoint_url=f"http://127.0.0.1:{port}/?functionName=receiver")
        wanted = EventSubscription(destination=hook, event_delivery_schema=CLOUD_EVENTS)
        grid.topic_event_subscriptions.begin_create_or_update(group, TOPIC, "receiver", wanted).result()
        yield Receiver(clients, recorder)


@pytest.fixture
def clients(make: MakeClients, receiver: Receiver) -> Clients:
    return make()


@pytest.fixture(scope="module")
def pictures(cloud: Cloud, receiver: Receiver) -> dict[str, list[str]]:
    """Pictures of each colour in the default container: path → labels."""
    return upload_pictures(receiver.clients.blobs.get_container_client(cloud.default_container), 8, "labelled")
