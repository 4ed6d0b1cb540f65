"""What the app announces to other systems: CloudEvents to the custom topic that EVENTS_TOPIC_ENDPOINT names, and to
whoever has subscribed with a webhook (`shared/webhooks`).

An announcement is put on a queue and sent from there, so that a topic that can't be reached neither fails nor delays
what is announced. It may come twice, and after a later one; the same announcement always has the same id.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.messages import put
from shared.queues import ANNOUNCEMENTS

if TYPE_CHECKING:
    from shared.clients import Clients

TYPE_PREFIX = "LabelLoop."
# Who gets an announcement.
WEBHOOKS, TOPIC = "webhooks", "topic"
# Waits before the next try of an announcement that was not taken: a day in all, as long as Event Grid itself tries to
# deliver (https://learn.microsoft.com/azure/event-grid/delivery-and-retry).
RETRY_SECONDS = (60, 300, 1500, *[3600] * 24)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Announcement(ABC):
    """The fields are the event's data, the class's name its type. Paths are those of blobs in the data account."""

    @property
    def type(self) -> str:
        return f"{TYPE_PREFIX}{type(self).__name__}"

    @property
    @abstractmethod
    def subject(self) -> str:
        """The thing that it is about."""

    @property
    def key(self) -> str:
        """Tells it from all others of its type."""
        return self.subject


@dataclass(frozen=True)
class TrainingStarted(Announcement):
    """A training was submitted. `images` counts the images of each split, `labels` the labels."""

    job: str
    export: str
    data_set: str
    images: Mapping[str, int]
    labels: int

    @property
    def subject(self) -> str:
        return self.job


@dataclass(frozen=True)
class TrainingFailed(Announcement):
    """A training ended without success. `status` is Failed or Canceled, `error` says it in words."""

    job: str
    export: str
    data_set: str
    status: str
    failed_steps: tuple[str, ...]
    error: str
    studio_url: str

    @property
    def subject(self) -> str:
        return self.job


@dataclass(frozen=True)
class TrainedModel(Announcement):
    """A training's model. Its bundle is below `path`; `metrics` are those of the test split; `reason` says why it was
    promoted, or was not, and `decision` has the figures of that, as in its card; empty where a person decided.
    """

    model: str
    version: str
    job: str
    data_set: str
    container: str
    path: str
    labels: int
    metrics: Mapping[str, float]
    reason: str
    decision: Mapping[str, Any]

    @property
    def subject(self) -> str:
        return f"{self.model}:{self.version}"

    @property
    def key(self) -> str:
        return f"{self.subject} {self.job}"


@dataclass(frozen=True)
class ModelRegistered(TrainedModel):
    """It is in the registry."""

    promoted: bool


@dataclass(frozen=True)
class ModelPromoted(TrainedModel):
    """It became the champion, and scores the batches from now on. `promoted_at` (RFC 3339, UTC) is empty when its
    training promoted it, and the time when someone did.
    """

    promoted_at: str = ""

    @property
    def key(self) -> str:
        return f"{super().key} {self.promoted_at}".rstrip()


@dataclass(frozen=True)
class PredictionsReady(Announcement):
    """A batch's files are written: `files` maps each format to a path, `urls` to the blob's URL. Of `images` rows
    `predicted` have labels and `errors` an error. `summary_url` is that of the batch's `_batch.json`.
    """

    batch: str
    model: str
    container: str
    files: Mapping[str, str]
    images: int
    predicted: int
    errors: int
    urls: Mapping[str, str]
    summary_url: str

    @property
    def subject(self) -> str:
        return self.batch


@dataclass(frozen=True)
class ImageRejected(Announcement):
    """A file in the images container will not be scored; `etag` names the content, `error` is the reason."""

    container: str
    image: str
    etag: str
    error: str

    @property
    def subject(self) -> str:
        return self.image

    @property
    def key(self) -> str:
        return f"{self.container}/{self.image} {self.etag}"


def announce(clients: Clients, announcement: Announcement) -> None:
    """Put an announcement on the queue. No effect where there are neither a topic nor subscriptions for it."""
    from shared.webhooks.subscriptions import is_wanted

    has_topic = bool(clients.settings.events_topic_endpoint)
    if not has_topic and not is_wanted(clients, announcement.type):
        return
    name = f"{announcement.type}\n{announcement.key}"
    event = {
        "id": hashlib.sha256(name.encode()).hexdigest()[:32],
        "type": announcement.type,
        "subject": announcement.subject,
        "time": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
        "data": dataclasses.asdict(announcement),
    }
    _enqueue(clients, event, [] if has_topic else [TOPIC])


def publish(clients: Clients, message: str) -> None:
    """Send what `announce` put on the queue to the topic, and put it on the queue of webhooks. Who does not take it now
    gets it at the next try.

    Raises azure.core.exceptions.AzureError when the last try failed, too, and SettingsError when it can't be told which
    app this is; the host then moves the message to the poison queue.
    """
    from azure.core.exceptions import AzureError

    from shared.webhooks.delivering import fan_out

    content = json.loads(message)
    event, attempt, done = content["event"], content["attempt"], list(content.get("done", ()))
    failed: list[AzureError] = []
    for name, send in {WEBHOOKS: fan_out, TOPIC: _send_to_topic}.items():
        if name in done:
            continue
        try:
            send(clients, event)
        except AzureError as error:
            error.add_note(f"{event['type']} about {event['subject']} was not given to the {name}")
            failed.append(error)
        else:
            done.append(name)
    if not failed:
        return
    if attempt >= len(RETRY_SECONDS):
        raise failed[0]
    for each in failed:
        logger.warning("%s, which is tried again in %d s: %s", "; ".join(each.__notes__), RETRY_SECONDS[attempt], each)
    _enqueue(clients, event, done, attempt=attempt + 1, delay=RETRY_SECONDS[attempt])


def _send_to_topic(clients: Clients, event: Mapping[str, Any]) -> None:
    from azure.core.exceptions import AzureError
    from azure.core.messaging import CloudEvent

    endpoint = clients.settings.events_topic_endpoint
    if not endpoint:
        logger.warning("%s about %s is not sent: EVENTS_TOPIC_ENDPOINT is empty now", event["type"], event["subject"])
        return
    announced = CloudEvent(
        source=clients.function_app_id,
        type=event["type"],
        id=event["id"],
        subject=event["subject"],
        time=dt.datetime.fromisoformat(event["time"]),
        datacontenttype="application/json",
        data=event["data"],
    )
    try:
        clients.announcements_topic.send(announced)
    except AzureError as error:
        error.add_note(f"{endpoint} did not take it")
        raise


def _enqueue(
    clients: Clients, event: Mapping[str, Any], done: Sequence[str], *, attempt: int = 0, delay: int = 0
) -> None:
    """`done`: who has it, or is not to get it. `attempt` counts the tries that failed; the message is seen after
    `delay` seconds.
    """
    put(clients, ANNOUNCEMENTS, {"event": event, "attempt": attempt, "done": done}, delay=delay)
