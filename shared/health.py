"""What works: the data account's services, and whether there is a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.dead_letters import unreturned_report
from shared.ledger import TABLE
from shared.models import model_store
from shared.queues import LABEL_EXPORTS

if TYPE_CHECKING:
    from shared.clients import Clients


def health_report(clients: Clients) -> dict[str, Any]:
    """`state` is healthy, or unhealthy when a storage service does not answer. A missing model or ledger is told,
    and is no illness: before provisioning and the first training there is none. Nor are events that could not be put
    back: the app works without them, but somebody has to look.
    """
    from azure.core.exceptions import AzureError, ResourceNotFoundError

    def check(probe: Any) -> str:
        try:
            return str(probe())
        except ResourceNotFoundError:
            return "not provisioned"
        except AzureError as error:
            return f"unreachable: {type(error).__name__}"

    clients = clients.probing
    settings = clients.settings
    store = model_store(clients)

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

    def model() -> str:
        champion = store.champion()
        return champion.id if champion else "none yet"

    def dead_letters() -> str:
        return unreturned_report(clients.blobs)

    probes = {"blobs": blobs, "queues": queues, "tables": tables, "model": model, "dead_letters": dead_letters}
    checks = {name: check(probe) for name, probe in probes.items()}
    ill = any(each.startswith("unreachable") for each in checks.values())
    return {"state": "unhealthy" if ill else "healthy", "checks": checks}
