"""The queue of deliveries: one message for each event and subscription, until the receiver takes it or a day is over.

A message names the subscription and has the whole event; URL and secrets are read when it is delivered. When a receiver
does not take it, a new message waits for the next try. A worker that dies after the receiver took an event and before
that was noted leaves the message, which is delivered again with the same id.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import logging
import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.errors import WebhookRefusedError
from shared.messages import put
from shared.queues import WEBHOOKS
from shared.webhooks import addresses, sending
from shared.webhooks.signing import signed_headers
from shared.webhooks.subscriptions import PAUSED, Subscription, Subscriptions

if TYPE_CHECKING:
    from shared.clients import Clients

# https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md#3-envelope
CLOUD_EVENT = "application/cloudevents+json"
TRIAL = "LabelLoop.Test"
# Waits before the next try (s), the last one again and again. An event is tried for a day.
RETRY_SECONDS = (5, 60, 300, 1500, 7200, 21_600)
TRIED = dt.timedelta(days=1)
GONE = 410
# After so many failures in a row a receiver is asked once in a while alone, for whatever event: one that is down must
# not hold up the deliveries to others by the time that every try takes.
MANY_FAILURES, BREATHER = 5, dt.timedelta(seconds=60)
# Successes that only repeat each other are noted so often.
NOTED = dt.timedelta(seconds=60)

logger = logging.getLogger(__name__)


def fan_out(clients: Clients, event: Mapping[str, Any]) -> None:
    """Put what `shared.events` announced on the queue for every subscription to its type. Done twice, receivers get it
    twice, with one id. Raises azure.core's errors, and SettingsError when it can't be told which app this is.
    """
    from azure.core.exceptions import ResourceNotFoundError

    try:
        subscriptions = Subscriptions(clients.tables).all()
    except ResourceNotFoundError:
        return
    for each in subscriptions:
        if not each.wants(event["type"]):
            continue
        if each.state == PAUSED:
            _log_lost(each, event, "the subscription is paused")
            continue
        _put(clients, each.id, structured(clients.function_app_id, event))


def put_trial(clients: Clients, subscription: Subscription) -> str:
    """Put an event that tells of nothing on the queue; returns its id."""
    event = {
        "id": secrets.token_hex(16),
        "type": TRIAL,
        "subject": subscription.id,
        "time": _now().isoformat(timespec="milliseconds"),
        "data": {"subscription": subscription.id},
    }
    _put(clients, subscription.id, structured(clients.function_app_id, event))
    return str(event["id"])


def structured(source: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """An announcement as the CloudEvent that the custom topic's subscribers get."""
    time_of_it = dt.datetime.fromisoformat(event["time"]).astimezone(dt.UTC).replace(tzinfo=None)
    return {
        "specversion": "1.0",
        "id": event["id"],
        "source": source,
        "type": event["type"],
        "subject": event["subject"],
        "time": f"{time_of_it.isoformat(timespec='milliseconds')}Z",
        "datacontenttype": "application/json",
        "data": event["data"],
    }


def deliver(clients: Clients, message: str) -> None:
    """Try to deliver what `fan_out` put on the queue. A receiver that does not take it is no error: it is noted, and it
    is tried again. Raises azure.core's errors; the host then delivers the message again.
    """
    content = json.loads(message)
    event, attempt, since = content["event"], content["attempt"], dt.datetime.fromisoformat(content["since"])
    store = Subscriptions(clients.tables)
    subscription = store.find(content["subscription"])
    if subscription is None:
        logger.info("event %s is not delivered: subscription %s is gone", event["id"], content["subscription"])
        return
    if subscription.state == PAUSED:
        _log_lost(subscription, event, "the subscription is paused")
        return
    begun = _now()
    if begun < since + TRIED and event["type"] != TRIAL and _needs_breather(subscription, begun):
        _put(clients, subscription.id, event, attempt=attempt, since=since, delay=round(BREATHER.total_seconds()))
        return
    answer, error = _send(clients, subscription, event, begun)
    now = _now()
    if not error:
        store.change(subscription, lambda current: _succeeded(current, now))
        return
    wait = next_wait(attempt, since, now, answer.retry_after if answer else None)
    is_gone = answer is not None and answer.status == GONE

    def failed(current: Subscription) -> Subscription:
        noted = dataclasses.replace(current, failures=current.failures + 1, last_failure=_text(now), last_error=error)
        if is_gone:
            return dataclasses.replace(noted, state=PAUSED, reason=error)
        if wait is None and not _has_taken(current, since):
            return dataclasses.replace(noted, state=PAUSED, reason=f"nothing was taken for a day; at last: {error}")
        return noted

    changed = store.change(subscription, failed)
    if changed is None:
        logger.info("event %s is not delivered: subscription %s is gone", event["id"], subscription.id)
    elif changed.state == PAUSED:
        logger.error("subscription %s to %s is paused: %s", changed.id, _host(changed), changed.reason)
        _log_lost(changed, event, error)
    elif wait is None:
        _log_lost(changed, event, f"it was tried for a day; at last: {error}")
    else:
        told = "event %s is not taken by subscription %s to %s, and is sent again in %d s: %s"
        logger.warning(told, event["id"], changed.id, _host(changed), wait, error)
        _put(clients, changed.id, event, attempt=attempt + 1, since=since, delay=wait)


def next_wait(attempt: int, since: dt.datetime, now: dt.datetime, retry_after: int | None) -> int | None:
    """How long to wait (s) before the next try of an event that was first tried at `since` and has failed again, after
    `attempt` failures before. A receiver may ask for more time, up to the longest wait. None: its day is over.
    """
    left = round((since + TRIED - now).total_seconds())
    if left <= 0:
        return None
    planned = RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)]
    asked = min(retry_after or 0, RETRY_SECONDS[-1])
    return min(max(planned, asked), left)


def _send(
    clients: Clients, subscription: Subscription, event: Mapping[str, Any], now: dt.datetime
) -> tuple[sending.Answer | None, str]:
    """One try: the answer, if there was one, and what is wrong; empty when the event was taken."""
    deadline = time.monotonic() + sending.SECONDS
    body = json.dumps(event, separators=(",", ":")).encode()
    headers = {
        "content-type": CLOUD_EVENT,
        "user-agent": "LabelLoop",
        **signed_headers(subscription.keys(now), event["id"], int(now.timestamp()), body),
    }
    try:
        place = addresses.parse(subscription.url)
        found = addresses.look_up(place, clients.settings.webhook_allowed_hosts, deadline)
        answer = sending.post(place, found, headers, body, deadline)
    except (WebhookRefusedError, sending.NoAnswerError) as error:
        return None, str(error)
    return answer, "" if answer.is_taken else answer.words


def _needs_breather(subscription: Subscription, now: dt.datetime) -> bool:
    if subscription.failures < MANY_FAILURES:
        return False
    return now < dt.datetime.fromisoformat(subscription.last_failure) + BREATHER


def _succeeded(current: Subscription, now: dt.datetime) -> Subscription:
    is_known = current.last_success and now < dt.datetime.fromisoformat(current.last_success) + NOTED
    if current.failures == 0 and is_known:
        return current
    return dataclasses.replace(current, failures=0, last_success=_text(now))


def _has_taken(subscription: Subscription, since: dt.datetime) -> bool:
    """Whether it has taken any event since."""
    return bool(subscription.last_success) and dt.datetime.fromisoformat(subscription.last_success) > since


def _put(
    clients: Clients,
    subscription_id: str,
    event: Mapping[str, Any],
    *,
    attempt: int = 0,
    since: dt.datetime | None = None,
    delay: int = 0,
) -> None:
    """`attempt` counts the tries that failed, `since` is when the first was to be."""
    begun = (since or _now()).isoformat()
    content = {"subscription": subscription_id, "event": event, "attempt": attempt, "since": begun}
    put(clients, WEBHOOKS, content, delay=delay)


def _log_lost(subscription: Subscription, event: Mapping[str, Any], why: str) -> None:
    told = "event %s (%s about %s) is not delivered to subscription %s at %s: %s"
    logger.error(told, event["id"], event["type"], event["subject"], subscription.id, _host(subscription), why)


def _host(subscription: Subscription) -> str:
    """All of a URL that may be logged: the rest may hold a token."""
    return addresses.parse(subscription.url).host


def _text(moment: dt.datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
