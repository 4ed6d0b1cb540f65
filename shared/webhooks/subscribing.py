"""What the API does with subscriptions. A secret is told once, when it is made."""

from __future__ import annotations

import dataclasses
import datetime as dt
import secrets
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shared.webhooks import addresses, delivering, sending
from shared.webhooks.signing import new_secret
from shared.webhooks.subscriptions import ACTIVE, PAUSED, Subscription, Subscriptions, forget

if TYPE_CHECKING:
    from shared.clients import Clients

# How long a secret that was replaced signs as well.
OLD_SECRET = dt.timedelta(days=1)


def subscribe(clients: Clients, url: str, events: Sequence[str], description: str) -> Subscription:
    """Make a subscription. Raises WebhookRefusedError for a URL that nothing is delivered to, and ConflictError when
    there are too many.
    """
    place = addresses.parse(url)
    addresses.look_up(place, clients.settings.webhook_allowed_hosts, time.monotonic() + sending.SECONDS)
    new = Subscription(
        id=secrets.token_hex(12),
        url=url,
        events=tuple(sorted(set(events))),
        description=description,
        secret=new_secret(),
        created=_now().isoformat(timespec="milliseconds"),
    )
    Subscriptions(clients.tables).add(new)
    forget(clients)
    return new


def unsubscribe(clients: Clients, subscription_id: str) -> Subscription:
    """Delete a subscription; what waits for it is not delivered. Raises NotFoundError."""
    removed = Subscriptions(clients.tables).remove(subscription_id)
    forget(clients)
    return removed


def rotate(clients: Clients, subscription_id: str) -> Subscription:
    """Give a subscription a new secret; the one before signs as well for a day. Raises NotFoundError."""
    store = Subscriptions(clients.tables)
    secret, until = new_secret(), (_now() + OLD_SECRET).isoformat(timespec="seconds")

    def rotated(current: Subscription) -> Subscription:
        return dataclasses.replace(current, secret=secret, old_secret=current.secret, old_secret_until=until)

    return store.change(store.get(subscription_id), rotated) or store.get(subscription_id)


def send_trial(clients: Clients, subscription_id: str) -> tuple[str, Subscription]:
    """Have an event delivered that tells of nothing; a paused subscription is resumed. Returns the event's id. Raises
    NotFoundError.
    """
    store = Subscriptions(clients.tables)

    def resumed(current: Subscription) -> Subscription:
        if current.state == ACTIVE:
            return current
        return dataclasses.replace(current, state=ACTIVE, reason="", failures=0)

    found = store.change(store.get(subscription_id), resumed) or store.get(subscription_id)
    return delivering.put_trial(clients, found), found


def subscription_report(subscription: Subscription) -> dict[str, Any]:
    """A subscription as the API tells it: without secrets, and of the URL the host alone, since the rest may be one."""
    place = addresses.parse(subscription.url)
    host = f"[{place.host}]" if ":" in place.host else place.host
    port = "" if place.port == addresses.HTTPS_PORT else f":{place.port}"
    told = ("id", "events", "description", "state", "created", "failures")
    told_or_null = ("reason", "last_success", "last_failure", "last_error")
    return {
        **{name: getattr(subscription, name) for name in told},
        **{name: getattr(subscription, name) or None for name in told_or_null},
        "url": f"https://{host}{port}/{'…' if place.path != '/' else ''}",
    }


def paused_words(clients: Clients) -> list[str]:
    """Which subscriptions are paused, and why. Raises azure.core's ResourceNotFoundError before provisioning."""
    return [
        f"subscription {each.id} to {addresses.parse(each.url).host} is paused ({each.reason}); mend the receiver, "
        f"then POST /api/subscriptions/{each.id}/test resumes it"
        for each in Subscriptions(clients.tables).all()
        if each.state == PAUSED
    ]


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
