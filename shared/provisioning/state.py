"""What was asked for, what is under way and what came of it: one blob, changed under its etag.

`requested` counts requests, `taken` says up to which of them a run has begun and `done` up to which all is carried
out: any number of requests that no run has taken up yet, and of messages about them, lead to one run.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shared.provisioning.check import REFUSED, Check

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient

    from shared.clients import Clients

STATE_PATH = "provisioning.json"
PENDING, IN_PROGRESS, READY, FAILED = "pending", "in_progress", "ready", "failed"
WAITING, DELETED, CONFLICT = "waiting", "deleted", "conflict"
NOT_STARTED, INCOMPLETE = "not_started", "incomplete"


@dataclass
class ResourceState:
    """`state`: pending, in_progress, ready, failed (`error` says why), conflict (Azure can't change it in place),
    waiting (for another that failed) or deleted; `since` is RFC 3339, UTC. `desired` and `actual` are what was
    compared. `deleted_after` is the last request before somebody deleted it: only a later one makes it again.
    """

    id: str
    type: str
    name: str
    state: str = PENDING
    since: str = ""
    error: str = ""
    desired: dict[str, Any] = field(default_factory=dict)
    actual: dict[str, Any] | None = None
    deleted_after: int = 0

    def become(self, state: str, error: str = "") -> None:
        """`since` is when the present state, with its error, began."""
        if (state, error) != (self.state, self.error) or not self.since:
            self.since = now()
        self.state, self.error = state, error


@dataclass
class State:
    """The whole. `error` is why the last run could not even plan."""

    requested: int = 0
    taken: int = 0
    done: int = 0
    error: str = ""
    checks: list[Check] = field(default_factory=list)
    resources: list[ResourceState] = field(default_factory=list)

    @property
    def overall(self) -> str:
        """not_started, in_progress, failed, ready, or incomplete when something was deleted."""
        if not self.requested:
            return NOT_STARTED
        states = {each.state for each in self.resources}
        if self.done < self.requested or IN_PROGRESS in states:
            return IN_PROGRESS
        if self.error or any(each.state == REFUSED for each in self.checks) or states - {READY, DELETED}:
            return FAILED
        return INCOMPLETE if DELETED in states else READY

    def resource(self, resource_id: str) -> ResourceState | None:
        """The state of one resource."""
        return next((each for each in self.resources if each.id == resource_id), None)

    @classmethod
    def from_json(cls, content: bytes) -> State:
        """Read what `to_json` wrote, in this version of the app or another: unknown fields are dropped."""
        value = _known(cls, json.loads(content))
        value["checks"] = [Check(**_known(Check, each)) for each in value.get("checks", [])]
        value["resources"] = [ResourceState(**_known(ResourceState, each)) for each in value.get("resources", [])]
        return cls(**value)

    def to_json(self) -> bytes:
        return json.dumps(dataclasses.asdict(self), indent=1).encode()


def _known(kind: type[Any], value: dict[str, Any]) -> dict[str, Any]:
    return {each.name: value[each.name] for each in dataclasses.fields(kind) if each.name in value}


def read_state(clients: Clients) -> State:
    """The state, an empty one before anything was asked for."""
    return _read(_blob(clients))[0]


def change_state(clients: Clients, change: Callable[[State], None]) -> State:
    """Apply a change to the newest state, again when another worker's change came between. Returns the new state."""
    from azure.core import MatchConditions
    from azure.core.exceptions import ResourceExistsError, ResourceModifiedError

    blob = _blob(clients)
    while True:
        state, etag = _read(blob)
        change(state)
        try:
            if etag is None:
                blob.upload_blob(state.to_json(), overwrite=False)
            else:
                blob.upload_blob(
                    state.to_json(), overwrite=True, etag=etag, match_condition=MatchConditions.IfNotModified
                )
        except (ResourceExistsError, ResourceModifiedError):
            continue
        return state


def _blob(clients: Clients) -> BlobClient:
    return clients.blobs.get_blob_client(clients.settings.work_container, STATE_PATH)


def _read(blob: BlobClient) -> tuple[State, str | None]:
    from azure.core.exceptions import ResourceNotFoundError

    try:
        download = blob.download_blob()
        return State.from_json(download.readall()), str(download.properties.etag)
    except ResourceNotFoundError:
        return State(), None


def now() -> str:
    """The present, RFC 3339, UTC, to the second."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
