"""Subscriptions of webhooks over HTTP."""

from typing import Any

import msgspec

from handlers.contract.subscriptions import (
    NewSubscription,
    RotatedSubscription,
    Subscription,
    SubscriptionRequest,
    Subscriptions,
    Trial,
)
from handlers.http import Answer, Key, PageQuery, api, page_of
from shared.clients import clients
from shared.errors import ConflictError, NotFoundError, WebhookRefusedError

SCOPE = "subscriptions"


@api.post(
    "subscriptions",
    Key.OPERATE,
    body=SubscriptionRequest,
    answers={201: NewSubscription},
    raises=[WebhookRefusedError, ConflictError],
    is_repeatable=True,
)
def create_subscription(body: SubscriptionRequest) -> Answer:
    """Have events delivered to a URL, signed with the secret in the answer, which is told this once. At most 20 can be
    made. What happens in the first 30 s may be missed.
    """
    from shared.webhooks.subscribing import subscribe

    made = subscribe(clients(), body.url, body.events, body.description)
    told = msgspec.convert({**_report(made), "secret": made.secret}, NewSubscription)
    return Answer(told, 201, {"Location": _url(made.id)})


@api.get("subscriptions", Key.READ, query=PageQuery)
def list_subscriptions(query: PageQuery) -> Subscriptions:
    """The subscriptions, the oldest first, and whether their receivers take what they are sent."""
    from shared.webhooks import subscriptions

    told = [_told(each) for each in subscriptions.Subscriptions(clients().tables).all()]
    page, following = page_of(told, query, SCOPE, lambda each: each.id)
    return Subscriptions(subscriptions=page, next=following)


@api.get("subscriptions/{id}", Key.READ, raises=[NotFoundError])
def get_subscription(id: str) -> Subscription:  # noqa: A002 # the path's own name
    """One subscription."""
    from shared.webhooks import subscriptions

    return _told(subscriptions.Subscriptions(clients().tables).get(id))


@api.delete("subscriptions/{id}", Key.OPERATE, raises=[NotFoundError])
def delete_subscription(id: str) -> Subscription:  # noqa: A002 # the path's own name
    """End a subscription. What still waits for it is not delivered."""
    from shared.webhooks.subscribing import unsubscribe

    return _told(unsubscribe(clients(), id))


@api.post(
    "subscriptions/{id}/test",
    Key.OPERATE,
    answers={202: Trial},
    raises=[NotFoundError],
    is_repeatable=True,
)
def try_subscription(id: str) -> Answer:  # noqa: A002 # the path's own name
    """Have an event of the type `LabelLoop.Test` delivered. A paused subscription is resumed by that."""
    from shared.webhooks.subscribing import send_trial

    event, found = send_trial(clients(), id)
    return Answer(Trial(event=event, subscription=_told(found)), 202, {"Location": _url(id)})


@api.post(
    "subscriptions/{id}/rotate",
    Key.OPERATE,
    answers={200: RotatedSubscription},
    raises=[NotFoundError],
    is_repeatable=True,
)
def rotate_secret(id: str) -> RotatedSubscription:  # noqa: A002 # the path's own name
    """Give a subscription a new secret, which is told this once. The old one signs as well for a day."""
    from shared.webhooks.subscribing import rotate

    found = rotate(clients(), id)
    secrets = {"secret": found.secret, "old_secret_until": found.old_secret_until}
    return msgspec.convert({**_report(found), **secrets}, RotatedSubscription)


def _report(subscription: Any) -> dict[str, Any]:
    from shared.webhooks.subscribing import subscription_report

    return subscription_report(subscription)


def _told(subscription: Any) -> Subscription:
    return msgspec.convert(_report(subscription), Subscription)


def _url(subscription_id: str) -> str:
    return f"/api/subscriptions/{subscription_id}"
