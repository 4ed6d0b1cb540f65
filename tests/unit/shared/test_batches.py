"""When waiting images become a batch, and where it is scored."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest

from shared.batches.decision import decide
from shared.ledger import Image, Waiting, WaitingImages
from tests.support import make_settings

NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
# A batch is full at 100 images; up to 10 are scored in the app.
SETTINGS = {"batch_max_images": 100, "inline_max_images": 10, "batch_quiet_seconds": 5, "batch_max_wait_seconds": 300}
SETTINGS["batch_min_images"] = 1


def waiting(count: int, *, first: float = 60, last: float = 60) -> WaitingImages:
    """`count` images, the first of which has waited for `first` seconds, the last for `last`."""
    step = (first - last) / max(count - 1, 1)
    ages = [first - step * number for number in range(count)]
    image = Image("images", "a.jpg", "0x1", "images", "a.jpg", "0x1")
    return WaitingImages(tuple(Waiting(image, "w", NOW - dt.timedelta(seconds=age)) for age in ages), NOW)


def with_rejected(images: WaitingImages, rejected: int) -> WaitingImages:
    """The same with so many rejected images more."""
    (some, *_) = images.images
    refused = Waiting(dataclasses.replace(some.image, error="no image"), "w", some.since)
    return WaitingImages((*images.images, *[refused] * rejected), NOW)


@pytest.mark.parametrize(
    ("images", "has_model", "route", "reason"),
    [
        (waiting(0), True, "wait", "nothing waits"),
        (waiting(0), False, "wait", "nothing waits"),
        (waiting(3), False, "wait", "3 images wait for a first model"),
        (waiting(100), False, "wait", "100 images wait for a first model"),
        (waiting(3), True, "inline", "3 images, at most INLINE_MAX_IMAGES (10)"),
        (waiting(10), True, "inline", "10 images, at most"),
        (waiting(11), True, "cluster", "11 images, more than INLINE_MAX_IMAGES (10)"),
        (waiting(3, last=4.9), True, "wait", "3 images wait; more are coming"),
        (waiting(3, last=5), True, "inline", "at most"),
        (waiting(50, last=0), True, "wait", "more are coming"),
        (waiting(100, last=0), True, "cluster", "100 images"),
        (waiting(50, first=299, last=0), True, "wait", "more are coming"),
        (waiting(50, first=300, last=0), True, "cluster", "50 images"),
        (waiting(1, first=-1, last=-1), True, "wait", "1 images wait; more are coming"),
    ],
)
def test_what_waits_becomes_a_batch_when_it_is_full_quiet_or_overdue(
    images: WaitingImages, has_model: bool, route: str, reason: str
) -> None:
    decision = decide(images, make_settings(**SETTINGS), has_model=has_model)
    assert decision.route == route
    assert reason in decision.reason


def test_with_no_images_inline_even_one_goes_to_the_cluster() -> None:
    settings = make_settings(inline_max_images=0, batch_min_images=1)
    assert decide(waiting(1), settings, has_model=True).route == "cluster"


def test_when_no_quiet_is_asked_for_the_coarse_clock_of_storage_holds_up_nothing() -> None:
    # Storage tells its time in whole seconds (the Date header), and of a row in fractions: an age may be below zero.
    fresh = waiting(1, first=-0.9, last=-0.9)
    assert decide(fresh, make_settings(batch_quiet_seconds=0), has_model=True).route == "inline"


# Fewer images than these start no node.
COSTLY = {**SETTINGS, "batch_min_images": 40}


@pytest.mark.parametrize(
    ("images", "changes", "warm", "route", "reason"),
    [
        (waiting(10), {}, False, "inline", "10 images, at most INLINE_MAX_IMAGES (10)"),
        (
            waiting(11),
            {},
            False,
            "wait",
            "11 images, fewer than BATCH_MIN_IMAGES (40); they wait up to BATCH_MAX_WAIT_S",
        ),
        (waiting(39, first=299), {}, False, "wait", "39 images, fewer than BATCH_MIN_IMAGES (40)"),
        (waiting(39, first=300), {}, False, "inline", "no more came within BATCH_MAX_WAIT_SECONDS (300), and a node"),
        (waiting(11, first=300), {"inline_max_images": 0}, False, "cluster", "INLINE_MAX_IMAGES is 0"),
        (waiting(40), {}, False, "cluster", "40 images, more than INLINE_MAX_IMAGES (10)"),
        (waiting(40, last=0), {}, False, "wait", "more are coming"),
        (waiting(11), {}, True, "cluster", "the cluster has a node already"),
        (waiting(11), {"compute_min_nodes": 1}, False, "cluster", "the cluster has a node already"),
        (waiting(11, last=0), {}, True, "wait", "more are coming"),
        (waiting(30), {"batch_max_images": 30}, False, "cluster", "30 images, more than INLINE_MAX_IMAGES"),
        (with_rejected(waiting(3), 30), {}, False, "inline", "3 images, at most"),
        (with_rejected(waiting(30), 30), {}, False, "wait", "30 images, fewer than BATCH_MIN_IMAGES"),
        (with_rejected(waiting(3), 97), {}, False, "inline", "3 images, at most"),
        (with_rejected(waiting(30), 70), {}, False, "cluster", "30 images, more than"),
    ],
)
def test_a_cold_cluster_is_started_for_many_images_and_few_are_scored_in_the_app_after_their_wait(
    images: WaitingImages, changes: dict[str, object], warm: bool, route: str, reason: str
) -> None:
    decision = decide(images, make_settings(**{**COSTLY, **changes}), has_model=True, cluster_is_warm=warm)
    assert decision.route == route
    assert reason in decision.reason
