"""What works: the data account's services, the workspace, the queues, and whether there is a model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from shared.dead_letters import unreturned_report
from shared.last_events import last_events
from shared.ledger import TABLE
from shared.models import model_store
from shared.queues import LABEL_EXPORTS, POISONED_BLOBS, QUEUES

if TYPE_CHECKING:
    from shared.clients import Clients

STORAGE = ("blobs", "queues", "tables")
# https://learn.microsoft.com/rest/api/azureml/workspaces/get
WORKSPACE_API_VERSION = "2024-10-01"
FRESH_SECONDS = 10.0

_lock = threading.Lock()
_recent: WeakKeyDictionary[Clients, tuple[float, dict[str, Any]]] = WeakKeyDictionary()


def recent_health(clients: Clients) -> dict[str, Any]:
    """`health_report`, at most FRESH_SECONDS old: anybody may ask for it, and each costs a dozen requests."""
    with _lock:
        begun, report = _recent.get(clients, (float("-inf"), {}))
        if time.monotonic() - begun >= FRESH_SECONDS:
            report = health_report(clients)
            _recent[clients] = time.monotonic(), report
        return report


def health_report(clients: Clients) -> dict[str, Any]:
    """`state` is healthy; degraded when images are taken in but the workspace does not answer; unhealthy when a
    storage service does not. A missing workspace, model or ledger is told, and is no illness: before provisioning and
    the first training there is none. Nor are events that could not be put back: the app works without them, but
    somebody has to look. `queues` has the depth of each queue that there is, `last_events` when events were seen.
    """
    from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError

    def check(probe: Callable[[], str]) -> str:
        try:
            return probe()
        except ResourceNotFoundError:
            return "not provisioned"
        except HttpResponseError as error:
            if error.status_code == 404:
                return "not provisioned"
            return f"unreachable: {type(error).__name__}" + (f" {error.status_code}" if error.status_code else "")
        except AzureError as error:
            return f"unreachable: {type(error).__name__}"

    clients = clients.probing
    settings = clients.settings

    def blobs() -> str:
        clients.blobs.get_container_client(settings.work_container).get_container_properties()
        return "ok"

    def queues() -> str:
        clients.queues.get_queue_client(LABEL_EXPORTS).get_queue_properties()
        return "ok"

    def tables() -> str:
        table = clients.tables.get_table_client(TABLE)
        next(iter(table.query_entities("PartitionKey eq ''", results_per_page=1)), None)
        return "ok"

    def workspace() -> str:
        clients.ask_resource_manager("GET", settings.workspace_id, WORKSPACE_API_VERSION)
        return "ok"

    def model() -> str:
        champion = model_store(clients).champion()
        return champion.id if champion else "none yet"

    def dead_letters() -> str:
        return unreturned_report(clients.blobs)

    def depth(queue: str) -> int | None:
        try:
            return int(clients.queues.get_queue_client(queue).get_queue_properties().approximate_message_count or 0)
        except AzureError:
            return None

    def events() -> dict[str, Any]:
        try:
            return last_events(clients)
        except AzureError:
            return {}

    probes = [blobs, queues, tables, workspace, model, dead_letters]
    names = [*QUEUES, *(f"{each}-poison" for each in QUEUES), POISONED_BLOBS]
    with ThreadPoolExecutor(len(probes)) as pool:
        found = dict(zip((probe.__name__ for probe in probes), pool.map(check, probes), strict=True))
        # Where the queues do not answer once, asking for each would only take long.
        depths = pool.map(depth, names) if found["queues"] == "ok" else ()
        counted = {name: count for name, count in zip(names, depths, strict=False) if count is not None}
        seen = events() if found["blobs"] == "ok" else {}
    ill = [name for name, state in found.items() if state.startswith("unreachable")]
    state = "unhealthy" if set(ill) & set(STORAGE) else "degraded" if ill else "healthy"
    return {"state": state, "checks": found, "queues": counted, "last_events": seen}
