"""What the ledger costs in requests, counted at the HTTP transport."""

from __future__ import annotations

import math

import pytest

from shared.ledger import Batch, Image, Ledger, Settlement
from shared.ledger.images import IMAGES_PER_TRANSACTION
from shared.ledger.rows import SHARDS
from tests.contract.storage.unreliable import Requests, UnreliableClients
from tests.support import closed_later, make_settings

IMAGES = 400
# Looking, closing the gates, reading the members and so on: so many requests for each shard.
REQUESTS_PER_SHARD = 4


@pytest.fixture
def requests() -> Requests:
    return Requests()


@pytest.fixture
def ledger(storage: str, requests: Requests) -> Ledger:
    ledger = Ledger(closed_later(UnreliableClients(make_settings(), storage, requests)).tables)
    ledger.create()
    ledger.now()
    return ledger


def image(path: str, etag: str = "0x1") -> Image:
    return Image("images", path, etag, "images", path, etag)


def unasked() -> str:
    raise AssertionError("a path that is new needs no look at its blob")


def carry_out(ledger: Ledger, name: str) -> None:
    """One batch, as a dispatcher goes about it."""
    waiting = ledger.waiting(IMAGES).images
    batch = ledger.open_batch(Batch(name, "claiming", "inline", "", "m", "1", "m/1", "2026-11-24T00:00:00+00:00"))
    ledger.claim(name, waiting)
    ledger.fence(name, "")
    members = list(ledger.members(name))
    batch = ledger.advance(batch, state="claimed", images=len(members))
    ledger.settle(name, [Settlement(each, "scored", file="a.csv") for each in members])
    ledger.close_batch(batch)


def test_an_image_costs_one_request_at_its_arrival_and_a_small_part_of_one_later(
    ledger: Ledger, requests: Requests
) -> None:
    before = requests.total
    for number in range(IMAGES):
        assert ledger.record_arrival(image(f"{number}.jpg"), unasked)
    assert requests.total - before == IMAGES
    before = requests.total
    carry_out(ledger, "b1")
    transactions = 2 * (math.ceil(IMAGES / IMAGES_PER_TRANSACTION) + len(SHARDS))
    constant = 5 + REQUESTS_PER_SHARD * len(SHARDS)
    assert requests.total - before <= transactions + constant
    assert (IMAGES + requests.total - before) / IMAGES < 1.3
    assert {row["state"] for number in range(0, IMAGES, 50) for row in ledger.history("images", f"{number}.jpg")} == {
        "scored"
    }


def test_an_event_that_comes_again_and_a_content_that_replaces_another_cost_little_more(
    ledger: Ledger, requests: Requests
) -> None:
    ledger.record_arrival(image("a.jpg"), unasked)
    before = requests.total
    assert not ledger.record_arrival(image("a.jpg"), unasked)
    assert requests.total - before == 2
    before = requests.total
    assert ledger.record_arrival(image("a.jpg", "0x2"), lambda: "0x2")
    assert requests.total - before == 3


def test_a_batch_of_one_image_asks_its_own_shard_alone_but_for_the_look_at_what_waits(
    ledger: Ledger, requests: Requests
) -> None:
    ledger.record_arrival(image("a.jpg"), unasked)
    (waiting,) = ledger.waiting(10).images
    shard = waiting.image.partition
    before = requests.total
    ledger.claim("b1", [waiting])
    ledger.fence("b1", shard)
    (member,) = ledger.members("b1", shard)
    ledger.settle("b1", [Settlement(member, "scored")])
    assert requests.total - before == 4


def test_many_waiting_images_are_looked_at_by_pages_that_fit(ledger: Ledger, requests: Requests) -> None:
    for number in range(120):
        ledger.record_arrival(image(f"{number}.jpg"), unasked)
    before = requests.total
    assert len(ledger.waiting(40).images) == 40
    assert requests.total - before == len(SHARDS)
