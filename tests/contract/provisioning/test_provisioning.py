"""Making the desired Azure resources so, and telling how far it is. In order: the first test finds nothing."""

from __future__ import annotations

import time
from typing import Any

import pytest
from azure.mgmt.eventgrid.models import SystemTopic

from handlers.provision import provision_work
from handlers.routes.provisioning import provision_start, provision_status
from shared.clients import Clients
from shared.provisioning import plan_report, provisioning_report
from shared.provisioning.state import change_state
from shared.provisioning.topics import STORAGE_TOPIC_TYPE
from tests.contract.local_stack import Cloud, problems, provision
from tests.unit.handlers.conftest import use
from tests.unit.handlers.support import body_of, message, request, user_function

RESOURCES = [
    "table:ledger",
    "container:labelloop",
    "queue:provision",
    "queue:label-exports",
    "queue:job-events",
    "queue:announcements",
    "queue:rescore",
    "queue:found-images",
    "queue:webhooks",
    "container:images",
    "container:predictions",
    "container:dead-letters",
    "workspace:labelloop",
    "compute:gpu-cluster",
    "role-assignment:gpu-cluster-storage-blob-data-contributor",
    "role-assignment:gpu-cluster-storage-queue-data-contributor",
    "role-assignment:gpu-cluster-storage-table-data-contributor",
    "role-assignment:gpu-cluster-azureml-data-scientist",
    "datastore:labelloop",
    "datastore:images",
    "datastore:predictions",
    "environment:labelloop-cluster",
    "system-topic:labelloop-devstoreaccount1",
    "role-assignment:labelloop-devstoreaccount1-storage-blob-data-contributor",
    "system-topic:labelloop-labelloop",
    "role-assignment:labelloop-labelloop-storage-blob-data-contributor",
    "event-subscription:labelloop-label-exports",
    "event-subscription:labelloop-images",
    "event-subscription:labelloop-images-too-large",
    "event-subscription:labelloop-job-events",
]
REPORT_SECONDS = 60


def states(report: dict[str, Any]) -> dict[str, str]:
    return {each["id"]: each["state"] for each in report["resources"]}


def subscriptions(clients: Clients) -> dict[str, Any]:
    """Event Grid's subscriptions by name."""
    group = clients.settings.azure_resource_group
    found = clients.event_grid.system_topic_event_subscriptions
    return {
        each.name: each
        for topic in clients.event_grid.system_topics.list_by_resource_group(group)
        for each in found.list_by_system_topic(group, topic.name)
    }


def test_before_anyone_asks_nothing_is_started(clients: Clients) -> None:
    clients.blobs.create_container("labelloop")
    report = provisioning_report(clients)
    assert (report["state"], report["resources"], report["provisioning"]) == ("not_started", [], "enabled")


def test_the_first_plan_creates_everything_but_what_is_there(clients: Clients) -> None:
    plan = plan_report(clients)
    assert plan["state"] == "changes"
    assert [each["id"] for each in plan["resources"]] == RESOURCES
    actions = {each["id"]: each["action"] for each in plan["resources"]}
    assert actions.pop("container:labelloop") == "exists"
    assert set(actions.values()) == {"create"}
    assert {each["state"] for each in plan["checks"]} == {"passed"}, plan["checks"]
    assert provisioning_report(clients)["state"] == "not_started", "a plan changes nothing"


def test_what_fails_keeps_back_only_what_needs_it_and_the_next_run_goes_on(cloud: Cloud, clients: Clients) -> None:
    rule = {"service": "arm", "operation": "PUT", "path": "*/workspaces/labelloop/datastores/images", "status": 400}
    topics = {"service": "arm", "operation": "PUT", "path": "*/systemTopics/labelloop-labelloop", "status": 400}
    with cloud.faults(rule, topics):
        report = provision(clients)
    assert report["state"] == "failed"
    found = states(report)
    assert found.pop("datastore:images") == "failed"
    assert found.pop("system-topic:labelloop-labelloop") == "failed"
    assert found.pop("event-subscription:labelloop-job-events") == "waiting"
    assert found.pop("role-assignment:labelloop-labelloop-storage-blob-data-contributor") == "waiting"
    assert set(found.values()) == {"ready"}, problems(report)
    failed = next(each for each in report["resources"] if each["id"] == "datastore:images")
    assert "fault injected by the local cloud" in failed["error"]
    assert failed["since"].endswith("+00:00")
    report = provision(clients)
    assert report["state"] == "ready", problems(report)
    assert list(states(report)) == RESOURCES
    assert {each["error"] for each in report["resources"]} == {""}


def test_the_report_shows_what_was_wanted_and_what_is_there(clients: Clients) -> None:
    compute = next(each for each in provisioning_report(clients)["resources"] if each["type"] == "compute")
    assert compute["desired"]["size"] == compute["actual"]["size"] == "Standard_NC4as_T4_v3"
    assert compute["actual"]["state"] == "Succeeded"


def test_the_cluster_is_as_the_settings_want_it(clients: Clients) -> None:
    compute = clients.ml.compute.get("gpu-cluster")
    assert (compute.size, compute.min_instances, compute.max_instances) == ("Standard_NC4as_T4_v3", 0, 2)
    assert compute.idle_time_before_scale_down == 600
    assert compute.identity.type == "system_assigned"
    assert compute.ssh_public_access_enabled is False
    assert compute.tags == {"application": "labelloop"}


def test_datastores_show_the_apps_containers_without_keeping_a_key(clients: Clients) -> None:
    datastore = clients.ml.datastores.get("images")
    assert (datastore.container_name, datastore.account_name) == ("images", clients.account_name)
    assert type(datastore.credentials).__name__ == "NoneCredentialConfiguration"


def test_events_go_to_the_functions_that_they_are_for(cloud: Cloud, clients: Clients) -> None:
    found = subscriptions(clients)
    prefix = "/blobServices/default/containers"
    exports, images, large, jobs = (
        found[each.partition(":")[2]] for each in RESOURCES if each.startswith("event-subscription:")
    )
    assert exports.filter.subject_begins_with == f"{prefix}/{cloud.default_container}/blobs/Labeling/export/"
    assert images.filter.subject_begins_with == large.filter.subject_begins_with == f"{prefix}/images/blobs/"
    assert exports.destination.resource_id.endswith("/functions/label_export_landed")
    assert large.destination.resource_id.endswith("/functions/image_too_large")
    assert jobs.destination.resource_id.endswith("/functions/job_changed")
    assert images.destination.endpoint_type == "WebHook", "the blob extension's own endpoint"
    for subscription, operator in ((images, "NumberLessThanOrEquals"), (large, "NumberGreaterThan")):
        sizes = {
            each.operator_type: each.value
            for each in subscription.filter.advanced_filters
            if each.key == "data.contentLength"
        }
        assert sizes == {operator: 100_000_000}
    for each in found.values():
        assert each.retry_policy.max_delivery_attempts == 30
        dead_letters = each.dead_letter_with_resource_identity
        assert dead_letters.identity.type == "SystemAssigned"
        assert dead_letters.dead_letter_destination.blob_container_name == "dead-letters"


def test_no_key_is_shown(cloud: Cloud, clients: Clients) -> None:
    keys = clients.ask_resource_manager("POST", f"{clients.function_app_id}/host/default/listKeys", "2024-04-01")
    shown = str(provisioning_report(clients)) + str(plan_report(clients))
    assert keys["systemKeys"]["blobs_extension"] not in shown


def test_a_second_plan_is_empty(clients: Clients) -> None:
    plan = plan_report(clients)
    assert plan["state"] == "unchanged"
    assert {each["action"] for each in plan["resources"]} == {"exists"}
    assert [each["differences"] for each in plan["resources"]] == [()] * len(RESOURCES)


def test_a_second_run_changes_nothing(clients: Clients) -> None:
    def everything() -> list[Any]:
        ml = clients.ml
        return [
            [each.name for each in ml.compute.list()],
            sorted(each.name for each in ml.datastores.list()),
            [(each.name, each.version) for each in ml.environments.list("labelloop-cluster")],
            sorted(subscriptions(clients)),
            sorted(each.name for each in clients.blobs.list_containers()),
        ]

    before, since = everything(), [each["since"] for each in provisioning_report(clients)["resources"]]
    report = provision(clients)
    assert everything() == before
    assert report["state"] == "ready"
    assert [each["since"] for each in report["resources"]] == since


def test_asking_for_it_answers_at_once_and_the_work_is_done_from_the_queue(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(clients, monkeypatch)
    answer = user_function(provision_start)(request("POST", "/api/provision"))
    assert (answer.status_code, answer.headers["Location"]) == (202, "/api/provision")
    report = body_of(answer)
    assert list(states(report)) == RESOURCES
    assert report["state"] in {"in_progress", "ready"}
    deadline = time.monotonic() + REPORT_SECONDS
    while provisioning_report(clients)["state"] != "ready":
        assert time.monotonic() < deadline, provisioning_report(clients)
        time.sleep(0.2)


def test_a_plan_is_answered_when_it_is_asked_for(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    use(clients, monkeypatch)
    answer = user_function(provision_start)(request("POST", "/api/provision", params={"dry_run": "true"}))
    assert (answer.status_code, body_of(answer)["state"]) == (200, "unchanged")
    answer = user_function(provision_start)(request("POST", "/api/provision", params={"dry_run": "maybe"}))
    assert (answer.status_code, body_of(answer)["field"]) == (400, "dry_run")


def test_a_run_under_way_is_told_as_such(clients: Clients) -> None:
    change_state(clients, lambda state: setattr(state, "requested", state.requested + 1))
    assert provisioning_report(clients)["state"] == "in_progress"
    assert provision(clients)["state"] == "ready"


def test_the_handlers_do_the_work_and_tell_of_it(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    use(clients, monkeypatch)
    user_function(provision_work)(message({"request": 1}))
    answer = user_function(provision_status)(request("GET", "/api/provision"))
    assert (answer.status_code, body_of(answer)["state"]) == (200, "ready")


def test_a_lost_state_is_written_anew_by_the_next_run(clients: Clients) -> None:
    clients.blobs.get_blob_client("labelloop", "provisioning.json").delete_blob()
    assert provisioning_report(clients)["state"] == "not_started"
    assert provision(clients)["state"] == "ready"


def test_a_system_topic_that_exists_under_another_name_is_used_and_given_an_identity(clients: Clients) -> None:
    group = clients.settings.azure_resource_group
    topics = clients.event_grid.system_topics
    topics.begin_delete(group, "labelloop-devstoreaccount1").result()
    topic = SystemTopic(
        location=clients.settings.azure_location,
        source=clients.account_resource_id,
        topic_type=STORAGE_TOPIC_TYPE,
        tags={"owner": "somebody"},
    )
    topics.begin_create_or_update(group, "made-by-others", topic).result()
    report = provision(clients)
    assert report["state"] == "ready", problems(report)
    names = sorted(str(each.name) for each in topics.list_by_resource_group(group))
    assert names == ["labelloop-labelloop", "made-by-others"]
    used = topics.get(group, "made-by-others")
    assert used.identity.type == "SystemAssigned"
    assert used.tags == {"owner": "somebody", "application": "labelloop"}
    found = clients.event_grid.system_topic_event_subscriptions.list_by_system_topic(group, "made-by-others")
    assert len(list(found)) == 3
