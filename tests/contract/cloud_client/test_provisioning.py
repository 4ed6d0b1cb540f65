"""Making the desired Azure resources so, and telling how far it is. In order: the first test finds nothing."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from azure.ai.ml.entities import AzureBlobDatastore
from azure.mgmt.eventgrid.models import SystemTopic

from handlers.provision import provision_start, provision_status, provision_work
from shared.clients import Clients
from shared.errors import ProvisioningError
from shared.provisioning import STORAGE_TOPIC_TYPE, provision, provisioning_report
from tests.contract.cloud_client.conftest import Cloud, MakeClients
from tests.unit.handlers.conftest import use
from tests.unit.handlers.support import body_of, message, request, user_function

RESOURCES = [
    ("table", "ledger"),
    ("container", "labelloop"),
    ("container", "images"),
    ("container", "predictions"),
    ("container", "dead-letters"),
    ("queue", "provision"),
    ("queue", "label-exports"),
    ("queue", "job-events"),
    ("workspace", "labelloop"),
    ("compute", "gpu-cluster"),
    ("datastore", "labelloop"),
    ("datastore", "images"),
    ("datastore", "predictions"),
    ("environment", "labelloop-cluster"),
    ("system topic", "labelloop-storage"),
    ("system topic", "labelloop-workspace"),
    ("event subscription", "labelloop-label-exports"),
    ("event subscription", "labelloop-images"),
    ("event subscription", "labelloop-images-too-large"),
    ("event subscription", "labelloop-job-events"),
]
REPORT_SECONDS = 60


def states(report: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(each["type"], each["name"]): each["state"] for each in report["resources"]}


def subscriptions(clients: Clients) -> dict[str, Any]:
    """Event Grid's subscriptions by name."""
    group = clients.settings.azure_resource_group
    found = clients.event_grid.system_topic_event_subscriptions
    return {
        each.name: each
        for topic in ("labelloop-storage", "labelloop-workspace")
        for each in found.list_by_system_topic(group, topic)
    }


def test_before_anyone_asks_nothing_is_started(make: MakeClients) -> None:
    assert provisioning_report(make()) == {"state": "not_started", "resources": []}


def test_a_resource_that_can_not_be_made_is_reported_and_the_next_run_goes_on(cloud: Cloud, make: MakeClients) -> None:
    clients = make()
    clients.blobs.create_container("labelloop")
    rule = {"service": "arm", "operation": "PUT", "path": "*/computes/*", "status": 400}
    with cloud.faults(rule), pytest.raises(ProvisioningError, match="compute gpu-cluster: ") as failure:
        provision(clients)
    assert failure.value.resource == "compute gpu-cluster"
    report = provisioning_report(clients)
    assert report["state"] == "failed"
    assert states(report)["workspace", "labelloop"] == "ready"
    assert states(report)["compute", "gpu-cluster"] == "failed"
    assert states(report)["datastore", "images"] == "pending"
    (failed,) = (each for each in report["resources"] if each["state"] == "failed")
    assert failed["error"]
    assert failed["since"].endswith("+00:00")
    provision(clients)
    assert provisioning_report(clients)["state"] == "ready"


def test_everything_is_ready_in_the_order_of_dependence(clients: Clients) -> None:
    report = provisioning_report(clients)
    assert list(states(report)) == RESOURCES
    assert set(states(report).values()) == {"ready"}


def test_the_cluster_is_as_the_settings_want_it(clients: Clients) -> None:
    compute = clients.ml.compute.get("gpu-cluster")
    assert (compute.size, compute.min_instances, compute.max_instances) == ("Standard_NC4as_T4_v3", 0, 2)
    assert compute.idle_time_before_scale_down == 600
    assert compute.identity.type == "system_assigned"


def test_a_cluster_can_have_an_identity_that_was_assigned_by_the_user(make: MakeClients, clients: Clients) -> None:
    identity = f"{clients.settings.resource_group_id}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/nodes"
    provision(make(compute_name="other-cluster", compute_identity=identity))
    compute = clients.ml.compute.get("other-cluster")
    assert compute.identity.type == "user_assigned"
    assert [each.resource_id for each in compute.identity.user_assigned_identities] == [identity]


def test_datastores_show_the_apps_containers_without_keeping_a_key(clients: Clients) -> None:
    datastore = clients.ml.datastores.get("images")
    assert (datastore.container_name, datastore.account_name) == ("images", clients.account_name)
    assert type(datastore.credentials).__name__ == "NoneCredentialConfiguration"


def test_events_go_to_the_functions_that_they_are_for(cloud: Cloud, clients: Clients) -> None:
    found = subscriptions(clients)
    prefix = "/blobServices/default/containers"
    exports, images, large, jobs = (found[name] for kind, name in RESOURCES if kind == "event subscription")
    assert exports.filter.subject_begins_with == f"{prefix}/{cloud.default_container}/blobs/Labeling/export/"
    assert images.filter.subject_begins_with == large.filter.subject_begins_with == f"{prefix}/images/blobs/"
    assert exports.destination.resource_id.endswith("/functions/label_export_landed")
    assert large.destination.resource_id.endswith("/functions/image_too_large")
    assert jobs.destination.resource_id.endswith("/functions/job_changed")
    assert images.destination.endpoint_type == "WebHook", "the blob extension's own endpoint"
    sizes = {
        each.operator_type: each.value for each in images.filter.advanced_filters if each.key == "data.contentLength"
    }
    assert sizes == {"NumberLessThanOrEquals": 100_000_000}
    sizes = {
        each.operator_type: each.value for each in large.filter.advanced_filters if each.key == "data.contentLength"
    }
    assert sizes == {"NumberGreaterThan": 100_000_000}
    for each in found.values():
        assert each.retry_policy.max_delivery_attempts == 30
        assert each.dead_letter_destination.blob_container_name == "dead-letters"


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

    before = everything()
    provision(clients)
    assert everything() == before
    assert provisioning_report(clients)["state"] == "ready"


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


def test_a_run_under_way_is_told_as_such(clients: Clients) -> None:
    blob = clients.blobs.get_blob_client("labelloop", "provisioning.json")
    kept = blob.download_blob().readall()
    written = json.loads(kept)
    written[-1]["state"] = "pending"
    blob.upload_blob(json.dumps(written), overwrite=True)
    assert provisioning_report(clients)["state"] == "in_progress"
    blob.upload_blob(kept, overwrite=True)


def test_the_handlers_do_the_work_and_tell_of_it(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    use(clients, monkeypatch)
    user_function(provision_work)(message({}))
    answer = user_function(provision_status)(request("GET", "/api/provision"))
    assert answer.status_code == 200
    assert body_of(answer)["state"] == "ready"


def test_a_lost_state_is_written_anew_by_the_next_run(clients: Clients) -> None:
    clients.blobs.get_blob_client("labelloop", "provisioning.json").delete_blob()
    assert provisioning_report(clients)["state"] == "not_started"
    provision(clients)
    assert provisioning_report(clients)["state"] == "ready"


def test_a_workspace_on_another_account_is_refused_since_exports_would_land_elsewhere(
    make: MakeClients, provisioned: None
) -> None:
    other = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/other"
    with pytest.raises(ProvisioningError, match=f"exists on storage account .*, but DATA_STORAGE is {other}"):
        provision(make(data_storage_resource_id=other))
    provision(make())


def test_a_datastore_that_shows_something_else_is_refused_and_left_as_it_is(
    make: MakeClients, clients: Clients
) -> None:
    store = AzureBlobDatastore(name="taken", account_name=clients.account_name, container_name="images")
    clients.ml.datastores.create_or_update(store)
    with pytest.raises(ProvisioningError, match=r"datastore taken: .*shows .*'images'.*, not container taken"):
        provision(make(predictions_container="taken"))
    assert clients.ml.datastores.get("taken").container_name == "images"
    provision(clients)


def test_a_system_topic_that_exists_under_another_name_is_used(clients: Clients) -> None:
    group = clients.settings.azure_resource_group
    topics = clients.event_grid.system_topics
    topics.begin_delete(group, "labelloop-storage").result()
    topic = SystemTopic(
        location=clients.settings.azure_location, source=clients.account_resource_id, topic_type=STORAGE_TOPIC_TYPE
    )
    topics.begin_create_or_update(group, "made-by-others", topic).result()
    provision(clients)
    assert sorted(str(each.name) for each in topics.list_by_subscription()) == ["labelloop-workspace", "made-by-others"]
    found = clients.event_grid.system_topic_event_subscriptions.list_by_system_topic(group, "made-by-others")
    assert len(list(found)) == 3
