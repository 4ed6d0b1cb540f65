"""Whatever fails, and whenever: each image ends as one row, and no job is submitted twice.

One stack, hurt in one way after the other. A request of the app is kept back by the local cloud, and while it hangs the
host is killed: so it dies at a known point, without any code in the product that knows of it. That a dispatcher may die
before each single one of its writes is tested in `tests/contract/storage/test_batches.py`; lost nodes and lost events
are in `tests/contract/cloud_client/test_lost_nodes.py` and `tests/contract/storage/test_sweep.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from local.config import StackConfig
from local.stack import Stack
from tests.contract.local_stack import SDK_WARNINGS
from tests.faults.support import HELD, INLINE_MAX_IMAGES, SETTINGS, TOPIC, FaultyStack
from tests.support import close_clients

pytestmark = [pytest.mark.e2e, *map(pytest.mark.filterwarnings, SDK_WARNINGS)]

FEW, MANY = INLINE_MAX_IMAGES, INLINE_MAX_IMAGES + 5
TRANSACTIONS: dict[str, Any] = {"service": "table", "operation": "EntityGroupTransaction"}
SUBMISSIONS: dict[str, Any] = {"service": "arm", "operation": "PUT", "path": "*/jobs/score-*"}
MESSAGES: dict[str, Any] = {"service": "queue", "operation": "PutMessage"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyStack]:
    folder = tmp_path_factory.mktemp("faults")
    state = folder / "state"
    url = StackConfig.load_or_create(state).arm_url
    settings = {**SETTINGS, "EVENTS_TOPIC_ENDPOINT": f"{url}/eventgrid/topics/{TOPIC}/api/events"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        with Stack(state, say=lambda _: None) as running:
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


# Few images are scored in the app, more of them by a job.
KILLS: dict[str, tuple[int, dict[str, Any]]] = {
    "arrival: the second image is noted": (FEW, {**TRANSACTIONS, "skip": 1}),
    "dispatch: images are claimed": (FEW, {**TRANSACTIONS, "skip": FEW + 1}),
    "submit: Azure ML is asked": (MANY, SUBMISSIONS),
    "submit: Azure ML answers": (MANY, {**SUBMISSIONS, "after": True}),
    "collect: a job's end is told": (MANY, {**MESSAGES, "path": "*/job-events/messages"}),
    "collect: a file is written": (FEW, {"service": "blob", "operation": "PutBlob", "path": "*/predictions/*.csv"}),
    "announce: an announcement is queued": (FEW, {**MESSAGES, "path": "*/announcements/messages"}),
}


@pytest.mark.parametrize("point", KILLS)
def test_the_host_is_killed(stack: FaultyStack, point: str) -> None:
    count, request = KILLS[point]
    stack.set_faults({**request, **HELD})
    names = stack.drop(f"kill-{list(KILLS).index(point)}", count)
    stack.await_faults()
    stack.kill_host()
    stack.set_faults()
    stack.assert_each_once(names)


def test_events_come_twice_late_and_in_another_order(stack: FaultyStack) -> None:
    events = {"service": "events", "operation": "Microsoft.*"}
    stack.set_faults(
        {**events, "times": 1, "delay": 5, "copies": 1}, {**events, "times": 1, "delay": 3}, {**events, "copies": 2}
    )
    names = stack.drop("events", FEW)
    stack.assert_each_once(names)
    stack.await_all_events()
    stack.assert_each_once(names)


def test_storage_and_azure_ml_are_busy_and_break_off(stack: FaultyStack) -> None:
    storage: list[dict[str, Any]] = [
        *({"service": service, "skip": 3, "times": 2, "status": 503} for service in ("blob", "table")),
        *({"service": service, "skip": 3, "times": 1, "reset": True} for service in ("blob", "table")),
        # The SDK does not try again by itself.
        {"service": "table", "operation": "QueryEntities", "times": 2, "status": 429},
    ]
    failures = ({"status": 429, "retry_after": 1}, {"status": 503}, {"after": True, "reset": True})
    azure_ml = [{**SUBMISSIONS, "times": 1, **failure} for failure in failures]
    stack.set_faults(*storage, *azure_ml)
    names = stack.drop("errors", MANY)
    stack.assert_each_once(names)
    stack.await_faults(len(storage) + len(azure_ml))
