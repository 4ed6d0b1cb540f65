"""Event Grid triggers."""

from __future__ import annotations

from typing import Any

from tests.contract.host.support import RunningHost


def event(identifier: str, **data: Any) -> dict[str, Any]:
    return {
        "id": identifier,
        "topic": "topic",
        "subject": "subject",
        "eventType": "Sample.Happened",
        "eventTime": "2026-11-24T06:00:00Z",
        "data": data,
        "dataVersion": "1",
        "metadataVersion": "1",
    }


def test_the_handshake_is_answered(host: RunningHost) -> None:
    handshake = event("1", validationCode="code")
    response = host.deliver("EventGrid", "on_event", [handshake], "SubscriptionValidation")
    assert (response.status_code, response.json()) == (200, {"validationResponse": "code"})


def test_each_event_of_a_delivery_runs_the_function(host: RunningHost) -> None:
    assert host.deliver("EventGrid", "on_event", [event("a", n=1), event("b", n=2)]).status_code == 202
    assert host.await_seen("on_event", id="a") == [
        {"function": "on_event", "id": "a", "type": "Sample.Happened", "data": {"n": 1}}
    ]
    host.await_seen("on_event", id="b")


def test_a_single_event_needs_no_array(host: RunningHost) -> None:
    assert host.deliver("EventGrid", "on_event", event("single")).status_code == 202
    host.await_seen("on_event", id="single")


def test_a_failure_is_a_500_so_that_the_event_comes_again(host: RunningHost) -> None:
    response = host.deliver("EventGrid", "on_event", [event("good"), event("bad", bad=True)])
    assert (response.status_code, response.text) == (500, "ValueError: a bad event")


def test_a_function_that_is_not_there_is_not_found(host: RunningHost) -> None:
    response = host.deliver("EventGrid", "other", [event("1")])
    assert (response.status_code, response.text) == (404, "cannot find function: 'other'")


def test_unsubscribing_is_accepted_and_runs_nothing(host: RunningHost) -> None:
    assert host.deliver("EventGrid", "on_event", [event("unsubscribe")], "Unsubscribe").status_code == 202
    assert [seen for seen in host.seen("on_event") if seen["id"] == "unsubscribe"] == []


def test_the_key_of_the_other_webhook_does_not_open_this_one(host: RunningHost) -> None:
    key = host.keys["system"]["blobs_extension"]
    path = f"/runtime/webhooks/EventGrid?functionName=on_event&code={key}"
    headers = {"aeg-event-type": "Notification"}
    assert host.request("POST", path, json=[event("1")], headers=headers).status_code == 401


def test_cloud_events_have_their_own_handshake_and_arrive(host: RunningHost) -> None:
    key = host.keys["system"]["eventgrid_extension"]
    path = f"/runtime/webhooks/EventGrid?functionName=on_cloud_event&code={key}"
    response = host.request("OPTIONS", path, headers={"WebHook-Request-Origin": "eventgrid.azure.net"})
    assert (response.status_code, response.headers["WebHook-Allowed-Origin"]) == (200, "eventgrid.azure.net")
    cloud_event = {"specversion": "1.0", "id": "c", "source": "/s", "type": "Sample.Done", "data": {}}
    assert host.deliver("EventGrid", "on_cloud_event", cloud_event).status_code == 202
    host.await_seen("on_cloud_event", id="c", type="Sample.Done")
