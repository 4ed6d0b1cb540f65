"""Azure that throttles, breaks or loses answers, and many who ask at once. In order, on one stack."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from shared.clients import Clients
from shared.provisioning import Work, carry_out, note_request, provisioning_report
from shared.provisioning import work as module
from shared.provisioning.state import read_state
from tests.contract.local_stack import Cloud, problems, provision

REPORT_SECONDS = 120
POSTS = 50


def test_fifty_people_at_once_get_one_set_of_resources(cloud: Cloud, clients: Clients) -> None:
    stack = cloud.stack.environment()
    url, headers = f"{stack['FUNCTIONS_URL']}/api/provision", {"x-functions-key": stack["FUNCTIONS_KEY"]}

    def post(_: int) -> int:
        return requests.post(url, headers=headers, timeout=120).status_code

    with ThreadPoolExecutor(POSTS) as pool:
        assert set(pool.map(post, range(POSTS))) == {202}
    deadline = time.monotonic() + REPORT_SECONDS
    report: dict[str, Any] = {}
    while report.get("state") != "ready":
        assert time.monotonic() < deadline, problems(report)
        time.sleep(0.5)
        report = requests.get(url, headers=headers, timeout=30).json()
    group = clients.settings.azure_resource_group
    assert [each.name for each in clients.ml.compute.list()] == ["gpu-cluster"]
    topics = list(clients.event_grid.system_topics.list_by_resource_group(group))
    assert len(topics) == 2
    subscriptions = clients.event_grid.system_topic_event_subscriptions
    found = [each.name for topic in topics for each in subscriptions.list_by_system_topic(group, topic.name)]
    assert sorted(found) == [
        "labelloop-images",
        "labelloop-images-too-large",
        "labelloop-job-events",
        "labelloop-label-exports",
    ]
    assert read_state(clients).requested <= 5, "requests that none has taken up are one"


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_azure_is_asked_again_after_the_time_that_it_names(cloud: Cloud, clients: Clients, status: int) -> None:
    carry_out(clients, Work(delete="compute:gpu-cluster"))
    rules = [
        {"service": "arm", "operation": method, "path": path, "status": status, "retry_after": 1, "times": 2}
        for method, path in (("PUT", "*/computes/*"), ("GET", "*/workspaces/labelloop"), ("GET", "*/permissions"))
    ]
    began = time.monotonic()
    with cloud.faults(*rules):
        report = provision(clients)
    assert report["state"] == "ready", problems(report)
    assert time.monotonic() - began > 2


def test_a_run_that_azure_breaks_is_tried_again_by_itself_and_says_so_meanwhile(
    cloud: Cloud, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[Work, int]] = []
    monkeypatch.setattr(Work, "send", lambda work, _clients, delay=0: sent.append((work, delay)))
    carry_out(clients, Work(delete="datastore:images"))
    request = note_request(clients)
    work = Work(request)
    with cloud.faults({"service": "arm", "operation": "PUT", "path": "*/datastores/*", "status": 409}):
        for delay in module.RETRY_SECONDS:
            carry_out(clients, work)
            assert sent[-1] == (Work(request, attempt=work.attempt + 1), delay)
            report = provisioning_report(clients)
            assert report["state"] == "in_progress", "it is not given up yet"
            assert problems(report).keys() == {"datastore:images"}
            work = sent[-1][0]
        carry_out(clients, work)
    assert len(sent) == len(module.RETRY_SECONDS)
    assert provisioning_report(clients)["state"] == "failed"
    assert provision(clients)["state"] == "ready"


def test_a_run_that_can_not_even_be_planned_is_tried_again_too(
    cloud: Cloud, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[Work, int]] = []
    monkeypatch.setattr(Work, "send", lambda work, _clients, delay=0: sent.append((work, delay)))
    request = note_request(clients)
    with cloud.faults({"service": "arm", "operation": "GET", "path": "*/permissions", "status": 400}):
        carry_out(clients, Work(request))
        carry_out(clients, Work(request, attempt=len(module.RETRY_SECONDS)))
    assert sent == [(Work(request, attempt=1), module.RETRY_SECONDS[0])]
    report = provisioning_report(clients)
    assert (report["state"], "fault injected" in report["error"]) == ("failed", True)
    report = provision(clients)
    assert (report["state"], report["error"]) == ("ready", "")


def test_an_answer_that_is_lost_on_its_way_does_no_harm(cloud: Cloud, clients: Clients) -> None:
    for resource_id in ("compute:gpu-cluster", "event-subscription:labelloop-images"):
        carry_out(clients, Work(delete=resource_id))
    lost = {"service": "arm", "operation": "PUT", "path": "*", "reset": True, "after": True, "times": 2}
    with cloud.faults(lost):
        provision(clients)
    report = provision(clients)
    assert report["state"] == "ready", problems(report)
    assert [each.name for each in clients.ml.compute.list()] == ["gpu-cluster"]
