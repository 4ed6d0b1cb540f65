"""Workers that are killed after every single step, and others that go on where these ended."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest
from azure.ai.ml.entities import AmlCompute
from azure.storage.blob import BlobLeaseClient

from shared import locks
from shared.clients import Clients
from shared.provisioning import Work, carry_out, compute, note_request, plan_report, provisioning_report
from shared.provisioning import work as module
from shared.provisioning.data_account import foundation
from shared.provisioning.desired import desired_resources
from shared.provisioning.resource import Resource
from shared.provisioning.state import State, change_state
from tests.contract.local_stack import Cloud, problems


class KilledError(BaseException):
    """The process is gone: nothing may catch this."""


def killed_at(clients: Clients, request: int) -> bool:
    """Whether a worker was killed on its way; one that is not has done all that there was to do."""
    try:
        carry_out(clients, Work(request))
    except KilledError:
        return True
    return False


@pytest.fixture
def unlocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead worker's lease runs out after a minute. Here the others need not wait for that."""
    monkeypatch.setattr(module, "lock", lambda *_: contextlib.nullcontext(enter_result=True))


@pytest.mark.usefixtures("unlocked")
def test_killed_after_each_resource_that_was_made(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def fatal(resource: Resource) -> Resource:
        make = resource.make

        def make_and_die() -> None:
            make()
            made.append(resource.id)
            raise KilledError

        monkeypatch.setattr(resource, "make", make_and_die)
        return resource

    request = note_request(clients)  # It makes the table, a container and the queues by itself.
    monkeypatch.setattr(module, "desired_resources", lambda known: [fatal(each) for each in desired_resources(known)])
    while killed_at(clients, request):
        assert provisioning_report(clients)["state"] == "in_progress"
        assert len(made) == len(set(made)), "a worker made again what another had made before it"
    report = provisioning_report(clients)
    assert report["state"] == "ready", problems(report)
    assert made == [each["id"] for each in report["resources"] if each["id"] in made], "in the order of dependence"
    assert len(made) == len(report["resources"]) - len(foundation(clients))


@pytest.mark.usefixtures("unlocked")
def test_killed_before_and_after_each_note_of_its_progress(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    """The resources are there already, but for one of each kind that is made anew; every write of the state is fatal
    once, first just before it, then just after it.
    """
    for resource_id in ("compute:gpu-cluster", "event-subscription:labelloop-images", "datastore:images"):
        carry_out(clients, Work(delete=resource_id))
    request = note_request(clients)
    writes = {"survived": 0, "seen": 0, "killed": 0}

    def fatal(known: Clients, change: Callable[[State], None]) -> State:
        writes["seen"] += 1
        step, is_after = divmod(writes["survived"], 2)
        if writes["seen"] == step + 1:
            if is_after:
                change_state(known, change)
            raise KilledError
        return change_state(known, change)

    monkeypatch.setattr(module, "change_state", fatal)
    while killed_at(clients, request):
        writes.update(survived=writes["survived"] + 1, seen=0, killed=writes["killed"] + 1)
    assert writes["killed"] > 5
    report = provisioning_report(clients)
    assert report["state"] == "ready", problems(report)
    monkeypatch.undo()
    assert plan_report(clients)["state"] == "unchanged"


def test_a_worker_that_finds_another_at_work_comes_again_later(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(Work, "send", lambda work, _clients, delay=0: sent.append((work, delay)))
    request = note_request(clients)
    with locks.lock(clients, module.LOCK_PATH) as is_mine:
        assert is_mine
        carry_out(clients, Work(request))
    assert sent == [(Work(request), 10)]
    assert provisioning_report(clients)["state"] == "in_progress"
    carry_out(clients, Work(request))
    assert provisioning_report(clients)["state"] == "ready"


def test_a_cluster_that_a_dead_worker_left_half_made_is_waited_for_by_the_run_alone(
    cloud: Cloud, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry_out(clients, Work(delete="compute:gpu-cluster"))
    slow = {"service": "operations", "operation": "PUT", "path": "*/computes/*", "delay": 8}
    with cloud.faults(slow):
        creation = AmlCompute(name="gpu-cluster", size="Standard_NC4as_T4_v3", max_instances=2)
        clients.ml.compute.begin_create_or_update(creation)
    monkeypatch.setattr(compute, "POLL_SECONDS", -1)  # A plan does not wait: to sleep so long is an error.
    planned = next(each for each in plan_report(clients)["resources"] if each["id"] == "compute:gpu-cluster")
    assert (planned["action"], planned["actual"]["state"]) == ("update", "Creating")
    monkeypatch.setattr(compute, "POLL_SECONDS", 0.5)
    carry_out(clients, Work(note_request(clients)))
    report = provisioning_report(clients)
    assert report["state"] == "ready", problems(report)


def test_a_long_run_keeps_its_lease_and_a_short_one_gives_it_back(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewals: list[str] = []
    enough = threading.Event()
    renew = BlobLeaseClient.renew

    def spied(lease: BlobLeaseClient) -> None:
        renew(lease)
        renewals.append(lease.id)
        if len(renewals) == 3:
            enough.set()

    monkeypatch.setattr(BlobLeaseClient, "renew", spied)
    monkeypatch.setattr(locks, "RENEW_SECONDS", 0.05)
    with locks.lock(clients, module.LOCK_PATH) as is_mine:
        assert is_mine
        assert enough.wait(30), "the lease was not renewed"
        with locks.lock(clients, module.LOCK_PATH) as other:
            assert not other
    assert len(set(renewals)) == 1
    with locks.lock(clients, module.LOCK_PATH) as again:
        assert again
