"""Delivery: at least once, several at a time, with back-off, until a subscription's retry policy gives up.

Each subscription has its turn: one whose receiver is slow, or has much to take in, holds up no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import json
import logging
import time
import uuid
from collections import defaultdict
from typing import Any, Protocol

import aiohttp
from azure.core.exceptions import ResourceNotFoundError

from local.cloud.clock import utc_text
from local.cloud.database import Database
from local.cloud.eventgrid.destinations import Destinations, Endpoint
from local.cloud.eventgrid.events import EventLog
from local.cloud.eventgrid.schemas import CLOUD_EVENTS, EVENT_GRID, delivered_as, event_type, request_of
from local.cloud.faults import Faults
from local.cloud.resources import Resource, ResourceStore

logger = logging.getLogger(__name__)

# Azure waits 30 s for an answer and 10 s before the second try; here people watch, so the first waits are short.
ANSWER_SECONDS = 30.0
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
# At once, of each subscription.
PARALLEL_DELIVERIES = 16
DELIVERED_STATUSES = frozenset({200, 201, 202, 203, 204})
# The subscriptions of pending deliveries, each found by one step into the index, however many deliveries wait.
WAITING_SUBSCRIPTIONS = """
WITH RECURSIVE found (subscription) AS (
    SELECT MIN(subscription) FROM deliveries WHERE state = 'pending'
    UNION ALL
    SELECT (SELECT MIN(subscription) FROM deliveries WHERE state = 'pending' AND subscription > found.subscription)
    FROM found WHERE subscription IS NOT NULL
)
SELECT subscription FROM found WHERE subscription IS NOT NULL
"""
DUE_DELIVERIES = """
SELECT deliveries.*, events.event AS body
FROM deliveries JOIN events ON events.sequence = deliveries.event
WHERE state = 'pending' AND subscription = ? ORDER BY due, deliveries.sequence LIMIT ?
"""


class DeadLetters(Protocol):
    """Where dead letters are written."""

    def upload_text(self, text: str, container: str, path: str) -> None: ...


class Deliverer:
    """Takes due deliveries from the event log and POSTs them."""

    def __init__(
        self,
        database: Database,
        store: ResourceStore,
        events: EventLog,
        destinations: Destinations,
        session: aiohttp.ClientSession,
        dead_letters: DeadLetters,
        faults: Faults,
    ) -> None:
        self._database = database
        self._store = store
        self._events = events
        self._destinations = destinations
        self._session = session
        self._dead_letters = dead_letters
        self._faults = faults
        # By subscription, then by the delivery's number.
        self._running: defaultdict[str, dict[int, asyncio.Task[None]]] = defaultdict(dict)

    async def run(self) -> None:
        """Deliver until cancelled. Deliveries left over from an earlier process are due at once."""
        try:
            while True:
                self._events.wake.clear()
                wait = self._start_due()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._events.wake.wait(), wait)
        finally:
            tasks = [task for running in self._running.values() for task in running.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _start_due(self) -> float | None:
        """Start what is due and may start; answer the seconds until the next delivery is due (None: none waits)."""
        waits = [self._start_due_of(row["subscription"]) for row in self._database.rows(WAITING_SUBSCRIPTIONS)]
        return min((wait for wait in waits if wait is not None), default=None)

    def _start_due_of(self, subscription: str) -> float | None:
        running = self._running[subscription]
        free = PARALLEL_DELIVERIES - len(running)
        if free <= 0:
            return None
        now = time.time()
        rows = self._database.rows(DUE_DELIVERIES, subscription, free + len(running) + 1)
        waiting = [row for row in rows if row["sequence"] not in running]
        for row in waiting[:free]:
            if row["due"] > now:
                return float(row["due"] - now)
            task = asyncio.create_task(self._deliver(dict(row)))
            running[row["sequence"]] = task
            task.add_done_callback(functools.partial(self._ended, subscription, row["sequence"]))
        return None

    def _ended(self, subscription: str, key: int, task: asyncio.Task[None]) -> None:
        del self._running[subscription][key]
        self._events.wake.set()
        if not task.cancelled() and task.exception() is not None:
            logger.error("Delivery %d broke", key, exc_info=task.exception())
            # Without this the same delivery would be due at once again, for ever.
            self._postpone(key, LONGEST_WAIT_SECONDS, "internal error")

    async def _deliver(self, row: dict[str, Any]) -> None:
        subscription = self._store.find(row["subscription"])
        if subscription is None:
            self._settle(row["sequence"], "dropped", row["attempts"], "the subscription is gone")
            return
        attempts = row["attempts"] + 1
        endpoint = self._destinations.endpoint(subscription.properties["destination"])
        status, problem = await self._post(endpoint, subscription, json.loads(row["body"]), attempts)
        if status in DELIVERED_STATUSES:
            self._settle(row["sequence"], "delivered", attempts, str(status))
            return
        logger.info("Event for %s not delivered (try %d): %s", subscription.name, attempts, problem)
        policy = subscription.properties["retryPolicy"]
        wait = min(FIRST_WAIT_SECONDS * 2 ** (attempts - 1), LONGEST_WAIT_SECONDS)
        ends = row["published"] + 60 * int(policy["eventTimeToLiveInMinutes"])
        reason = None
        if status in endpoint.final_statuses:
            reason = "UndeliverableDueToClientError"
        elif attempts >= int(policy["maxDeliveryAttempts"]):
            reason = "MaxDeliveryAttemptsExceeded"
        elif time.time() + wait >= ends:
            reason = "TimeToLiveExceeded"
        if reason is None:
            self._postpone(row["sequence"], wait, problem, attempts)
            return
        await self._give_up(row, subscription, attempts, reason, problem)

    async def _post(
        self, endpoint: Endpoint, subscription: Resource, event: dict[str, Any], attempts: int
    ) -> tuple[int | None, str]:
        """The answer's status (None when there is no answer) and what was wrong."""
        fault = self._faults.find("eventgrid", event_type(event), str(event.get("subject") or ""))
        if fault is not None and fault.status is not None:
            return fault.status, f"fault: {fault.status}"
        schema = str(subscription.properties.get("eventDeliverySchema") or EVENT_GRID)
        content_type, body = request_of(event, schema)
        headers = {
            "content-type": content_type,
            "aeg-event-type": "Notification",
            "aeg-subscription-name": subscription.name.upper(),
            "aeg-delivery-count": str(attempts - 1),
            "aeg-data-version": str(event.get("dataVersion") or ""),
            "aeg-metadata-version": "1",
        }
        try:
            async with self._session.post(
                endpoint.url, json=body, headers=headers, timeout=aiohttp.ClientTimeout(ANSWER_SECONDS)
            ) as response:
                text = "" if response.status in DELIVERED_STATUSES else (await response.text())[:200]
                return response.status, f"{response.status} {text}".strip()
        except (aiohttp.ClientError, TimeoutError) as error:
            return None, f"{type(error).__name__}: {error}"

    async def _give_up(
        self, row: dict[str, Any], subscription: Resource, attempts: int, reason: str, problem: str
    ) -> None:
        container = _dead_letter_container(subscription)
        if container is None:
            self._settle(row["sequence"], "dropped", attempts, f"{reason}: {problem}")
            return
        now = datetime.datetime.now(datetime.UTC)
        schema = str(subscription.properties.get("eventDeliverySchema") or EVENT_GRID)
        notes: dict[str, object] = {
            "deadLetterReason": reason,
            "deliveryAttempts": attempts,
            "lastDeliveryOutcome": problem,
            "publishTime": utc_text(row["published"]),
            "lastDeliveryAttemptTime": utc_text(now.timestamp()),
        }
        if schema == CLOUD_EVENTS:
            # Attributes of CloudEvents have lower-case names.
            notes = {name.lower(): value for name, value in notes.items()}
        letter = {**delivered_as(json.loads(row["body"]), schema), **notes}
        topic = subscription.id.rsplit("/", 3)[1]
        hour = f"{now.year}/{now.month}/{now.day}/{now.hour}"
        path = f"{topic}/{subscription.name.upper()}/{hour}/{uuid.uuid4()}.json"
        try:
            await asyncio.to_thread(self._dead_letters.upload_text, json.dumps([letter]), container, path)
        except ResourceNotFoundError:
            # As Event Grid does when the container is not there.
            self._settle(row["sequence"], "dropped", attempts, f"no container '{container}' for the dead letter")
            return
        self._settle(row["sequence"], "dead-lettered", attempts, f"{reason}: {problem}")

    def _settle(self, sequence: int, state: str, attempts: int, status: str) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE deliveries SET state = ?, attempts = ?, last_status = ? WHERE sequence = ?",
                (state, attempts, status, sequence),
            )

    def _postpone(self, sequence: int, wait: float, problem: str, attempts: int | None = None) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE deliveries SET due = ?, last_status = ?, attempts = COALESCE(?, attempts) WHERE sequence = ?",
                (time.time() + wait, problem, attempts, sequence),
            )


def _dead_letter_container(subscription: Resource) -> str | None:
    properties = subscription.properties
    with_identity = properties.get("deadLetterWithResourceIdentity") or {}
    destination = properties.get("deadLetterDestination") or with_identity.get("deadLetterDestination")
    return str(destination["properties"]["blobContainerName"]) if destination else None
