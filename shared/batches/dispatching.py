"""The tick of the timer: every open batch is brought forward, and what waits becomes new ones.

One dispatcher works at a time, by a lease; correctness does not rest on it, since claiming is atomic and every later
step is named by the batch and conditional on its row.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

from shared.batches.decision import CLUSTER, WAIT, decide
from shared.batches.progress import is_due, resume, start
from shared.errors import LabelLoopError
from shared.ledger import Batch, ConcurrentUpdateError, Ledger, rfc3339
from shared.locks import lease_on
from shared.models import model_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.clients import Clients
    from shared.models import Champion

LEASE_PATH = "locks/dispatch"
# After so many failures in a row whatever is behind them is down, and asking it for all the others takes hours.
MAX_FAILURES_IN_A_ROW = 5
MAX_ERROR_LENGTH = 1000

logger = logging.getLogger(__name__)


class StuckBatchesError(LabelLoopError):
    """Batches that failed before have failed again. They stay open, and are tried again."""


def dispatch(clients: Clients, ledger: Ledger) -> None:
    """Bring every open batch forward, then make batches of what waits. No effect before provisioning.

    A batch that fails keeps none of the others back: it is tried again at later ticks, after all that did not fail.
    Raises StuckBatchesError at the end for those that failed for the second time or more.
    """
    from azure.core.exceptions import ResourceNotFoundError

    try:
        with lease_on(clients, LEASE_PATH) as lease:
            if lease is not None:
                _Tick(clients, ledger, lease.renewed).run()
    except ResourceNotFoundError as error:
        if getattr(error, "error_code", None) not in {"ContainerNotFound", "TableNotFound"}:
            raise
        logger.info("nothing to dispatch before provisioning: %s", error.message)


class _Tick:
    """One dispatch, by whoever has the lease."""

    def __init__(self, clients: Clients, ledger: Ledger, may_go_on: Callable[[], bool]) -> None:
        self._clients = clients
        self._ledger = ledger
        self._may_go_on = may_go_on
        self._failures_in_a_row = 0
        self._stuck: list[str] = []

    def run(self) -> None:
        """Work until nothing is left to do, or a step took so long that another dispatcher has the lease now."""
        batches = self._ledger.open_batches()
        now = self._ledger.now()
        for batch in sorted(batches, key=lambda each: bool(each.error)):
            if not self._may_go_on():
                return
            if is_due(batch, now) and self._failures_in_a_row < MAX_FAILURES_IN_A_ROW:
                self._attempt(resume, batch)
        warm = any(batch.state == "submitted" for batch in batches)
        self._failures_in_a_row = 0
        while self._failures_in_a_row < MAX_FAILURES_IN_A_ROW and self._may_go_on():
            new = new_batch(self._clients, self._ledger, cluster_is_warm=warm)
            if new is None:
                break
            warm = warm or new.route == CLUSTER
            self._attempt(start, new)
        if self._stuck:
            raise StuckBatchesError("batches could not be brought forward: " + "; ".join(self._stuck))

    def _attempt(self, step: Callable[[Clients, Ledger, Batch], None], batch: Batch) -> None:
        try:
            step(self._clients, self._ledger, batch)
            self._failures_in_a_row = 0
        except Exception as error:
            self._failures_in_a_row += 1
            reason = f"{type(error).__name__}: {error}"[:MAX_ERROR_LENGTH]
            if batch.error:
                self._stuck.append(f"{batch.id}: {reason.splitlines()[0]}")
            else:
                logger.warning("batch %s could not be brought forward; it is tried again", batch.id, exc_info=True)
            self._note(batch, reason)

    def _note(self, batch: Batch, reason: str) -> None:
        """Tell on the batch's row why it failed."""
        from azure.core.exceptions import AzureError

        try:
            current = self._ledger.batch(batch.id)
            if current is not None and current.state != "done":
                self._ledger.advance(current, error=reason)
        except (AzureError, ConcurrentUpdateError) as error:
            logger.warning("batch %s: its failure could not be noted: %s", batch.id, error)


def new_batch(clients: Clients, ledger: Ledger, *, cluster_is_warm: bool = False) -> Batch | None:
    """Claim what waits for one batch, or None when nothing is to be done now."""
    waiting = ledger.waiting(clients.settings.batch_max_images)
    if not waiting.images:
        return None
    champion = _usable_champion(clients)
    decision = decide(waiting, clients.settings, has_model=champion is not None, cluster_is_warm=cluster_is_warm)
    if decision.route == WAIT or champion is None:
        logger.info("no batch: %s", decision.reason)
        return None
    now = ledger.now()
    keys = sorted(f"{each.image.key}:{each.image.attempts}" for each in waiting.images)
    digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:10]
    batch = Batch(
        id=f"{now:%Y%m%d-%H%M%S}-{digest}",
        state="claiming",
        route=decision.route,
        reason=decision.reason,
        model_name=champion.name,
        model_version=champion.version,
        model_path=champion.path,
        created=rfc3339(now),
        images=len(waiting.images),
        partitions="".join(sorted({each.image.partition for each in waiting.images})),
    )
    try:
        batch = ledger.open_batch(batch)
    except ConcurrentUpdateError:
        return None
    ledger.claim(batch.id, waiting.images)
    logger.info("batch %s: %s; model %s:%s", batch.id, batch.reason, batch.model_name, batch.model_version)
    return batch


def _usable_champion(clients: Clients) -> Champion | None:
    """The champion, None when there is none or its bundle was deleted."""
    from azure.core.exceptions import ResourceNotFoundError

    store = model_store(clients)
    champion = store.champion()
    if champion is None:
        return None
    try:
        store.labels(champion.path)
    except ResourceNotFoundError:
        logger.error(  # noqa: TRY400
            "%s/%s is gone, the bundle of the champion, %s; restore it, or promote another version",
            *(store.container, champion.path, champion.id),
        )
        return None
    return champion
