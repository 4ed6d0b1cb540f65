"""Changed settings, what Azure can't change, and deletion. In order, on one stack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml.entities import AzureBlobDatastore
from azure.mgmt.eventgrid.models import SystemTopic

from handlers.provision import provision_poisoned
from handlers.routes.provisioning import provision_delete, provision_start
from shared.clients import Clients
from shared.errors import ConflictError, ForbiddenError
from shared.provisioning import Work, carry_out, note_request, plan_report, provisioning_report, request_deletion
from shared.provisioning.topics import WORKSPACE_TOPIC_TYPE
from shared.provisioning.work import RETRY_SECONDS
from tests.contract.local_stack import Cloud, MakeClients, problems, provision
from tests.unit.handlers.conftest import use
from tests.unit.handlers.support import body_of, message, request, user_function

IDENTITIES = "/providers/Microsoft.ManagedIdentity/userAssignedIdentities"


def resource(report: dict[str, Any], resource_id: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in report["resources"] if each["id"] == resource_id)
    return found


def test_provisioned(clients: Clients) -> None:
    report = provision(clients)
    assert report["state"] == "ready", problems(report)


def test_a_changed_setting_is_shown_by_the_plan_and_applied(make: MakeClients) -> None:
    changed = make(compute_max_nodes=3, compute_idle_seconds=1200, max_image_megabytes=50)
    identity = f"{changed.settings.resource_group_id}{IDENTITIES}/nodes"
    changed = make(compute_max_nodes=3, compute_idle_seconds=1200, max_image_megabytes=50, compute_identity=identity)
    plan = plan_report(changed)
    assert plan["state"] == "changes"
    compute = resource(plan, "compute:gpu-cluster")
    assert compute["action"] == "update"
    assert {each["property"]: (each["desired"], each["actual"]) for each in compute["differences"]} == {
        "max_nodes": (3, 2),
        "idle_seconds": (1200, 600),
        "identity": (identity, "SystemAssigned"),
    }
    assert resource(plan, "event-subscription:labelloop-images")["action"] == "update"
    assert resource(plan, "event-subscription:labelloop-label-exports")["action"] == "exists"
    report = provision(changed)
    assert report["state"] == "ready", problems(report)
    found = changed.ml.compute.get("gpu-cluster")
    assert (found.max_instances, found.idle_time_before_scale_down) == (3, 1200)
    assert [each.resource_id for each in found.identity.user_assigned_identities] == [identity]
    assert [each for each in plan_report(changed)["resources"] if each["action"] != "exists"] == []


def test_a_size_can_not_be_changed_in_place_and_the_cluster_stays_as_it_is(make: MakeClients) -> None:
    other = make(compute_size="Standard_NC8as_T4_v3", compute_max_nodes=2)
    planned = resource(plan_report(other), "compute:gpu-cluster")
    assert planned["action"] == "conflict"
    assert "choose another COMPUTE_NAME, or DELETE /api/provision/compute:gpu-cluster" in planned["remedy"]
    report = provision(other)
    assert report["state"] == "failed"
    assert list(problems(report)) == ["compute:gpu-cluster"], "all else is made"
    found = resource(report, "compute:gpu-cluster")
    assert found["state"] == "conflict"
    assert "size is 'Standard_NC4as_T4_v3', wanted 'Standard_NC8as_T4_v3'" in found["error"]
    assert other.ml.compute.get("gpu-cluster").size == "Standard_NC4as_T4_v3"


def test_a_rotated_key_is_found_and_renewed(cloud: Cloud, clients: Clients) -> None:
    path: Path = cloud.stack.config.host_keys
    kept = path.read_text()
    keys = json.loads(kept)
    keys["system"]["blobs_extension"] = "rotated"
    path.write_text(json.dumps(keys))
    planned = resource(plan_report(clients), "event-subscription:labelloop-images")
    assert [(each["property"], each["actual"]) for each in planned["differences"] if each["property"] == "key"] == [
        ("key", "outdated")
    ]
    path.write_text(kept)
    report = provision(clients)
    assert report["state"] == "ready", problems(report)


def test_without_the_blob_extension_s_key_it_is_said_what_is_missing(cloud: Cloud, clients: Clients) -> None:
    path: Path = cloud.stack.config.host_keys
    kept = path.read_text()
    keys = json.loads(kept)
    del keys["system"]["blobs_extension"]
    path.write_text(json.dumps(keys))
    try:
        report = provision(clients)
    finally:
        path.write_text(kept)
    assert "no system key blobs_extension yet" in problems(report)["event-subscription:labelloop-images"]
    assert provision(clients)["state"] == "ready"


def test_a_subscription_whose_handshake_failed_is_made_anew(cloud: Cloud, clients: Clients) -> None:
    group, topic = clients.settings.azure_resource_group, "labelloop-devstoreaccount1"
    carry_out(clients, Work(delete="event-subscription:labelloop-images"))
    path: Path = cloud.stack.config.host_keys
    kept = path.read_text()
    keys = json.loads(kept)
    keys["system"]["blobs_extension"] = "not what the host has"
    path.write_text(json.dumps(keys))
    try:
        report = provision(clients)
    finally:
        path.write_text(kept)
    assert "handshake" in problems(report)["event-subscription:labelloop-images"]
    subscriptions = clients.event_grid.system_topic_event_subscriptions
    assert subscriptions.get(group, topic, "labelloop-images").provisioning_state == "Failed"
    assert resource(plan_report(clients), "event-subscription:labelloop-images")["action"] == "update"
    report = provision(clients)
    assert report["state"] == "ready", problems(report)
    assert subscriptions.get(group, topic, "labelloop-images").provisioning_state == "Succeeded"


def test_a_workspace_on_another_account_is_a_conflict_since_exports_would_land_elsewhere(make: MakeClients) -> None:
    group = make().settings.resource_group_id
    other = make(data_storage_resource_id=f"{group}/providers/Microsoft.Storage/storageAccounts/other")
    planned = resource(plan_report(other), "workspace:labelloop")
    assert planned["action"] == "conflict"
    assert "label exports land in the workspace's own storage account" in planned["remedy"]
    report = provision(other)
    found = {each["id"]: each["state"] for each in report["resources"]}
    assert found["workspace:labelloop"] == "conflict"
    assert found["compute:gpu-cluster"] == "waiting", "nothing is put into another team's workspace"
    assert provision(make())["state"] == "ready"


def test_a_datastore_that_shows_something_else_is_a_conflict_and_left_as_it_is(
    make: MakeClients, clients: Clients
) -> None:
    store = AzureBlobDatastore(name="taken", account_name=clients.account_name, container_name="images")
    clients.ml.datastores.create_or_update(store)
    report = provision(make(predictions_container="taken"))
    assert "container is 'images', wanted 'taken'" in problems(report)["datastore:taken"]
    assert clients.ml.datastores.get("taken").container_name == "images"
    assert provision(clients)["state"] == "ready"


def test_nothing_is_deleted_without_its_name_repeated(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    use(clients, monkeypatch)
    for body in (b"", b'{"name": "other"}', b"[]", b"no json"):
        path = "/api/provision/compute:gpu-cluster"
        answer = user_function(provision_delete)(
            request("DELETE", path, body=body, route={"resource": "compute:gpu-cluster"})
        )
        assert answer.status_code == 400
    assert clients.ml.compute.get("gpu-cluster")


def test_what_holds_data_is_not_deleted_by_the_app(clients: Clients) -> None:
    for kind, name in (("container", "images"), ("table", "ledger"), ("queue", "provision")):
        with pytest.raises(ConflictError, match=f"{kind} {name} is not deleted by the app: .*az storage {kind} delete"):
            request_deletion(clients, f"{kind}:{name}", name)
    with pytest.raises(ConflictError, match="az ml environment archive"):
        request_deletion(clients, "environment:labelloop-cluster", "labelloop-cluster")


def test_an_unknown_resource_is_not_found(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    use(clients, monkeypatch)
    answer = user_function(provision_delete)(
        request("DELETE", "/api/provision/x", body=b'{"name": "x"}', route={"resource": "x"})
    )
    assert answer.status_code == 404
    assert "compute:gpu-cluster" in body_of(answer)["detail"]


@pytest.mark.parametrize(
    "resource_id",
    [
        "compute:gpu-cluster",
        "datastore:predictions",
        "event-subscription:labelloop-job-events",
        "system-topic:labelloop-labelloop",
    ],
)
def test_what_is_deleted_is_gone_and_made_again_when_asked(clients: Clients, resource_id: str) -> None:
    carry_out(clients, Work(delete=resource_id))
    report = provisioning_report(clients)
    assert (report["state"], resource(report, resource_id)["state"]) == ("incomplete", "deleted")
    assert resource(plan_report(clients), resource_id)["action"] == "create"
    carry_out(clients, Work(delete=resource_id))
    assert resource(provisioning_report(clients), resource_id)["state"] == "deleted", "twice is once"
    report = provision(clients)
    assert report["state"] == "ready", problems(report)


def test_what_others_made_is_not_deleted_under_our_name(clients: Clients) -> None:
    group = clients.settings.azure_resource_group
    topics = clients.event_grid.system_topics
    carry_out(clients, Work(delete="system-topic:labelloop-labelloop"))
    other = SystemTopic(
        location=clients.settings.azure_location,
        source=clients.settings.workspace_id,
        topic_type=WORKSPACE_TOPIC_TYPE,
    )
    topics.begin_create_or_update(group, "team-x-topic", other).result()
    carry_out(clients, Work(delete="system-topic:labelloop-labelloop", attempt=len(RETRY_SECONDS)))
    found = resource(provisioning_report(clients), "system-topic:labelloop-labelloop")
    assert "is team-x-topic, which others made" in found["error"]
    assert topics.get(group, "team-x-topic")
    topics.begin_delete(group, "team-x-topic").result()
    report = provision(clients)
    assert report["state"] == "ready", problems(report)


def test_a_retry_does_not_make_again_what_was_deleted_meanwhile(clients: Clients) -> None:
    request = note_request(clients)
    carry_out(clients, Work(delete="datastore:images"))
    carry_out(clients, Work(request))
    report = provisioning_report(clients)
    assert (report["state"], resource(report, "datastore:images")["state"]) == ("incomplete", "deleted")
    assert provision(clients)["state"] == "ready"


def test_work_that_was_taken_up_in_vain_again_and_again_is_reported(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(clients, monkeypatch)
    user_function(provision_poisoned)(message({"request": note_request(clients)}))
    report = provisioning_report(clients)
    assert (report["state"], "did not get to its end" in report["error"]) == ("failed", True)
    user_function(provision_poisoned)(message({"delete": "datastore:images"}))
    assert resource(provisioning_report(clients), "datastore:images")["state"] == "failed"
    assert provision(clients)["state"] == "ready"


def test_a_deletion_is_asked_for_over_http_and_done_from_the_queue(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(clients, monkeypatch)
    sent: list[Work] = []
    monkeypatch.setattr(Work, "send", lambda work, _clients, _delay=0: sent.append(work))
    answer = user_function(provision_delete)(
        request(
            "DELETE",
            "/api/provision/compute:gpu-cluster",
            body=b'{"name": "gpu-cluster"}',
            route={"resource": "compute:gpu-cluster"},
        )
    )
    assert answer.status_code == 202
    assert sent == [Work(delete="compute:gpu-cluster")]


def test_a_deletion_that_fails_is_reported_and_tried_again(
    cloud: Cloud, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[Work, int]] = []
    monkeypatch.setattr(Work, "send", lambda work, _clients, delay=0: sent.append((work, delay)))
    with cloud.faults({"service": "arm", "operation": "DELETE", "path": "*/computes/*", "status": 409}):
        carry_out(clients, Work(delete="compute:gpu-cluster"))
    found = resource(provisioning_report(clients), "compute:gpu-cluster")
    assert found["state"] == "failed"
    assert "could not be deleted" in found["error"]
    assert sent == [(Work(delete="compute:gpu-cluster", attempt=1), 10)]
    provision(clients)


def test_a_deleted_workspace_can_be_recovered_so_its_name_is_not_free(clients: Clients) -> None:
    carry_out(clients, Work(delete="workspace:labelloop"))
    assert resource(provisioning_report(clients), "workspace:labelloop")["state"] == "deleted"
    report = provision(clients)
    assert "Soft-deleted workspace exists. Please purge or recover it." in problems(report)["workspace:labelloop"]
    assert problems(report)["compute:gpu-cluster"] == "waits for workspace:labelloop"
    clients.ask_resource_manager("DELETE", f"{clients.settings.workspace_id}?forceToPurge=true", "2024-10-01")
    report = provision(clients)
    assert report["state"] == "ready", problems(report)


def test_a_platform_team_can_switch_provisioning_off(make: MakeClients, monkeypatch: pytest.MonkeyPatch) -> None:
    clients = make(provisioning="disabled")
    use(clients, monkeypatch)
    answer = user_function(provision_start)(request("POST", "/api/provision"))
    assert answer.status_code == 403
    assert "PROVISIONING=disabled" in body_of(answer)["detail"]
    answer = user_function(provision_start)(request("POST", "/api/provision", params={"dry_run": "true"}))
    assert answer.status_code == 200, "to look is allowed"
    with pytest.raises(ForbiddenError):
        request_deletion(clients, "compute:gpu-cluster", "gpu-cluster")
    carry_out(clients, Work(delete="datastore:images"))
    assert clients.ml.datastores.get("images"), "an old message is dropped"
    carry_out(clients, Work(note_request(clients)))
    assert provisioning_report(clients)["state"] != "in_progress", "nobody waits for what is switched off"
