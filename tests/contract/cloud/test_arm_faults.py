"""What a client of ARM has to live with: throttling, outages, slow and lost answers."""

from __future__ import annotations

import time

import pytest
import requests
from azure.ai.ml import MLClient

from tests.contract.cloud.arm import Arm, faults
from tests.contract.cloud.conftest import RunningStack


@pytest.mark.parametrize(("status", "code"), [(429, "TooManyRequests"), (503, "ServiceUnavailable")])
def test_a_throttled_request_says_when_to_come_again(
    arm: Arm, ml: MLClient, stack: RunningStack, status: int, code: str
) -> None:
    rule = {"service": "arm", "path": "*/computes/gpu-cluster", "status": status, "retry_after": 1, "times": 1}
    with faults(stack, rule):
        answer = arm.send("GET", f"{arm.workspace}/computes/gpu-cluster")
    assert (answer.status_code, answer.headers["Retry-After"]) == (status, "1")
    assert answer.json()["error"]["code"] == code
    with faults(stack, rule):
        assert ml.compute.get("gpu-cluster").name == "gpu-cluster"


def test_an_answer_may_be_late(arm: Arm, stack: RunningStack) -> None:
    with faults(stack, {"service": "arm", "path": "*/computes", "delay": 0.5}):
        start = time.monotonic()
        assert arm.send("GET", f"{arm.workspace}/computes").status_code == 200
        assert time.monotonic() - start >= 0.5


@pytest.mark.parametrize("after", [False, True])
def test_a_connection_may_break_before_or_after_the_request_was_carried_out(
    arm: Arm, stack: RunningStack, ml: MLClient, after: bool
) -> None:
    path = f"{arm.workspace}/datastores/lost_{after}".lower()
    properties = {"datastoreType": "AzureBlob", "accountName": arm.config.account_name, "containerName": "c"}
    rule = {"service": "arm", "operation": "PUT", "reset": True, "after": after, "times": 1}
    with faults(stack, rule), pytest.raises(requests.ConnectionError):
        arm.send("PUT", path, json={"properties": properties})
    assert arm.send("GET", path).status_code == (200 if after else 404)


def test_a_request_may_be_carried_out_although_its_answer_is_an_error(arm: Arm, stack: RunningStack) -> None:
    path = arm.provider("Microsoft.EventGrid/topics/answered-500", "elsewhere")
    with faults(stack, {"service": "arm", "operation": "PUT", "status": 500, "after": True, "times": 1}):
        assert arm.send("PUT", path, json={"location": "westeurope"}).status_code == 500
    assert arm.send("GET", path).json()["name"] == "answered-500"
    assert arm.send("DELETE", path).status_code == 202


def test_errors_have_the_form_of_arm(arm: Arm) -> None:
    answer = arm.send("GET", arm.provider("Microsoft.MachineLearningServices/workspaces/nowhere"))
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert error["code"] == "ResourceNotFound"
    assert "'Microsoft.MachineLearningServices/workspaces/nowhere' under resource group 'labelloop'" in error["message"]


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"service": "events", "lost": True, "after": True}, "only blob, queue, table, arm answer requests"),
        ({"service": "arm", "content": "*x*", "reset": True}, "only blob, queue, table know contents"),
    ],
)
def test_a_fault_that_no_service_has_is_refused(stack: RunningStack, rule: dict[str, object], problem: str) -> None:
    answer = stack.admin("PUT", "/faults", json={"value": [rule]})
    assert answer.status_code == 400
    assert problem in answer.json()["error"]["message"]
