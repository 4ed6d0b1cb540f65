"""What is announced reaches receivers by webhook, through real queues and a real HTTPS server, whatever happens."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import json
import logging
import re
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ResourceNotFoundError
from azure.eventgrid import EventGridPublisherClient

from shared.clients import Clients
from shared.errors import ConflictError, NotFoundError, WebhookRefusedError
from shared.events import PredictionsReady, announce, publish
from shared.webhooks import subscriptions
from shared.webhooks.delivering import deliver
from shared.webhooks.signing import new_secret
from shared.webhooks.subscribing import paused_words, rotate, send_trial, subscribe, unsubscribe
from shared.webhooks.subscriptions import MOST, PAUSED, Subscription, Subscriptions, is_wanted
from tests.contract.storage.unreliable import ProcessKilled, UnreliableClients, Writes
from tests.support import closed_later, make_clients, make_settings, prepare_storage
from tests.unit.shared.webhooks.receiver import Delivery, Receiver

EVENT = PredictionsReady("b1", "m:1", "predictions", {"csv": "b1.csv"}, 1, 1, 0, {}, "")
GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/labelloop"
APP = f"{GROUP}/providers/Microsoft.Web/sites/labelloop"
SETTINGS = {"webhook_allowed_hosts": "localhost", "function_app_resource_id": APP}
TOKEN = "/hook?sig=t0ken"
DAY, JUST_NOW = dt.timedelta(days=1), dt.timedelta()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with Receiver(tmp_path_factory.mktemp("receiver")) as receiver:
        yield receiver


@pytest.fixture
def receiver(running: Receiver, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    running.forget()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(running.certificate))
    return running


@pytest.fixture
def clients(storage: str) -> Clients:
    clients = make_clients(storage, **SETTINGS)
    prepare_storage(clients)
    return clients


@pytest.fixture
def subscription(clients: Clients, receiver: Receiver) -> Subscription:
    return subscribe(clients, receiver.url(TOKEN), [], "ours")


@pytest.fixture
def verified(project: Path) -> Callable[..., bytes]:
    """The receiver's code that the documentation has."""
    (code,) = re.findall(
        r"^```python\n(.*?)^```", (project / "docs" / "announcements.md").read_text(), re.DOTALL | re.MULTILINE
    )
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 # it is ours
    found: Callable[..., bytes] = names["verified"]
    return found


def work_off(clients: Clients, queue: str, work: Callable[[Clients, str], None]) -> int:
    """Do what the host does with the messages that are to be seen; returns how many there were."""
    found, count = clients.queue(queue), 0
    for message in found.receive_messages(visibility_timeout=3600):
        work(clients, message.content)
        found.delete_message(message)
        count += 1
    return count


def go_round(clients: Clients) -> int:
    """Everything that is announced is delivered, or tried; returns the number of tries."""
    work_off(clients, "announcements", publish)
    return work_off(clients, "webhooks", deliver)


def depth(clients: Clients, queue: str) -> int:
    return int(clients.queue(queue).get_queue_properties().approximate_message_count or 0)


def known(clients: Clients, subscription: Subscription) -> Subscription:
    return Subscriptions(clients.tables).get(subscription.id)


def changed(clients: Clients, subscription: Subscription, **columns: Any) -> None:
    """Write columns, as time would."""
    now = known(clients, subscription)
    assert Subscriptions(clients.tables).change(now, lambda each: dataclasses.replace(each, **columns))


def message(
    clients: Clients, subscription: Subscription, *, attempt: int = 0, age: dt.timedelta = JUST_NOW, name: str = "e1"
) -> str:
    """A message of the queue whose first try was some time ago."""
    event = {"id": name, "type": EVENT.type, "subject": "b1", "data": {}}
    since = (dt.datetime.now(dt.UTC) - age).isoformat()
    return json.dumps({"subscription": subscription.id, "event": event, "attempt": attempt, "since": since})


class Queued(Writes):
    """Keeps what is put on the queue of deliveries: the waits (s), and the messages."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[int] = []
        self.messages: list[dict[str, Any]] = []

    def write(self, request: Any, send: Callable[[], Any]) -> Any:
        url = urlsplit(request.url)
        if url.path.endswith("/webhooks/messages"):
            self.waits.append(int(parse_qs(url.query).get("visibilitytimeout", ["0"])[0]))
            (text,) = re.findall(r"<MessageText>(.*?)</MessageText>", str(request.body))
            self.messages.append(json.loads(base64.b64decode(text)))
        return send()


@pytest.fixture
def queued() -> Queued:
    return Queued()


@pytest.fixture
def watched(clients: Clients, storage: str, queued: Queued) -> Clients:
    """Clients of the same account whose messages are kept."""
    return closed_later(UnreliableClients(make_settings(**SETTINGS), storage, queued))


# What a receiver gets


def test_without_a_topic_a_receiver_gets_what_is_announced_as_a_signed_cloud_event(
    clients: Clients, receiver: Receiver, subscription: Subscription, verified: Callable[..., bytes]
) -> None:
    announce(clients, EVENT)
    assert go_round(clients) == 1
    (delivery,) = receiver.deliveries
    assert delivery.path == TOKEN
    assert delivery.headers["content-type"] == "application/cloudevents+json"
    event = json.loads(verified(subscription.secret, delivery.headers, delivery.body))
    time = event.pop("time")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
    assert event == {
        "specversion": "1.0",
        "id": delivery.headers["webhook-id"],
        "source": APP,
        "type": "LabelLoop.PredictionsReady",
        "subject": "b1",
        "datacontenttype": "application/json",
        "data": dataclasses.asdict(EVENT),
    }
    assert depth(clients, "announcements") == depth(clients, "webhooks") == 0


def test_the_documented_code_refuses_what_is_not_signed_so(
    clients: Clients, receiver: Receiver, subscription: Subscription, verified: Callable[..., bytes]
) -> None:
    announce(clients, EVENT)
    go_round(clients)
    (delivery,) = receiver.deliveries
    headers = delivery.headers
    old = {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 301)}
    for secret, told, body in (
        (new_secret(), headers, delivery.body),
        (subscription.secret, headers, delivery.body + b" "),
        (subscription.secret, {**headers, "webhook-id": "another"}, delivery.body),
        (subscription.secret, old, delivery.body),
    ):
        with pytest.raises(ValueError, match=r"not signed|too old"):
            verified(secret, told, body)


def test_topic_and_receivers_get_the_same_event(clients: Clients, storage: str, receiver: Receiver) -> None:
    both = make_clients(storage, **SETTINGS, events_topic_endpoint=receiver.url("/topic"))
    both.__dict__["announcements_topic"] = EventGridPublisherClient(receiver.url("/topic"), AzureKeyCredential("k"))
    subscribe(both, receiver.url(), [EVENT.type], "")
    receiver.answers = [200]
    announce(both, EVENT)
    go_round(both)
    at_topic, at_hook = receiver.deliveries
    assert at_topic.path.startswith("/topic")
    assert json.loads(at_topic.body) == [json.loads(at_hook.body)]


def test_while_the_topic_fails_receivers_get_an_event_once(clients: Clients, storage: str, receiver: Receiver) -> None:
    both = make_clients(storage, **SETTINGS, events_topic_endpoint=receiver.url("/topic"))
    both.__dict__["announcements_topic"] = EventGridPublisherClient(receiver.url("/topic"), AzureKeyCredential("k"))
    subscribe(both, receiver.url(), [], "")
    receiver.answers = [404]
    announce(both, EVENT)
    (first,) = both.queue("announcements").receive_messages()
    publish(both, first.content)
    content = {**json.loads(first.content), "done": ["webhooks"], "attempt": 1}
    receiver.answers = [200]
    publish(both, json.dumps(content))
    assert work_off(both, "webhooks", deliver) == 1
    assert [each.path.partition("?")[0] for each in receiver.deliveries] == ["/topic", "/topic", "/hook"]


def test_each_receiver_gets_the_types_that_it_asked_for(clients: Clients, receiver: Receiver) -> None:
    subscribe(clients, receiver.url("/all"), [], "")
    subscribe(clients, receiver.url("/some"), ["LabelLoop.ImageRejected", EVENT.type], "")
    subscribe(clients, receiver.url("/other"), ["LabelLoop.ImageRejected"], "")
    announce(clients, EVENT)
    assert go_round(clients) == 2
    assert {each.path for each in receiver.deliveries} == {"/all", "/some"}
    assert len(set(receiver.ids)) == 1


def test_an_event_that_comes_twice_has_one_id(clients: Clients, receiver: Receiver, subscription: Subscription) -> None:
    announce(clients, EVENT)
    announce(clients, EVENT)
    assert go_round(clients) == 2
    first, second = receiver.ids
    assert first == second


# What is put on the queue


def test_nothing_is_queued_when_nobody_wants_it(clients: Clients, receiver: Receiver) -> None:
    announce(clients, EVENT)
    subscribe(clients, receiver.url(), ["LabelLoop.ImageRejected"], "")
    announce(clients, EVENT)
    assert depth(clients, "announcements") == 0


def test_a_subscription_made_elsewhere_is_known_after_a_while(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_wanted(clients, EVENT.type)
    Subscriptions(clients.tables).add(new(1))
    assert not is_wanted(clients, EVENT.type)
    monkeypatch.setattr(subscriptions, "FRESH_SECONDS", 0.0)
    assert is_wanted(clients, EVENT.type)


def test_before_provisioning_nobody_has_subscribed(storage: str) -> None:
    bare = make_clients(storage, **SETTINGS)
    assert not is_wanted(bare, EVENT.type)
    announce(bare, EVENT)
    with pytest.raises(ResourceNotFoundError):
        subscribe(bare, "https://localhost/", [], "")


def test_messages_and_logs_have_neither_secrets_nor_urls(
    watched: Clients, queued: Queued, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    made = subscribe(watched, receiver.url(TOKEN), [], "")
    caplog.set_level(logging.INFO, logger="shared")
    receiver.answers = [500, 410]
    announce(watched, EVENT)
    go_round(watched)
    deliver(watched, message(watched, made))
    go_round(watched)
    told = f"{queued.messages} {caplog.text} {made!r}"
    assert "localhost" in caplog.text
    assert made.id in told
    for secret in (made.secret, made.secret.removeprefix("whsec_"), "t0ken"):
        assert secret not in told


# When a receiver does not take it


@pytest.mark.parametrize(
    ("answer", "wait", "words"),
    [
        (500, 5, "the receiver answered 500 Internal Server Error"),
        (404, 5, "the receiver answered 404 Not Found"),
        ((503, {"Retry-After": "90"}), 90, "the receiver answered 503 Service Unavailable"),
        ((302, {"Location": "https://localhost/"}), 5, "redirects are not followed"),
        (lambda _: None, 5, "no connection to the receiver"),
    ],
    ids=["500", "404", "503", "302", "closed"],
)
def test_a_failure_is_noted_and_the_event_waits_for_the_next_try(
    watched: Clients,
    queued: Queued,
    receiver: Receiver,
    subscription: Subscription,
    answer: Any,
    wait: int,
    words: str,
) -> None:
    receiver.answers = [answer]
    announce(watched, EVENT)
    assert go_round(watched) == 1
    assert queued.waits == [0, wait]
    first, again = queued.messages
    assert again == {**first, "attempt": 1}
    noted = known(watched, subscription)
    assert (noted.failures, noted.state, noted.last_success) == (1, "active", "")
    assert words in noted.last_error
    deliver(watched, json.dumps(again))
    noted = known(watched, subscription)
    assert (noted.failures, bool(noted.last_success), bool(noted.last_failure)) == (0, True, True)
    assert len(set(receiver.ids)) == 1


def test_successes_that_repeat_each_other_are_not_all_written(
    clients: Clients, watched: Clients, queued: Queued, receiver: Receiver, subscription: Subscription
) -> None:
    for number in range(5):
        deliver(watched, message(watched, subscription, name=f"e{number}"))
    assert len(receiver.deliveries) == 5
    assert queued.count == 1


def test_what_was_tried_for_a_day_is_given_up_and_the_subscription_paused(
    watched: Clients,
    queued: Queued,
    receiver: Receiver,
    subscription: Subscription,
    caplog: pytest.LogCaptureFixture,
) -> None:
    receiver.answers = [500]
    deliver(watched, message(watched, subscription, attempt=8, age=DAY))
    noted = known(watched, subscription)
    assert noted.state == PAUSED
    assert noted.reason == "nothing was taken for a day; at last: the receiver answered 500 Internal Server Error"
    assert queued.messages == []
    assert f"event e1 (LabelLoop.PredictionsReady about b1) is not delivered to subscription {noted.id}" in caplog.text


def test_a_receiver_that_takes_others_is_not_paused_for_one_event(
    watched: Clients, queued: Queued, receiver: Receiver, subscription: Subscription, caplog: pytest.LogCaptureFixture
) -> None:
    changed(watched, subscription, last_success=(dt.datetime.now(dt.UTC) - DAY / 2).isoformat())
    receiver.answers = [422]
    deliver(watched, message(watched, subscription, attempt=8, age=DAY))
    assert known(watched, subscription).state == "active"
    assert queued.messages == []
    assert "event e1" in caplog.text


def test_gone_pauses_at_once_and_a_test_resumes(
    clients: Clients, receiver: Receiver, subscription: Subscription, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = [410]
    announce(clients, EVENT)
    go_round(clients)
    noted = known(clients, subscription)
    assert (noted.state, noted.reason) == (PAUSED, "the receiver answered 410 Gone")
    (words,) = paused_words(clients)
    assert f"subscription {noted.id} to localhost is paused (the receiver answered 410 Gone)" in words
    caplog.clear()
    announce(clients, EVENT)
    assert go_round(clients) == 0
    deliver(clients, message(clients, subscription, name="e2"))
    assert len(receiver.deliveries) == 1
    assert "event e2" in caplog.text
    assert f"event {receiver.ids[0]}" in caplog.text
    event, _ = send_trial(clients, subscription.id)
    assert (known(clients, subscription).state, known(clients, subscription).reason) == ("active", "")
    assert paused_words(clients) == []
    assert go_round(clients) == 1
    assert receiver.ids[-1] == event
    assert json.loads(receiver.deliveries[-1].body)["type"] == "LabelLoop.Test"
    announce(clients, EVENT)
    assert go_round(clients) == 1


def test_a_receiver_that_is_down_is_asked_once_in_a_while_alone(
    watched: Clients, queued: Queued, receiver: Receiver, subscription: Subscription
) -> None:
    now = dt.datetime.now(dt.UTC)
    changed(watched, subscription, failures=5, last_failure=now.isoformat())
    deliver(watched, message(watched, subscription, attempt=2))
    assert (receiver.deliveries, queued.waits) == ([], [60])
    assert queued.messages[0]["attempt"] == 2
    send_trial(watched, subscription.id)
    assert go_round(watched) == 1
    assert len(receiver.deliveries) == 1
    changed(watched, subscription, failures=5, last_failure=(now - dt.timedelta(minutes=2)).isoformat())
    deliver(watched, message(watched, subscription))
    assert len(receiver.deliveries) == 2


# When a worker dies


class KilledBefore(Writes):
    """The process dies before its n-th write to a URL that has `mark` in it."""

    def __init__(self, mark: str, number: int = 1) -> None:
        super().__init__()
        self._mark, self._left = mark, number

    def write(self, request: Any, send: Callable[[], Any]) -> Any:
        self._left -= self._mark in request.url
        if self._left < 1:
            raise ProcessKilled
        return send()


def test_killed_between_delivery_and_its_note_an_event_comes_again_with_the_same_id(
    clients: Clients, storage: str, receiver: Receiver, subscription: Subscription
) -> None:
    doomed = closed_later(UnreliableClients(make_settings(**SETTINGS), storage, KilledBefore("$batch")))
    with pytest.raises(ProcessKilled):
        deliver(doomed, message(clients, subscription))
    assert known(clients, subscription).last_success == ""
    deliver(clients, message(clients, subscription))
    assert receiver.ids == ["e1", "e1"]
    assert known(clients, subscription).last_success


def test_killed_while_it_is_dealt_out_an_event_reaches_everybody_with_the_same_id(
    clients: Clients, storage: str, receiver: Receiver
) -> None:
    for path in ("/one", "/two"):
        subscribe(clients, receiver.url(path), [], "")
    announce(clients, EVENT)
    doomed = closed_later(UnreliableClients(make_settings(**SETTINGS), storage, KilledBefore("/webhooks/messages", 2)))
    (told,) = clients.queue("announcements").receive_messages()
    with pytest.raises(ProcessKilled):
        publish(doomed, told.content)
    publish(clients, told.content)
    assert work_off(clients, "webhooks", deliver) == 3
    assert {each.path for each in receiver.deliveries} == {"/one", "/two"}
    assert len(set(receiver.ids)) == 1


# Where it goes


@pytest.fixture
def means(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Lets the name hooks.example have addresses, one after the other; returns those that were told."""
    real = socket.getaddrinfo
    told: list[str] = []

    def mean(*answers: str) -> list[str]:
        def getaddrinfo(host: str, *arguments: Any, **options: Any) -> Any:
            if host == "hooks.example":
                host = answers[min(len(told), len(answers) - 1)]
                told.append(host)
            return real(host, *arguments, **options)

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return told

    return mean


def test_a_name_that_leads_inside_later_is_refused_then(
    watched: Clients, queued: Queued, receiver: Receiver, means: Callable[..., list[str]]
) -> None:
    means("93.184.215.14", "127.0.0.1")
    made = subscribe(watched, "https://hooks.example/", [], "")
    deliver(watched, message(watched, made))
    noted = known(watched, made)
    assert "hooks.example, which has an address that is not public" in noted.last_error
    assert (noted.failures, queued.waits) == (1, [5])
    assert receiver.connections == 0


def test_the_connection_goes_to_the_address_that_was_judged(
    clients: Clients, storage: str, receiver: Receiver, means: Callable[..., list[str]]
) -> None:
    settings = {**SETTINGS, "webhook_allowed_hosts": "127.0.0.1/32"}
    some = make_clients(storage, **settings)
    told = means("127.0.0.1", "127.0.0.1", "127.0.0.2")
    made = subscribe(some, receiver.url(host="hooks.example"), [], "")
    deliver(some, message(some, made))
    assert told == ["127.0.0.1", "127.0.0.1"]
    assert receiver.connections == 1
    assert "certificate is not good: Hostname mismatch" in known(some, made).last_error
    deliver(some, message(some, made))
    assert "not public" in known(some, made).last_error or "port" in known(some, made).last_error
    assert receiver.connections == 1


def test_without_the_setting_the_same_receiver_is_refused(storage: str, clients: Clients, receiver: Receiver) -> None:
    closed = make_clients(storage, function_app_resource_id=APP)
    with pytest.raises(WebhookRefusedError, match="port"):
        subscribe(closed, receiver.url(), [], "")
    made = subscribe(clients, receiver.url(), [], "")
    deliver(closed, message(closed, made))
    assert receiver.connections == 0
    assert known(closed, made).failures == 1


# Secrets


def signatures(delivery: Delivery) -> list[str]:
    return delivery.headers["webhook-signature"].split()


def test_for_a_day_old_and_new_secret_sign(
    clients: Clients, receiver: Receiver, subscription: Subscription, verified: Callable[..., bytes]
) -> None:
    rotated = rotate(clients, subscription.id)
    assert rotated.secret != subscription.secret
    until = dt.datetime.fromisoformat(rotated.old_secret_until) - dt.datetime.now(dt.UTC)
    assert dt.timedelta(hours=23) < until <= DAY
    deliver(clients, message(clients, subscription))
    (delivery,) = receiver.deliveries
    assert len(signatures(delivery)) == 2
    for secret in (subscription.secret, rotated.secret):
        assert verified(secret, delivery.headers, delivery.body)
    changed(clients, subscription, old_secret_until=dt.datetime.now(dt.UTC).isoformat())
    deliver(clients, message(clients, subscription))
    delivery = receiver.deliveries[-1]
    assert len(signatures(delivery)) == 1
    assert verified(rotated.secret, delivery.headers, delivery.body)
    with pytest.raises(ValueError, match="not signed"):
        verified(subscription.secret, delivery.headers, delivery.body)


# The rows


def new(number: int) -> Subscription:
    created = f"2026-11-24T06:00:{number:02}.000+00:00"
    return Subscription(f"{number:024x}", f"https://example.com/{number}", (), "", new_secret(), created)


def test_there_are_never_more_than_the_most_however_many_are_made_at_once(clients: Clients) -> None:
    store = Subscriptions(clients.tables)
    for number in range(MOST - 2):
        store.add(new(number))

    def add(number: int) -> bool:
        try:
            store.add(new(number))
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(5) as pool:
        made = list(pool.map(add, range(MOST, MOST + 5)))
    assert made.count(True) == 2
    assert len(store.all()) == MOST
    unsubscribe(clients, new(0).id)
    store.add(new(0))


def test_changes_at_once_lose_nothing(clients: Clients) -> None:
    store = Subscriptions(clients.tables)
    store.add(new(1))
    read = store.get(new(1).id)
    with ThreadPoolExecutor(5) as pool:
        list(
            pool.map(
                lambda _: store.change(read, lambda each: dataclasses.replace(each, failures=each.failures + 1)),
                range(10),
            )
        )
    assert store.get(read.id).failures == 10


def test_what_was_deleted_gets_nothing_and_stays_deleted(
    clients: Clients, receiver: Receiver, subscription: Subscription
) -> None:
    announce(clients, EVENT)
    work_off(clients, "announcements", publish)
    read = known(clients, subscription)
    unsubscribe(clients, subscription.id)
    assert work_off(clients, "webhooks", deliver) == 1
    assert (receiver.deliveries, Subscriptions(clients.tables).all()) == ([], [])
    assert Subscriptions(clients.tables).change(read, lambda each: dataclasses.replace(each, failures=1)) is None
    for gone in (unsubscribe, rotate, send_trial):
        with pytest.raises(NotFoundError, match="there is no subscription"):
            gone(clients, subscription.id)
