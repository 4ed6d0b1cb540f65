"""Subscriptions of webhooks."""

import datetime as dt
from typing import Annotated, Literal

from msgspec import Meta, field

from handlers.contract.base import Asked, Cursor, Told

EventType = Literal[
    "LabelLoop.ImageRejected",
    "LabelLoop.ModelPromoted",
    "LabelLoop.ModelRegistered",
    "LabelLoop.PredictionsReady",
    "LabelLoop.TrainingFailed",
    "LabelLoop.TrainingStarted",
]


class SubscriptionRequest(Asked):
    """Where to deliver what."""

    url: Annotated[
        str,
        Meta(min_length=1, max_length=2048, description="an https URL with a public address"),
    ]
    events: Annotated[list[EventType], Meta(max_length=20, description="types of events; none: all")] = field(
        default_factory=list
    )
    description: Annotated[str, Meta(max_length=200, description="for people")] = ""


class Subscription(Told):
    """Who gets the events of some types, and whether they are taken."""

    id: str
    url: Annotated[str, Meta(description="of which the host alone is told, since the rest may hold a token")]
    events: Annotated[list[EventType], Meta(description="none: all")]
    description: str
    state: Literal["active", "paused"]
    reason: Annotated[str | None, Meta(description="why it is paused")]
    created: dt.datetime
    last_success: Annotated[dt.datetime | None, Meta(description="to the minute")]
    last_failure: dt.datetime | None
    last_error: Annotated[str | None, Meta(description="the last failure in words")]
    failures: Annotated[int, Meta(description="in a row, up to now")]


class NewSubscription(Subscription):
    """A subscription, and the secret that its deliveries are signed with."""

    secret: Annotated[str, Meta(description="`whsec_…` (Standard Webhooks); it is not told again")]


class RotatedSubscription(NewSubscription):
    """A subscription with its new secret."""

    old_secret_until: Annotated[
        dt.datetime, Meta(description="deliveries are signed with the old one, too, until then")
    ]


class Subscriptions(Told):
    """A page of subscriptions, the oldest first."""

    subscriptions: list[Subscription]
    next: Cursor


class Trial(Told):
    """An event that tells of nothing, on its way to a receiver."""

    event: Annotated[str, Meta(description="its id, and the header `webhook-id`")]
    subscription: Subscription
