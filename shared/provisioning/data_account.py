"""What must be in the data account: the ledger, containers, queues."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from shared.ledger import TABLE, Ledger
from shared.provisioning.resource import Properties, Resource
from shared.queues import QUEUES

if TYPE_CHECKING:
    from shared.clients import Clients


class Table(Resource):
    """The ledger."""

    type = "table"

    def __init__(self, clients: Clients) -> None:
        super().__init__(TABLE)
        self._tables, self._account = clients.tables, clients.account_name

    def desired(self) -> Properties:
        return {}

    def actual(self) -> Properties | None:
        found = self._tables.query_tables(f"TableName eq '{self.name}'")
        return {} if any(found) else None

    def make(self) -> None:
        Ledger(self._tables).create()

    @property
    def deletion(self) -> str:
        return f"it knows what became of every image; {_by_hand('table', self._account, self.name)}"


class Queue(Resource):
    """One queue between two triggers."""

    type = "queue"

    def __init__(self, clients: Clients, name: str) -> None:
        super().__init__(name)
        self._queues, self._account = clients.queues, clients.account_name

    def desired(self) -> Properties:
        return {}

    def actual(self) -> Properties | None:
        from azure.core.exceptions import ResourceNotFoundError

        try:
            self._queues.get_queue_client(self.name).get_queue_properties()
        except ResourceNotFoundError:
            return None
        return {}

    def make(self) -> None:
        from azure.core.exceptions import ResourceExistsError

        with contextlib.suppress(ResourceExistsError):
            self._queues.create_queue(self.name)

    @property
    def deletion(self) -> str:
        return f"messages may be in it; {_by_hand('queue', self._account, self.name)}"


class Container(Resource):
    """One blob container."""

    type = "container"

    def __init__(self, clients: Clients, name: str) -> None:
        super().__init__(name)
        self._blobs, self._account = clients.blobs, clients.account_name

    def desired(self) -> Properties:
        return {}

    def actual(self) -> Properties | None:
        return {} if self._blobs.get_container_client(self.name).exists() else None

    def make(self) -> None:
        from azure.core.exceptions import ResourceExistsError

        with contextlib.suppress(ResourceExistsError):
            self._blobs.create_container(self.name)

    @property
    def deletion(self) -> str:
        return f"data is in it; {_by_hand('container', self._account, self.name)}"


def foundation(clients: Clients) -> Sequence[Resource]:
    """What must be there before any work can be put on a queue or noted.

    The ledger comes before the work container, since the dispatcher takes that for the sign that it can work.
    """
    return [
        Table(clients),
        Container(clients, clients.settings.work_container),
        *(Queue(clients, name) for name in QUEUES),
    ]


def _by_hand(kind: str, account: str, name: str) -> str:
    return f"to delete it all the same: `az storage {kind} delete --auth-mode login --account-name {account} -n {name}`"
