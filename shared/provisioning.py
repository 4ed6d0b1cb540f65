"""The desired Azure resources, and making them so: idempotently, in order of dependence, resumable after any crash.

`desired_resources` computes the plan first. Carrying it out creates or updates each resource in turn and notes its
state in one blob, which `GET /api/provision` reports.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from shared.cluster import ENVIRONMENT_NAME, cluster_environment
from shared.errors import ProvisioningError
from shared.ledger import TABLE, Ledger
from shared.locations import datastore_name
from shared.queues import PROVISION, QUEUES
from shared.training import EXPORTS_FOLDER

if TYPE_CHECKING:
    from azure.mgmt.eventgrid.models import EventSubscription, EventSubscriptionFilter

    from shared.clients import Clients

STATE_PATH = "provisioning.json"
DEAD_LETTERS = "dead-letters"
WEB_API_VERSION = "2024-04-01"
STORAGE_TOPIC, WORKSPACE_TOPIC = "labelloop-storage", "labelloop-workspace"
STORAGE_TOPIC_TYPE = "Microsoft.Storage.StorageAccounts"
WORKSPACE_TOPIC_TYPE = "Microsoft.MachineLearningServices.Workspaces"
# The writes that leave a complete blob behind:
# https://learn.microsoft.com/azure/event-grid/event-schema-blob-storage
COMPLETE_WRITES = ["PutBlob", "PutBlockList", "CopyBlob", "FlushWithClose"]
TAGS = {"application": "labelloop"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resource:
    """One thing that must exist. `make` creates or updates it; doing so again changes nothing."""

    type: str
    name: str
    make: Callable[[], None]


@dataclass
class ResourceState:
    """`state` is pending, in_progress, ready or failed; `since` is RFC 3339, UTC."""

    type: str
    name: str
    state: str = "pending"
    since: str = ""
    error: str = ""


def desired_resources(clients: Clients) -> list[Resource]:
    """Everything that LabelLoop needs in Azure, in the order in which it can be made."""
    settings = clients.settings
    containers = [settings.work_container, settings.images_container, settings.predictions_container, DEAD_LETTERS]
    shown = [settings.work_container, settings.images_container, settings.predictions_container]
    return [
        Resource("table", TABLE, lambda: Ledger(clients.tables).create()),
        *(Resource("container", name, partial(_make_container, clients, name)) for name in containers),
        *(Resource("queue", name, partial(_make_queue, clients, name)) for name in QUEUES),
        Resource("workspace", settings.azureml_workspace_name, partial(_make_workspace, clients)),
        Resource("compute", settings.compute_name, partial(_make_compute, clients)),
        *(Resource("datastore", datastore_name(name), partial(_make_datastore, clients, name)) for name in shown),
        Resource("environment", ENVIRONMENT_NAME, partial(_make_environment, clients)),
        Resource(
            "system topic",
            STORAGE_TOPIC,
            lambda: _make_topic(clients, STORAGE_TOPIC, clients.account_resource_id, STORAGE_TOPIC_TYPE),
        ),
        Resource(
            "system topic",
            WORKSPACE_TOPIC,
            lambda: _make_topic(clients, WORKSPACE_TOPIC, settings.workspace_id, WORKSPACE_TOPIC_TYPE),
        ),
        *_subscriptions(clients),
    ]


def request_provisioning(clients: Clients) -> dict[str, Any]:
    """Note that provisioning was asked for, and put the work on the queue. Returns the report."""
    # The ledger before the container: the dispatcher takes the container for the sign that it can work.
    Ledger(clients.tables).create()
    _make_container(clients, clients.settings.work_container)
    for name in QUEUES:
        _make_queue(clients, name)
    _write_states(clients, [ResourceState(each.type, each.name) for each in desired_resources(clients)])
    clients.queue(PROVISION).send_message(json.dumps({"requested_at": _now()}))
    return provisioning_report(clients)


def provision(clients: Clients) -> None:
    """Make every desired resource. Raises ProvisioningError at the first that can't be made, after noting why; the
    message then comes again, and what is there already is passed quickly.
    """
    resources = desired_resources(clients)
    states = [ResourceState(each.type, each.name) for each in resources]
    _make_container(clients, clients.settings.work_container)  # The states are kept in it.
    for resource, state in zip(resources, states, strict=True):
        state.state, state.since = "in_progress", _now()
        _write_states(clients, states)
        try:
            resource.make()
        except Exception as error:
            # Whatever an SDK raises is this resource's failure, which people must be able to read.
            state.state, state.since, state.error = "failed", _now(), str(error)
            _write_states(clients, states)
            raise ProvisioningError(f"{resource.type} {resource.name}", str(error)) from error
        state.state, state.since = "ready", _now()
        logger.info("%s %s is ready", resource.type, resource.name)
    _write_states(clients, states)


def provisioning_report(clients: Clients) -> dict[str, Any]:
    """The state of all resources, and of the whole: not_started, in_progress, ready or failed."""
    states = _read_states(clients)
    kinds = {each.state for each in states}
    if not states:
        overall = "not_started"
    elif "failed" in kinds:
        overall = "failed"
    else:
        overall = "ready" if kinds == {"ready"} else "in_progress"
    return {"state": overall, "resources": [dataclasses.asdict(each) for each in states]}


def _make_container(clients: Clients, name: str) -> None:
    from azure.core.exceptions import ResourceExistsError

    with contextlib.suppress(ResourceExistsError):
        clients.blobs.create_container(name)


def _make_queue(clients: Clients, name: str) -> None:
    from azure.core.exceptions import ResourceExistsError

    with contextlib.suppress(ResourceExistsError):
        clients.queues.create_queue(name)


def _make_workspace(clients: Clients) -> None:
    from azure.ai.ml.entities import Workspace
    from azure.core.exceptions import ResourceNotFoundError

    settings = clients.settings
    with contextlib.suppress(ResourceNotFoundError):
        existing = clients.ml.workspaces.get(settings.azureml_workspace_name)
        if str(existing.storage_account).lower() != clients.account_resource_id.lower():
            raise ProvisioningError(
                f"workspace {settings.azureml_workspace_name}",
                f"exists on storage account {existing.storage_account}, but DATA_STORAGE is "
                f"{clients.account_resource_id}; exports land in the workspace's account, so they must be the same",
            )
        return
    workspace = Workspace(
        name=settings.azureml_workspace_name,
        location=settings.azure_location,
        storage_account=clients.account_resource_id,
        key_vault=settings.key_vault_resource_id or None,
        application_insights=settings.application_insights_resource_id or None,
        # The account's shared keys may be off.
        system_datastores_auth_mode="identity",
        tags=dict(TAGS),
    )
    clients.ml.workspaces.begin_create(workspace).result()


def _make_compute(clients: Clients) -> None:
    from azure.ai.ml.entities import AmlCompute, IdentityConfiguration, ManagedIdentityConfiguration

    settings = clients.settings
    if settings.compute_identity.lower() == "systemassigned":
        identity = IdentityConfiguration(type="system_assigned")
    else:
        assigned = ManagedIdentityConfiguration(resource_id=settings.compute_identity)
        identity = IdentityConfiguration(type="user_assigned", user_assigned_identities=[assigned])
    compute = AmlCompute(
        name=settings.compute_name,
        size=settings.compute_size,
        location=settings.cluster_location,
        min_instances=settings.compute_min_nodes,
        max_instances=settings.compute_max_nodes,
        idle_time_before_scale_down=settings.compute_idle_seconds,
        ssh_public_access_enabled=False,
        identity=identity,
        tags=dict(TAGS),
    )
    clients.ml.compute.begin_create_or_update(compute).result()


def _make_datastore(clients: Clients, container: str) -> None:
    """Without credentials: whoever reads through it uses an identity of its own."""
    from azure.ai.ml.entities import AzureBlobDatastore
    from azure.core.exceptions import ResourceNotFoundError

    name = datastore_name(container)
    with contextlib.suppress(ResourceNotFoundError):
        existing = clients.ml.datastores.get(name)
        shown = (getattr(existing, "account_name", None), getattr(existing, "container_name", None))
        if shown != (clients.account_name, container):
            raise ProvisioningError(
                f"datastore {name}", f"exists and shows {shown}, not container {container} of {clients.account_name}"
            )
    clients.ml.datastores.create_or_update(
        AzureBlobDatastore(
            name=name,
            account_name=clients.account_name,
            container_name=container,
            description="LabelLoop",
        )
    )


def _make_environment(clients: Clients) -> None:
    clients.ml.environments.create_or_update(cluster_environment())


def _make_topic(clients: Clients, name: str, source: str, topic_type: str) -> None:
    """A source has at most one system topic, so one that exists is used as it is, whatever its name
    (https://learn.microsoft.com/azure/event-grid/system-topics).
    """
    from azure.mgmt.eventgrid.models import SystemTopic

    if _find_topic(clients, source) is None:
        topic = SystemTopic(location=clients.settings.azure_location, source=source, topic_type=topic_type, tags=TAGS)
        group = clients.settings.azure_resource_group
        clients.event_grid.system_topics.begin_create_or_update(group, name, topic).result()


def _find_topic(clients: Clients, source: str) -> tuple[str, str] | None:
    """Resource group and name of a source's system topic."""
    for topic in clients.event_grid.system_topics.list_by_subscription():
        if str(topic.source).lower() == source.lower():
            return str(topic.id).split("/")[4], str(topic.name)
    return None


def _subscriptions(clients: Clients) -> Iterator[Resource]:
    """The Event Grid subscriptions that feed the event triggers."""
    from azure.mgmt.eventgrid.models import (
        EventSubscriptionFilter,
        NumberGreaterThanAdvancedFilter,
        NumberLessThanOrEqualsAdvancedFilter,
        StringInAdvancedFilter,
    )

    settings = clients.settings
    limit = settings.max_image_megabytes * 1_000_000
    complete = StringInAdvancedFilter(key="data.api", values=COMPLETE_WRITES)
    # Without "/blobs/" the prefix would also match a container whose name only starts so.
    images = f"/blobServices/default/containers/{settings.images_container}/blobs/"

    account, workspace = clients.account_resource_id, settings.workspace_id

    def resource(source: str, name: str, make: Callable[[], EventSubscription]) -> Resource:
        return Resource("event subscription", name, lambda: _make_subscription(clients, source, name, make()))

    def created(**filters: Any) -> EventSubscriptionFilter:
        return EventSubscriptionFilter(included_event_types=["Microsoft.Storage.BlobCreated"], **filters)

    yield resource(
        account,
        "labelloop-label-exports",
        lambda: _to_function(
            clients,
            "label_export_landed",
            created(
                advanced_filters=[complete],
                subject_begins_with=f"/blobServices/default/containers/{default_container(clients)}/blobs/{EXPORTS_FOLDER}",
            ),
        ),
    )
    yield resource(
        account,
        "labelloop-images",
        lambda: _to_blob_trigger(
            clients,
            "image_landed",
            created(
                subject_begins_with=images,
                advanced_filters=[
                    complete,
                    NumberLessThanOrEqualsAdvancedFilter(key="data.contentLength", value=limit),
                ],
            ),
        ),
    )
    yield resource(
        account,
        "labelloop-images-too-large",
        lambda: _to_function(
            clients,
            "image_too_large",
            created(
                subject_begins_with=images,
                advanced_filters=[complete, NumberGreaterThanAdvancedFilter(key="data.contentLength", value=limit)],
            ),
        ),
    )
    yield resource(
        workspace,
        "labelloop-job-events",
        lambda: _to_function(
            clients,
            "job_changed",
            EventSubscriptionFilter(
                included_event_types=[
                    "Microsoft.MachineLearningServices.RunCompleted",
                    "Microsoft.MachineLearningServices.RunStatusChanged",
                ]
            ),
        ),
    )


def default_container(clients: Clients) -> str:
    """The container of the workspace's default datastore, where label exports land."""
    return str(clients.ml.datastores.get_default().container_name)


def _to_function(clients: Clients, function: str, event_filter: EventSubscriptionFilter) -> EventSubscription:
    from azure.mgmt.eventgrid.models import AzureFunctionEventSubscriptionDestination

    destination = AzureFunctionEventSubscriptionDestination(
        resource_id=f"{clients.function_app_id}/functions/{function}"
    )
    return _subscription(clients, destination, event_filter)


def _to_blob_trigger(clients: Clients, function: str, event_filter: EventSubscriptionFilter) -> EventSubscription:
    """To the blob extension's own endpoint, which wants its own key:
    https://learn.microsoft.com/azure/azure-functions/functions-event-grid-blob-trigger
    """
    from urllib.parse import urlencode

    from azure.mgmt.eventgrid.models import WebHookEventSubscriptionDestination

    keys = clients.post_to_resource_manager(f"{clients.function_app_id}/host/default/listKeys", WEB_API_VERSION)
    query = urlencode({"functionName": f"Host.Functions.{function}", "code": keys["systemKeys"]["blobs_extension"]})
    url = f"https://{clients.function_app_hostname}/runtime/webhooks/blobs?{query}"
    return _subscription(clients, WebHookEventSubscriptionDestination(endpoint_url=url), event_filter)


def _subscription(clients: Clients, destination: Any, event_filter: EventSubscriptionFilter) -> EventSubscription:
    from azure.mgmt.eventgrid.models import EventSubscription, RetryPolicy, StorageBlobDeadLetterDestination

    return EventSubscription(
        destination=destination,
        filter=event_filter,
        event_delivery_schema="EventGridSchema",
        retry_policy=RetryPolicy(max_delivery_attempts=30, event_time_to_live_in_minutes=1440),
        dead_letter_destination=StorageBlobDeadLetterDestination(
            resource_id=clients.account_resource_id, blob_container_name=DEAD_LETTERS
        ),
    )


def _make_subscription(clients: Clients, source: str, name: str, subscription: EventSubscription) -> None:
    topic = _find_topic(clients, source)
    if topic is None:
        raise ProvisioningError(f"event subscription {name}", f"{source} has no system topic any more")
    clients.event_grid.system_topic_event_subscriptions.begin_create_or_update(*topic, name, subscription).result()


def _write_states(clients: Clients, states: Iterable[ResourceState]) -> None:
    content = json.dumps([dataclasses.asdict(each) for each in states], indent=2).encode()
    clients.blobs.get_blob_client(clients.settings.work_container, STATE_PATH).upload_blob(content, overwrite=True)


def _read_states(clients: Clients) -> list[ResourceState]:
    from azure.core.exceptions import ResourceNotFoundError

    try:
        blob = clients.blobs.get_blob_client(clients.settings.work_container, STATE_PATH)
        return [ResourceState(**each) for each in json.loads(blob.download_blob().readall())]
    except ResourceNotFoundError:
        return []


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
