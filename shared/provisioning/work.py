"""Asking for provisioning, carrying it out, reporting it, and deleting single resources."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.errors import ConflictError, ForbiddenError, InvalidRequestError, NotFoundError, ProvisioningError
from shared.locks import lock
from shared.provisioning import state as states
from shared.provisioning.check import REFUSED
from shared.provisioning.data_account import foundation
from shared.provisioning.desired import desired_resources
from shared.provisioning.preflight import PERMISSIONS, preflight
from shared.provisioning.resource import (
    CONFLICT,
    CREATE,
    EXISTS,
    UNREADABLE,
    PlannedResource,
    Resource,
    planned,
)
from shared.provisioning.state import ResourceState, State, change_state, read_state
from shared.queues import PROVISION

if TYPE_CHECKING:
    from shared.clients import Clients

# It keeps workers from waiting for each other's halves; making a resource twice makes it once.
LOCK_PATH = "provisioning.lock"
BUSY_SECONDS = 10
# Waits before a run that failed is tried again: a role that was just given takes up to ten minutes to be known
# everywhere (https://learn.microsoft.com/azure/role-based-access-control/troubleshooting), and an app that was just
# deployed seconds to answer Event Grid's handshake.
RETRY_SECONDS = (10, 30, 60, 120, 240, 300)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """A message on the queue: carry out all requests up to number `request`, or delete the resource of id `delete`.
    `attempt` counts the runs that failed before.
    """

    request: int = 0
    delete: str = ""
    attempt: int = 0

    @classmethod
    def from_message(cls, text: str) -> Work:
        """Read what `send` put on the queue."""
        return cls(**json.loads(text))

    def send(self, clients: Clients, delay: int = 0) -> None:
        """Put it on the queue; it is seen after `delay` seconds."""
        message = json.dumps(dataclasses.asdict(self))
        clients.queue(PROVISION).send_message(message, visibility_timeout=delay)


def plan(clients: Clients) -> list[PlannedResource]:
    """Compare every desired resource with Azure."""
    found: dict[str, PlannedResource] = {}
    for resource in desired_resources(clients):
        try:
            possible = all(found[each].action not in {CREATE, UNREADABLE} for each in resource.needs)
            found[resource.id] = planned(resource, is_possible=possible)
        except Exception as error:
            # One resource that can't be read must not hide the others; a run looks at it again.
            logger.warning("%s can't be read: %s", resource.id, error)
            found[resource.id] = PlannedResource(
                resource.id, resource.type, resource.name, UNREADABLE, {}, error=str(error)
            )
    return list(found.values())


def plan_report(clients: Clients) -> dict[str, Any]:
    """The plan and the checks, for people: `state` is blocked (by a refused check, a conflict, or something that can't
    be read), changes or unchanged.
    """
    resources = plan(clients)
    checks = preflight(clients, resources)
    actions = {each.action for each in resources}
    if actions & {UNREADABLE, CONFLICT} or any(each.state == REFUSED for each in checks):
        overall = "blocked"
    else:
        overall = "unchanged" if actions == {EXISTS} else "changes"
    return {
        "state": overall,
        "checks": [dataclasses.asdict(each) for each in checks],
        "resources": [dataclasses.asdict(each) for each in resources],
    }


def provisioning_report(clients: Clients) -> dict[str, Any]:
    """The state of the whole and of each resource, as the last run found it."""
    state = read_state(clients)
    return {
        "state": state.overall,
        "provisioning": clients.settings.provisioning,
        "error": state.error,
        "checks": [dataclasses.asdict(each) for each in state.checks],
        "resources": [dataclasses.asdict(each) for each in state.resources],
    }


def request_provisioning(clients: Clients) -> dict[str, Any]:
    """Note that provisioning was asked for, and put the work on the queue. Returns the report.

    Raises ForbiddenError where provisioning is switched off.
    """
    _require_enabled(clients)
    Work(note_request(clients)).send(clients)
    return provisioning_report(clients)


def note_request(clients: Clients) -> int:
    """The number of a request for provisioning; one that no run has taken up yet stands for this one, too."""
    for resource in foundation(clients):
        resource.make()

    def note(state: State) -> None:
        if state.taken == state.requested:
            state.requested += 1
        kept = {each.id: each for each in state.resources}
        state.resources = [
            kept.get(each.id) or ResourceState(each.id, each.type, each.name) for each in desired_resources(clients)
        ]

    return change_state(clients, note).requested


def request_deletion(clients: Clients, resource_id: str, name: str) -> dict[str, Any]:
    """Put the deletion of one resource on the queue. `name` is the resource's name, repeated by whoever wants it gone.

    Raises ForbiddenError where provisioning is switched off, NotFoundError for an unknown resource,
    InvalidRequestError when the name is another, ConflictError for what is not deleted this way.
    """
    _require_enabled(clients)
    resource = _find(clients, resource_id)
    if name != resource.name:
        raise InvalidRequestError(
            f"to delete {resource.id}, repeat its name: the body must be {json.dumps({'name': resource.name})}", "name"
        )
    if type(resource).delete is Resource.delete:
        raise ConflictError(f"{resource.type} {resource.name} is not deleted by the app: {resource.deletion}")
    Work(delete=resource.id).send(clients)
    return provisioning_report(clients)


def carry_out(clients: Clients, work: Work) -> None:
    """Do what a message says, once: a run that fails is put on the queue again, until it is tried enough."""
    if clients.settings.provisioning == "disabled":
        logger.warning("provisioning is disabled: a message that asked for it is dropped")
        _end(clients, work.request)
        return
    if work.request and read_state(clients).done >= work.request:
        return
    with lock(clients, LOCK_PATH) as is_mine:
        if not is_mine:
            work.send(clients, BUSY_SECONDS)
        elif work.delete:
            _delete(clients, work)
        elif read_state(clients).done < work.request:
            _run(clients, work)


def give_up(clients: Clients, work: Work) -> None:
    """Note that the work of a message is given up: whoever carried it out was killed, or could not reach storage, again
    and again.
    """
    message = "the worker did not get to its end; the app's log says why"
    if work.delete:
        _note(clients, work.delete, states.FAILED, f"could not be deleted: {message}")
        return
    change_state(clients, lambda state: setattr(state, "error", message))
    _end(clients, work.request)


def _require_enabled(clients: Clients) -> None:
    if clients.settings.provisioning == "disabled":
        raise ForbiddenError(
            "provisioning is switched off (PROVISIONING=disabled): the Azure resources of this app are kept by others"
        )


def _find(clients: Clients, resource_id: str) -> Resource:
    known = desired_resources(clients)
    for resource in known:
        if resource.id == resource_id:
            return resource
    raise NotFoundError(f"there is no resource {resource_id!r}; there are {', '.join(each.id for each in known)}")


def _run(clients: Clients, work: Work) -> None:
    """One run. What it finds is noted with every step, so that a run that is killed can be seen and gone on with."""

    def take(state: State) -> None:
        state.taken = state.requested

    taken = change_state(clients, take).taken
    try:
        is_settled = _settle(clients, taken)
    except Exception as error:
        # Azure did not answer while it was planned.
        logger.exception("provisioning could not be planned")
        message, is_settled = str(error), False
        change_state(clients, lambda state: setattr(state, "error", message))
    if not is_settled and work.attempt < len(RETRY_SECONDS):
        dataclasses.replace(work, attempt=work.attempt + 1).send(clients, RETRY_SECONDS[work.attempt])
        return

    _end(clients, taken)


def _end(clients: Clients, request: int) -> None:
    def end(state: State) -> None:
        state.taken, state.done = max(state.taken, request), max(state.done, request)

    change_state(clients, end)


def _settle(clients: Clients, request: int) -> bool:
    """Plan, check and make all that a request asks for. False when another run may do better: when something failed
    that no person caused, or a role is lacking, since one that was just given is not known everywhere yet.
    """
    deleted = {each.id for each in read_state(clients).resources if each.deleted_after >= request}
    resources = desired_resources(clients)
    found = {each.id: each for each in plan(clients)}
    checks = preflight(clients, list(found.values()))

    def note(state: State) -> None:
        state.error, state.checks = "", checks
        kept = {each.id: each for each in state.resources}
        state.resources = [kept.get(each.id) or ResourceState(each.id, each.type, each.name) for each in found.values()]
        for entry in state.resources:
            if entry.id in deleted:
                continue
            entry.desired, entry.actual = dict(found[entry.id].desired), _plain(found[entry.id])
            entry.become(states.READY if found[entry.id].action == EXISTS else states.PENDING)

    change_state(clients, note)
    refused = [each for each in checks if each.state == REFUSED]
    for check in refused:
        logger.error("%s: %s; %s", check.check, check.message, check.remedy)
    if refused:
        return any(each.check != PERMISSIONS for each in refused)
    return _make_all(clients, resources, found, deleted)


def _plain(resource: PlannedResource) -> dict[str, Any] | None:
    return None if resource.actual is None else dict(resource.actual)


def _make_all(
    clients: Clients, resources: Sequence[Resource], found: Mapping[str, PlannedResource], deleted: Set[str]
) -> bool:
    """Make what is planned, in order; whether nothing failed. A failure keeps back only what needs the failed one."""
    absent = set(deleted)
    made: set[str] = set()
    failures = 0
    for resource in resources:
        if resource.id in deleted:
            continue
        plan_now = found[resource.id]
        missing = [each for each in resource.needs if each in absent]
        if missing:
            absent.add(resource.id)
            _note(clients, resource.id, states.WAITING, f"waits for {', '.join(missing)}")
            continue
        try:
            if plan_now.action in {CREATE, UNREADABLE} or made.intersection(resource.needs):
                # What it needs was not there, or not like this, when it was planned.
                plan_now = planned(resource)
            if plan_now.action == CONFLICT:
                error = f"{_differences(plan_now)}: {plan_now.remedy}"
                _note(clients, resource.id, states.CONFLICT, error, plan_now)
                if resource.is_foreign_in_conflict:
                    absent.add(resource.id)
                continue
            if plan_now.action != EXISTS:
                _note(clients, resource.id, states.IN_PROGRESS, found=plan_now)
                plan_now = _made(resource)
                made.add(resource.id)
                logger.info("%s is made", resource.id)
            if plan_now is not found[resource.id]:
                _note(clients, resource.id, states.READY, found=plan_now)
        except Exception as error:
            # Whatever an SDK raises is this resource's failure, which people must be able to read.
            logger.exception("%s could not be made", resource.id)
            failures += 1
            if plan_now.actual is None:
                absent.add(resource.id)
            _note(clients, resource.id, states.FAILED, str(error))
    return not failures


def _made(resource: Resource) -> PlannedResource:
    resource.make()
    found = planned(resource)
    if found.action != EXISTS:
        wrong = _differences(found) or "it is not there"
        raise ProvisioningError(f"{resource.type} {resource.name}", f"Azure took the request, but {wrong}")
    return found


def _differences(resource: PlannedResource) -> str:
    return "; ".join(f"{each.property} is {each.actual!r}, wanted {each.desired!r}" for each in resource.differences)


def _note(
    clients: Clients, resource_id: str, state: str, error: str = "", found: PlannedResource | None = None
) -> None:
    def change(whole: State) -> None:
        entry = whole.resource(resource_id)
        if entry is not None:
            entry.become(state, error)
            if found is not None:
                entry.desired, entry.actual = dict(found.desired), _plain(found)

    change_state(clients, change)


def _delete(clients: Clients, work: Work) -> None:
    _note(clients, work.delete, states.IN_PROGRESS)
    try:
        _find(clients, work.delete).delete()
    except Exception as error:
        logger.exception("%s could not be deleted", work.delete)
        _note(clients, work.delete, states.FAILED, f"could not be deleted: {error}")
        if work.attempt < len(RETRY_SECONDS):
            dataclasses.replace(work, attempt=work.attempt + 1).send(clients, RETRY_SECONDS[work.attempt])
        return
    logger.info("%s is deleted", work.delete)

    def note(state: State) -> None:
        entry = state.resource(work.delete)
        if entry is not None:
            entry.become(states.DELETED)
            entry.deleted_after = state.requested

    change_state(clients, note)
