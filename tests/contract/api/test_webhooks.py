"""A webhook's whole way: subscribed to over HTTP, told of what happens in storage, signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator

import pytest

from shared.clients import Clients
from shared.images import receive_image
from shared.ledger import Ledger
from tests.contract.api.conftest import Ask
from tests.contract.cloud.recorder import await_true
from tests.contract.local_stack import Cloud
from tests.support import drop_image
from tests.unit.shared.webhooks.receiver import Delivery, Receiver


@pytest.fixture
def receiver(cloud: Cloud) -> Iterator[Receiver]:
    """It has the stack's certificate, which the app trusts."""
    with Receiver(cloud.stack.config.state) as receiver:
        yield receiver


def is_signed(delivery: Delivery, secret: str) -> bool:
    """By the Standard Webhooks scheme: https://github.com/standard-webhooks/standard-webhooks"""
    headers = delivery.headers
    told = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + delivery.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.new(key, told, hashlib.sha256).digest()).decode()
    return f"v1,{signature}" in headers["webhook-signature"].split()


def test_a_refused_image_is_told_to_a_subscriber(ask: Ask, clients: Clients, receiver: Receiver) -> None:
    wanted = {"url": receiver.url("/hook?token=1", host="127.0.0.1"), "events": ["LabelLoop.ImageRejected"]}
    answer = ask("POST", "/api/subscriptions", "operate", json=wanted)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    where = f"/api/subscriptions/{made['id']}"
    assert ask("POST", f"{where}/test", "operate").status_code == 202
    await_true(lambda: receiver.deliveries, "delivery of the test")
    # The stack's own events are kept back.
    drop_image(clients, "2026/11/told.jpg", b"no image")
    receive_image(clients, Ledger(clients.tables), "2026/11/told.jpg", b"no image")
    await_true(lambda: len(receiver.deliveries) == 2, "delivery of the rejection")
    first, second = ((json.loads(each.body), each) for each in receiver.deliveries)
    assert (first[0]["type"], second[0]["type"]) == ("LabelLoop.Test", "LabelLoop.ImageRejected")
    assert second[0]["subject"] == "2026/11/told.jpg"
    assert second[1].path == "/hook?token=1"
    assert all(is_signed(delivery, made["secret"]) for _, delivery in (first, second))
    told = ask("GET", where, "read").json()
    assert (told["state"], told["failures"], "secret" in told) == ("active", 0, False)
    assert ask("DELETE", where, "operate").status_code == 200
    assert ask("GET", where, "read").status_code == 404


@pytest.mark.parametrize(
    "url", ["https://10.0.0.1/", "https://127.0.0.2/", "https://169.254.169.254/", "http://x.org/"]
)
def test_nothing_is_delivered_to_what_only_the_app_reaches(ask: Ask, url: str) -> None:
    answer = ask("POST", "/api/subscriptions", "operate", json={"url": url})
    assert answer.status_code == 422
    assert answer.json()["field"] == "url"
