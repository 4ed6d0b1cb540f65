"""AmlCompute clusters."""

from __future__ import annotations

import re
import time

from local.cloud.clock import utc_text
from local.cloud.errors import BadRequestError, CloudError, ConflictError, NotFoundError, UserError
from local.cloud.resources import Json, Resource, ResourceStore
from local.cloud.rules.identities import answered_identity
from local.cloud.rules.ids import ML_PROVIDER, WorkspaceScope
from local.cloud.rules.quotas import LOW_PRIORITY, Use, nodes_that_fit, require_quota, use_of
from local.cloud.rules.regions import Region, find_region, region_name, require_region
from local.cloud.rules.virtual_machines import MachineSize, find_size, sizes_in
from local.config import StackConfig

COMPUTE_TYPE = f"{ML_PROVIDER}/workspaces/computes"
# 3 to 32 letters, digits and hyphens:
# https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
_NAME = re.compile(r"^[a-zA-Z][a-zA-Z0-9-]{2,31}$")
# What stays as it was made: https://learn.microsoft.com/azure/machine-learning/how-to-create-attach-compute-cluster
_FIXED = ("vmSize", "vmPriority", "subnet")
_PRIORITIES = {"dedicated": "Dedicated", "lowpriority": LOW_PRIORITY}


class Computes:
    """Creates, changes and deletes clusters; a cluster's nodes are processes of this machine.

    A cluster that is being made, changed or deleted says so; `settle` ends that.
    """

    def __init__(self, store: ResourceStore, config: StackConfig) -> None:
        self._store = store
        self._config = config
        self._settle_all()

    def _settle_all(self) -> None:
        """What an earlier process of the cloud had begun is done now."""
        for cluster in self._store.below("/subscriptions"):
            if cluster.type.lower() == COMPUTE_TYPE.lower():
                self.settle(cluster.id)

    def put(self, scope: WorkspaceScope, name: str, body: Json) -> Resource:
        """Create or update an AmlCompute cluster, which is then Creating or Updating.

        Raises BadRequestError for a bad name, another compute type, a size that the region lacks, or one beyond the
        quota; UserError for a change of what Azure cannot change in place; ConflictError while it is being deleted.
        """
        workspace = self._store.get(scope.id)
        properties = dict(body.get("properties") or {})
        if properties.get("computeType") != "AmlCompute":
            raise BadRequestError(
                f"The compute type '{properties.get('computeType')}' is not known to the local cloud; AmlCompute is."
            )
        compute_id = scope.child(f"computes/{name}")
        existing = self._store.find(compute_id)
        location = properties.get("computeLocation") or body.get("location") or workspace.body["location"]
        region = require_region(str(location), COMPUTE_TYPE)
        inner = _with_defaults(dict(properties.get("properties") or {}))
        size = _require_size(region, str(inner["vmSize"]))
        if existing is None:
            _check_name(name)
            require_quota(region, size, inner["vmPriority"], inner["scaleSettings"]["minNodeCount"])
        else:
            _require_unchanged(existing, region, inner)
            _require_not_deleting(existing)
        now = utc_text(time.time())
        properties.update(
            properties=self._allocated(region, compute_id, size, inner),
            computeLocation=region.name,
            provisioningState="Creating" if existing is None else "Updating",
            provisioningErrors=None,
            createdOn=(existing.properties.get("createdOn") if existing else None) or now,
            modifiedOn=now,
            isAttachedCompute=False,
            disableLocalAuth=properties.get("disableLocalAuth", True),
        )
        kept: Json = {
            "location": region_name(str(body.get("location") or region.name)),
            "tags": body.get("tags") or {},
            "properties": properties,
        }
        if body.get("identity"):
            kept["identity"] = answered_identity(body["identity"], compute_id, self._config.tenant_id)
        return self._store.put(compute_id, kept)

    def patch(self, scope: WorkspaceScope, name: str, body: Json) -> Resource:
        """Change the scale settings of a cluster (ClusterUpdateParameters), which is then Updating.

        Raises NotFoundError; UserError for bad scale settings; ConflictError while it is being deleted.
        """
        resource = self._store.get(scope.child(f"computes/{name}"))
        _require_not_deleting(resource)
        given = body.get("properties") or {}
        # Up to api-version 2020-08-01 the scale settings stood one level higher.
        changed = (given.get("properties") or given).get("scaleSettings") or {}
        properties = dict(resource.properties)
        inner = dict(properties["properties"])
        inner["scaleSettings"] = _scale({**inner["scaleSettings"], **changed})
        region = require_region(properties["computeLocation"], COMPUTE_TYPE)
        size = _require_size(region, inner["vmSize"])
        properties["properties"] = self._allocated(region, resource.id, size, inner)
        properties["provisioningState"] = "Updating"
        return self._store.put(resource.id, {**resource.body, "properties": properties})

    def begin_delete(self, scope: WorkspaceScope, name: str) -> Resource | None:
        """Mark a cluster as being deleted; None when there is none."""
        resource = self._store.find(scope.child(f"computes/{name}"))
        return None if resource is None else self._set_state(resource, "Deleting")

    def settle(self, compute_id: str, failure: CloudError | None = None) -> None:
        """What was begun has ended: well, or with a failure that the cluster then shows."""
        resource = self._store.find(compute_id)
        state = resource.properties["provisioningState"] if resource else ""
        if resource is None or state not in ("Creating", "Updating", "Deleting"):
            return
        if failure is not None:
            self._set_state(resource, "Failed", provisioningErrors=[{"error": failure.document()}])
        elif state == "Deleting":
            self._store.delete(compute_id)
        else:
            self._set_state(resource, "Succeeded")

    def in_region(self, subscription: str, region: Region, *, but: str = "") -> list[Json]:
        """The properties of all clusters of a subscription in a region."""
        return [
            cluster.properties
            for cluster in self._store.below(f"/subscriptions/{subscription}")
            if cluster.type.lower() == COMPUTE_TYPE.lower()
            and cluster.id.lower() != but.lower()
            and find_region(str(cluster.properties.get("computeLocation"))) == region
        ]

    def require(self, scope: WorkspaceScope, compute: str) -> Resource:
        """The cluster that a job names by name or id. Raises UserError, with Azure ML's wording, when there is none."""
        name = compute.rsplit("/", 1)[-1]
        try:
            return self._store.get(scope.child(f"computes/{name}"))
        except NotFoundError as error:
            raise UserError(f"Unknown compute target '{name}'.") from error

    def _set_state(self, resource: Resource, state: str, **more: object) -> Resource:
        properties = {**resource.properties, "provisioningState": state, **more}
        return self._store.put(resource.id, {**resource.body, "properties": properties})

    def _allocated(self, region: Region, compute_id: str, size: MachineSize, inner: Json) -> Json:
        """The cluster's properties with the nodes that its minimum asks for, as far as the quota goes."""
        others = self.in_region(compute_id.split("/")[2], region, but=compute_id)
        uses: list[Use] = [use for use in (use_of(region, cluster) for cluster in others) if use is not None]
        least = inner["scaleSettings"]["minNodeCount"]
        fit = nodes_that_fit(region, size, inner["vmPriority"], least, uses)
        error = None
        if inner["vmPriority"] == LOW_PRIORITY and not size.low_priority:
            fit, error = 0, _not_for_low_priority(size)
        elif fit < least:
            error = UserError(f"The quota left allows {fit} of {least} nodes.", code="ClusterCoreQuotaReached")
        return {
            **inner,
            "allocationState": "Steady",
            "allocationStateTransitionTime": utc_text(time.time()),
            "currentNodeCount": fit,
            "targetNodeCount": least,
            "errors": [{"error": error.document()}] if error else None,
        }


def _check_name(name: str) -> None:
    if not _NAME.match(name):
        raise BadRequestError(
            f"The specified compute name '{name}' is invalid. It must have 3 to 32 characters, which are letters, "
            "digits and hyphens, and start with a letter.",
            code="InvalidComputeName",
        )


def _with_defaults(inner: Json) -> Json:
    priority = str(inner.get("vmPriority") or "Dedicated")
    if priority.lower() not in _PRIORITIES:
        raise BadRequestError(f"vmPriority is '{priority}'; it must be Dedicated or LowPriority.")
    inner.update(
        vmSize=str(inner.get("vmSize") or ""),
        vmPriority=_PRIORITIES[priority.lower()],
        osType=inner.get("osType") or "Linux",
        scaleSettings=_scale(dict(inner.get("scaleSettings") or {})),
        remoteLoginPortPublicAccess=inner.get("remoteLoginPortPublicAccess") or "NotSpecified",
        enableNodePublicIp=inner.get("enableNodePublicIp", True),
    )
    return inner


def _scale(given: Json) -> Json:
    least, most = int(given.get("minNodeCount") or 0), int(given.get("maxNodeCount") or 1)
    if not 0 <= least <= most:
        raise UserError(f"minNodeCount {least} must be between 0 and maxNodeCount {most}.")
    return {**given, "minNodeCount": least, "maxNodeCount": most}


def _require_size(region: Region, name: str) -> MachineSize:
    size = find_size(region, name)
    if size is None:
        raise BadRequestError(
            f"The specified value {name} for property Cluster.Properties.VMSize is not a supported VM size. "
            f"Supported VM sizes: {','.join(each.name.upper() for each in sizes_in(region))}.",
            code="InvalidPropertyValue",
        )
    return size


def _not_for_low_priority(size: MachineSize) -> CloudError:
    """Azure ML is seen to make such a cluster all the same; it then never gets a node."""
    return UserError(
        f"The VM size {size.name.upper()} is not allowed for LowPriority. "
        "Please convert to Dedicated or use a different VM size.",
        code="UnsupportedVMSizeForLowPriority",
    )


def _require_unchanged(existing: Resource, region: Region, inner: Json) -> None:
    before = {**existing.properties["properties"], "computeLocation": existing.properties["computeLocation"]}
    after = {**inner, "computeLocation": region.name}
    for name in (*_FIXED, "computeLocation"):
        old, new = before.get(name) or "", after.get(name) or ""
        if str(old).lower() != str(new).lower():
            raise UserError(
                f"The {name} of compute '{existing.name}' cannot be changed from '{old}' to '{new}'.", target=name
            )


def _require_not_deleting(resource: Resource) -> None:
    if resource.properties["provisioningState"] == "Deleting":
        raise ConflictError(f"The compute '{resource.name}' is being deleted.")
