"""Whatever fails, and whenever: each image ends as one row, and no job is submitted twice.

One stack, hurt in one way after the other. A request of the app is kept back by the local cloud, and while it hangs the
host is killed: so it dies at a known point (`points.py`), without any code in the product that knows of it. That a
dispatcher may die before each single one of its writes, and that each may come late, is tested on storage alone, in
`tests/contract/storage/test_batch_crashes.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from local.config import StackConfig
from tests.contract.local_stack import SDK_WARNINGS
from tests.faults.points import JOB, POINTS
from tests.faults.support import HELD, INLINE_MAX_IMAGES, SETTINGS, TOPIC, FaultyStack, QuickStack
from tests.support import close_clients

pytestmark = [pytest.mark.e2e, *map(pytest.mark.filterwarnings, SDK_WARNINGS)]

FEW, MANY = INLINE_MAX_IMAGES, INLINE_MAX_IMAGES + 5


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyStack]:
    folder = tmp_path_factory.mktemp("faults")
    state = folder / "state"
    url = StackConfig.load_or_create(state).arm_url
    settings = {**SETTINGS, "EVENTS_TOPIC_ENDPOINT": f"{url}/eventgrid/topics/{TOPIC}/api/events"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        with QuickStack(state, say=lambda _: None) as running:
            for name, value in running.config.identity_environment().items():
                patch.setenv(name, value)
            faulty = FaultyStack(running, folder)
            yield faulty
            faulty.close()
            close_clients()


@pytest.fixture(autouse=True)
def _no_faults_remain(stack: FaultyStack) -> Iterator[None]:
    yield
    stack.set_faults()


# Few images are scored in the app, more of them by a job. On the way of one drop the host dies several times, but in no
# step of a batch more than three times (then it would pause), and with no message more than four times.
WAYS: dict[str, tuple[int, list[str]]] = {
    "in the app": (
        FEW,
        [
            "arrival: check",
            "arrival: convert",
            "dispatch: open",
            "dispatch: claim",
            "dispatch: fence",
            "dispatch: manifest",
            "dispatch: known",
            "score: part",
            "collect: sealed",
            "collect: CSV",
        ],
    ),
    "by a job": (
        MANY,
        [
            "arrival: note",
            "dispatch: lease",
            "submit: asked",
            "submit: answered",
            "submit: noted",
            "collect: told",
            "collect: JSON Lines",
            "collect: Parquet",
            "collect: summary",
        ],
    ),
    "to its announcement": (FEW, ["arrival: reject", "collect: files", "collect: settled", "announce: queued"]),
    "to its end": (FEW, ["collect: closed", "announce: published", "announce: answered"]),
}


def test_every_point_is_on_a_way() -> None:
    assert sorted(point for _, points in WAYS.values() for point in points) == sorted(POINTS)


@pytest.mark.parametrize("way", WAYS)
def test_the_host_is_killed_at_every_point_of_the_way(stack: FaultyStack, way: str) -> None:
    count, names = WAYS[way]
    points = {name: POINTS[name] for name in names}
    stack.hold_at(points)
    images = stack.drop(f"way-{list(WAYS).index(way)}", count)
    stack.kill_at(points)
    stack.set_faults()
    stack.assert_each_once(images)


def test_no_event_comes_and_a_node_is_lost(stack: FaultyStack) -> None:
    lost = {"service": "events", "operation": "Microsoft.*", "lost": True}
    # The node is lost while it hangs with its outcomes, not written yet.
    hanging = {**POINTS["score: part"], **HELD}
    stack.set_faults(lost, hanging, {"service": "node", "path": "score-*", "lost_nodes": 1, "delay": 1, "times": 1})
    images = stack.drop("lost", MANY)
    stack.await_all_events()
    assert not stack.ledger.count_waiting(1), "nobody has told of them"
    stack.sweep()
    stack.assert_each_once(images)
    assert stack.used_up() == {1, 2}


@pytest.fixture(scope="module")
def hanging(stack: FaultyStack) -> set[str]:
    """Images of which the app asks for one and gets no answer: its SDK gives up after a minute, and asks again. What is
    tested in between costs no time.
    """
    check = POINTS["arrival: check"]
    stack.set_faults({**check, "path": "*/images/hanging/*", "times": 1, "delay": 62, "reset": True})
    images = stack.drop("hanging", FEW)
    stack.await_faults()
    return images


def test_events_come_twice_late_and_in_another_order(stack: FaultyStack, hanging: set[str]) -> None:
    events = {"service": "events", "operation": "Microsoft.*"}
    stack.set_faults(
        {**events, "times": 1, "delay": 5, "copies": 1}, {**events, "times": 1, "delay": 3}, {**events, "copies": 2}
    )
    images = stack.drop("events", FEW)
    stack.assert_each_once(images)
    stack.await_all_events()
    stack.assert_each_once(images)


def test_storage_and_azure_ml_are_busy_and_break_off(stack: FaultyStack, hanging: set[str]) -> None:
    storage: list[dict[str, Any]] = [
        *({"service": service, "skip": 3, "times": 2, "status": 503} for service in ("blob", "table")),
        *({"service": service, "skip": 3, "times": 1, "reset": True} for service in ("blob", "table")),
        # The service's own time-out, before and after the request was carried out.
        *({"service": service, "skip": 2, "times": 1, "status": 500} for service in ("blob", "table")),
        *({"service": service, "skip": 2, "times": 1, "status": 500, "after": True} for service in ("blob", "table")),
        # The SDK does not try again by itself.
        {"service": "table", "operation": "QueryEntities", "times": 2, "status": 429},
    ]
    failures: list[dict[str, Any]] = [
        {"status": 429, "retry_after": 1},
        {"status": 503},
        {"after": True, "reset": True},
        {"status": 504},
        {"after": True, "status": 504},
    ]
    azure_ml = [{**JOB, "times": 1, **failure} for failure in failures]
    stack.set_faults(*storage, *azure_ml)
    images = stack.drop("errors", MANY)
    stack.assert_each_once(images)
    stack.await_faults(len(storage) + len(azure_ml))


def test_a_request_gets_no_answer(stack: FaultyStack, hanging: set[str]) -> None:
    stack.assert_each_once(hanging)
