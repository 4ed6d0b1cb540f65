"""Provisioning over HTTP: asked for, planned and reported; single resources deleted."""

import msgspec

from handlers.contract.provisioning import Provisioning, ProvisioningPlan, ProvisionQuery, ResourceDeletion
from handlers.http import Answer, Key, api
from shared.clients import clients
from shared.errors import ConflictError, ForbiddenError, NotFoundError

LOCATION = {"Location": "/api/provision"}


@api.post(
    "provision",
    Key.OPERATE,
    query=ProvisionQuery,
    answers={200: ProvisioningPlan, 202: Provisioning},
    raises=[ForbiddenError],
    is_repeatable=True,
)
def provision_start(query: ProvisionQuery) -> ProvisioningPlan | Answer:
    """Make all Azure resources, or, with `dry_run`, only say what would be made."""
    from shared.provisioning import plan_report, request_provisioning

    if query.dry_run:
        return msgspec.convert(plan_report(clients()), ProvisioningPlan)
    return Answer(msgspec.convert(request_provisioning(clients()), Provisioning), 202, LOCATION)


@api.get("provision", Key.READ)
def provision_status() -> Provisioning:
    """How far provisioning is, by resource."""
    from shared.provisioning import provisioning_report

    return msgspec.convert(provisioning_report(clients()), Provisioning)


@api.delete(
    "provision/{resource}",
    Key.OPERATE,
    body=ResourceDeletion,
    answers={202: Provisioning},
    raises=[ForbiddenError, NotFoundError, ConflictError],
)
def provision_delete(resource: str, body: ResourceDeletion) -> Answer:
    """Delete one resource, by its id in the report, e.g. `compute:gpu-cluster`."""
    from shared.provisioning import request_deletion

    return Answer(msgspec.convert(request_deletion(clients(), resource, body.name), Provisioning), 202, LOCATION)
