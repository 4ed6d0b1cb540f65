"""Subscriptions, kept in a partition of the ledger's table with their secrets: `s:<id>`, and `n:`, which counts them.

Every change expects the row as it was read. A subscription is made and deleted in one transaction with the count, so
that there are never more than MOST.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shared.errors import ConflictError, NotFoundError
from shared.ledger.table import ConcurrentUpdateError, LedgerTable, Operation, expecting

if TYPE_CHECKING:
    from azure.data.tables import TableServiceClient

    from shared.clients import Clients

PARTITION, COUNT_KEY = "webhooks", "n:"
MOST = 20
ACTIVE, PAUSED = "active", "paused"
# How old the answer of `is_wanted` may be, and so how long a new subscription may have to wait for its first event.
FRESH_SECONDS = 30.0

_ID = re.compile(r"[0-9a-f]{24}")


@dataclass(frozen=True)
class Subscription:
    """Who gets the events of some types (`events`; none: of all). The times are RFC 3339 in UTC, empty for never.

    `old_secret` signs as well until `old_secret_until`. `failures` counts those since the last success, `last_error`
    says the last one in words, and `reason` why it is paused. What may be or hold a secret is not shown by `repr`.
    """

    id: str
    url: str = field(repr=False)
    events: tuple[str, ...]
    description: str
    secret: str = field(repr=False)
    created: str
    old_secret: str = field(default="", repr=False)
    old_secret_until: str = ""
    state: str = ACTIVE
    reason: str = ""
    last_success: str = ""
    last_failure: str = ""
    last_error: str = ""
    failures: int = 0
    etag: str = field(default="", compare=False)

    def wants(self, event_type: str) -> bool:
        """Whether it is for events of a type."""
        return not self.events or event_type in self.events

    def keys(self, now: dt.datetime) -> list[str]:
        """The secrets that sign now, the newest first."""
        is_old_good = self.old_secret and now < dt.datetime.fromisoformat(self.old_secret_until)
        return [self.secret, *([self.old_secret] if is_old_good else [])]


class Subscriptions:
    """Those of one storage account."""

    def __init__(self, tables: TableServiceClient) -> None:
        self._table = LedgerTable(tables)

    def find(self, subscription_id: str) -> Subscription | None:
        """One, or None."""
        if not _ID.fullmatch(subscription_id):
            return None
        row = self._table.get(PARTITION, f"s:{subscription_id}")
        return None if row is None else _subscription(row)

    def get(self, subscription_id: str) -> Subscription:
        """One. Raises NotFoundError."""
        found = self.find(subscription_id)
        if found is None:
            raise NotFoundError(f"there is no subscription {subscription_id!r}")
        return found

    def all(self) -> list[Subscription]:
        """All, the oldest first. Raises azure.core's ResourceNotFoundError before there is a table."""
        return sorted(map(_subscription, self._table.range(PARTITION, "s:")), key=lambda each: (each.created, each.id))

    def add(self, new: Subscription) -> None:
        """Keep a new one. Raises ConflictError when there are MOST already, and azure.core's ResourceNotFoundError
        before there is a table.
        """
        while True:
            counted = self._counted()
            if counted is not None and counted["count"] >= MOST:
                raise ConflictError(f"there are {MOST} subscriptions, and no more can be made; delete one")
            operations: list[Operation] = [("create", _row(new)), self._count(counted, 1)]
            with contextlib.suppress(ConcurrentUpdateError):
                self._table.transact(operations)
                return

    def remove(self, subscription_id: str) -> Subscription:
        """Delete one, and return it as it was. Raises NotFoundError."""
        while True:
            found = self.get(subscription_id)
            keys = {"PartitionKey": PARTITION, "RowKey": f"s:{found.id}"}
            with contextlib.suppress(ConcurrentUpdateError):
                self._table.transact([("delete", keys), self._count(self._counted(), -1)])
                return found

    def change(self, known: Subscription, change: Callable[[Subscription], Subscription]) -> Subscription | None:
        """Change one that was read before, and return it as it is then; None when it was deleted meanwhile. `change`
        gets it as it is now, perhaps several times.
        """
        current: Subscription | None = known
        while current is not None:
            new = change(current)
            if new == current:
                return current
            with contextlib.suppress(ConcurrentUpdateError):
                operation: Operation = ("update", _row(new), {"mode": "replace", **expecting(current.etag)})
                (etag,) = self._table.transact([operation])
                return dataclasses.replace(new, etag=etag)
            current = self.find(known.id)
        return None

    def _counted(self) -> Any | None:
        return next(iter(self._table.range(PARTITION, COUNT_KEY)), None)

    def _count(self, counted: Any | None, change: int) -> Operation:
        count = (counted["count"] if counted else 0) + change
        entity = {"PartitionKey": PARTITION, "RowKey": COUNT_KEY, "count": count}
        return ("update", entity, expecting(counted.metadata["etag"])) if counted else ("create", entity)


_looked: dict[str, tuple[float, frozenset[str] | None]] = {}


def is_wanted(clients: Clients, event_type: str) -> bool:
    """Whether any subscription is for events of a type, paused ones included, as it was at most FRESH_SECONDS ago. What
    can not be told may be.
    """
    from azure.core.exceptions import AzureError, ResourceNotFoundError

    begun, wanted = _looked.get(clients.tables.url, (float("-inf"), None))
    if time.monotonic() - begun >= FRESH_SECONDS:
        begun = time.monotonic()
        try:
            wanted = _types(Subscriptions(clients.tables).all())
        except ResourceNotFoundError:
            wanted = frozenset()
        except AzureError:
            return True
        _looked[clients.tables.url] = begun, wanted
    return wanted is None or event_type in wanted


def forget(clients: Clients) -> None:
    """Let the next `is_wanted` look anew."""
    _looked.pop(clients.tables.url, None)


def _types(subscriptions: Sequence[Subscription]) -> frozenset[str] | None:
    """All types that there are subscriptions for; None: every one."""
    if not all(each.events for each in subscriptions):
        return None
    return frozenset(name for each in subscriptions for name in each.events)


def _row(subscription: Subscription) -> dict[str, Any]:
    columns = dataclasses.asdict(subscription)
    del columns["etag"]
    columns["events"] = json.dumps(subscription.events)
    return {"PartitionKey": PARTITION, "RowKey": f"s:{subscription.id}", **columns}


def _subscription(row: Any) -> Subscription:
    columns = {each.name: row[each.name] for each in dataclasses.fields(Subscription) if each.name in row}
    columns["events"] = tuple(json.loads(columns["events"]))
    return Subscription(**columns, etag=str(row.metadata["etag"]))
