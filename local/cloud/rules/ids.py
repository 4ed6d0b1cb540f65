"""ARM ids of the things in a resource group and in an Azure ML workspace."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

ML_PROVIDER = "Microsoft.MachineLearningServices"

_WORKSPACE = re.compile(
    rf"^/subscriptions/([^/]+)/resourcegroups/([^/]+)/providers/{re.escape(ML_PROVIDER)}/workspaces/([^/]+)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class GroupScope:
    """A resource group."""

    subscription: str
    group: str

    @property
    def id(self) -> str:
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"

    def provider(self, path: str) -> str:
        """The id of `Provider/type/name…` in this group."""
        return f"{self.id}/providers/{path}"


@dataclass(frozen=True)
class WorkspaceScope:
    """An Azure ML workspace."""

    subscription: str
    group: str
    workspace: str

    @property
    def id(self) -> str:
        return GroupScope(self.subscription, self.group).provider(f"{ML_PROVIDER}/workspaces/{self.workspace}")

    def child(self, path: str) -> str:
        """The id of `type/name…` below this workspace."""
        return f"{self.id}/{path}"

    @property
    def guid(self) -> str:
        """The workspace's GUID, by the same rule as StackConfig.workspace_id."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.subscription}/{self.group}/{self.workspace}".lower()))

    @property
    def default_container(self) -> str:
        return f"azureml-blobstore-{self.guid}"

    def experiment_id(self, experiment: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.guid}/experiments/{experiment}"))

    def child_run_id(self, job: str, node: str) -> str:
        """Run id of a pipeline's node: a GUID, as in Azure ML, but the same for the same job and node."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.guid}/jobs/{job}/{node}"))

    @classmethod
    def of(cls, resource_id: str) -> WorkspaceScope:
        """The workspace that an id lies in. Raises ValueError when it lies in none."""
        match = _WORKSPACE.match(resource_id)
        if match is None:
            raise ValueError(f"'{resource_id}' is not an id within an Azure Machine Learning workspace")
        return cls(*match.groups())
