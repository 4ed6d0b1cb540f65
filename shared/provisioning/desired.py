"""Everything that LabelLoop needs in Azure."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from shared.dead_letters import DEAD_LETTERS
from shared.provisioning.access import (
    BLOB_DATA_CONTRIBUTOR,
    DATA_SCIENTIST,
    QUEUE_DATA_CONTRIBUTOR,
    REGISTRY_PULL,
    TABLE_DATA_CONTRIBUTOR,
    RoleAssignment,
    cluster_principal,
    topic_principal,
)
from shared.provisioning.compute import Cluster
from shared.provisioning.data_account import Container, foundation
from shared.provisioning.resource import Resource
from shared.provisioning.subscriptions import Images, JobEvents, LabelExports, LargeImages
from shared.provisioning.topics import StorageTopic, WorkspaceTopic
from shared.provisioning.workspace import ClusterEnvironment, Datastore, MachineLearningWorkspace

if TYPE_CHECKING:
    from shared.clients import Clients

# A parallel job keeps its mini-batches in a queue and a table of the workspace's account:
# https://learn.microsoft.com/azure/machine-learning/how-to-disable-local-auth-storage
CLUSTER_DATA_ROLES = (BLOB_DATA_CONTRIBUTOR, QUEUE_DATA_CONTRIBUTOR, TABLE_DATA_CONTRIBUTOR)


def desired_resources(clients: Clients) -> list[Resource]:
    """All resources, each after those that it needs."""
    settings = clients.settings
    shown = (settings.work_container, settings.images_container, settings.predictions_container)
    containers = {name: Container(clients, name) for name in (*shown, DEAD_LETTERS)}
    dead_letters = containers[DEAD_LETTERS]
    workspace = MachineLearningWorkspace(clients)
    cluster = Cluster(clients, workspace)
    storage_topic, workspace_topic = StorageTopic(clients), WorkspaceTopic(clients, workspace)
    account = clients.account_resource_id
    principal = partial(cluster_principal, clients)
    first = foundation(clients)
    made = {each.id for each in first}
    # Event Grid asks, when a subscription is made, whether its topic's identity may write dead letters.
    storage_role, workspace_role = (
        RoleAssignment(clients, topic, partial(topic_principal, topic), BLOB_DATA_CONTRIBUTOR, account)
        for topic in (storage_topic, workspace_topic)
    )
    registry = settings.container_registry_resource_id
    return [
        *first,
        *(each for each in containers.values() if each.id not in made),
        workspace,
        cluster,
        *(RoleAssignment(clients, cluster, principal, role, account) for role in CLUSTER_DATA_ROLES),
        RoleAssignment(clients, cluster, principal, DATA_SCIENTIST, settings.workspace_id),
        # A registry that Azure ML makes by itself knows its cluster.
        *([RoleAssignment(clients, cluster, principal, REGISTRY_PULL, registry)] if registry else []),
        *(Datastore(clients, name, [workspace, containers[name]]) for name in shown),
        ClusterEnvironment(clients, workspace),
        storage_topic,
        storage_role,
        workspace_topic,
        workspace_role,
        LabelExports(
            clients,
            "labelloop-label-exports",
            "label_export_landed",
            storage_topic,
            storage_role,
            dead_letters,
            workspace,
        ),
        Images(clients, "labelloop-images", "image_landed", storage_topic, storage_role, dead_letters),
        LargeImages(
            clients, "labelloop-images-too-large", "image_too_large", storage_topic, storage_role, dead_letters
        ),
        JobEvents(clients, "labelloop-job-events", "job_changed", workspace_topic, workspace_role, dead_letters),
    ]
