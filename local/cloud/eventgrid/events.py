"""Publishing: an event and its deliveries are written together, before anyone is told of what they describe."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local.cloud.clock import utc_text
from local.cloud.database import Database
from local.cloud.eventgrid import filters, schemas
from local.cloud.faults import Fault, Faults
from local.cloud.resources import Resource, ResourceStore

Json = dict[str, Any]

SYSTEM_TYPE, CUSTOM_TYPE = "Microsoft.EventGrid/systemTopics", "Microsoft.EventGrid/topics"
# Events and settled deliveries beyond this number are forgotten, oldest first.
KEEP_EVENTS = 20_000


@dataclass(frozen=True)
class Topic:
    """Event subscriptions by what they are about: the source of a system topic, or the custom topic itself."""

    source: str
    subscriptions: tuple[Resource, ...]


class EventLog:
    """Events and deliveries in SQLite. `wake` is set whenever a delivery was added."""

    def __init__(self, database: Database, store: ResourceStore, faults: Faults) -> None:
        self._database = database
        self._store = store
        self._faults = faults
        self._topics: list[Topic] | None = None
        self._published = 0
        self.wake = asyncio.Event()

    def topics_changed(self) -> None:
        """Forget what is remembered of topics and subscriptions; call it after any change of them."""
        self._topics = None

    def publish(
        self,
        source: str,
        event_type: str,
        subject: str,
        data: Json | Callable[[int], Json],
        data_version: str = "",
    ) -> None:
        """Record an event of the resource `source` and a delivery for each subscription that wants it.

        `data` may be a function of the event's sequence number. A fault may lose, delay or duplicate the event.
        """

        def event(sequence: int, now: float) -> Json:
            return {
                "id": str(uuid.uuid4()),
                "topic": source,
                "subject": subject,
                "eventType": event_type,
                "eventTime": utc_text(now),
                "data": data(sequence) if callable(data) else data,
                "dataVersion": data_version,
                "metadataVersion": "1",
            }

        self._record(source, event_type, subject, event)

    def publish_event(self, topic: str, event: Json) -> None:
        """The same, for an event of either schema that was published to a custom topic (its id)."""
        self._record(topic, schemas.event_type(event), str(event.get("subject") or ""), lambda *_: event)

    def _record(self, source: str, event_type: str, subject: str, make: Callable[[int, float], Json]) -> None:
        fault = self._faults.find("events", event_type, subject) or Fault()
        if fault.lost:
            return
        now = time.time()
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO events (topic, type, subject, time, event) VALUES (?, ?, ?, ?, '')",
                (source, event_type, subject, now),
            )
            sequence = int(cursor.lastrowid or 0)
            event = make(sequence, now)
            connection.execute("UPDATE events SET event = ? WHERE sequence = ?", (json.dumps(event), sequence))
            seen = schemas.for_filters(event)
            for topic in self._topics_of(source):
                for subscription in topic.subscriptions:
                    if filters.matches(subscription.properties.get("filter") or {}, seen):
                        rows = [(sequence, subscription.id, "pending", now, now + fault.delay)] * (1 + fault.copies)
                        connection.executemany(
                            "INSERT INTO deliveries (event, subscription, state, published, due)"
                            " VALUES (?, ?, ?, ?, ?)",
                            rows,
                        )
                        self.wake.set()
            self._published += 1
            if self._published % 1000 == 0:
                self._prune(sequence - KEEP_EVENTS)

    def _prune(self, before: int) -> None:
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM deliveries WHERE event < ? AND state != 'pending'", (before,))
            connection.execute(
                "DELETE FROM events WHERE sequence < ?"
                " AND sequence NOT IN (SELECT event FROM deliveries WHERE state = 'pending')",
                (before,),
            )

    def _topics_of(self, source: str) -> list[Topic]:
        if self._topics is None:
            self._topics = [
                Topic(
                    str(topic.properties.get("source") or topic.id).lower(),
                    tuple(
                        each
                        for each in self._store.children(f"{topic.id}/eventSubscriptions")
                        if each.properties.get("provisioningState") != "Failed"
                    ),
                )
                for topic in self._store.below("/subscriptions")
                if topic.type.lower() in (SYSTEM_TYPE.lower(), CUSTOM_TYPE.lower())
            ]
        return [topic for topic in self._topics if topic.source == source.lower()]

    def recent(self, limit: int) -> list[Json]:
        """The last events, newest first, each with its deliveries."""
        events = self._database.rows("SELECT sequence, event FROM events ORDER BY sequence DESC LIMIT ?", limit)
        return [
            {
                **schemas.for_filters(json.loads(row["event"])),
                "deliveries": [
                    {
                        "subscription": d["subscription"].rsplit("/", 1)[1],
                        "state": d["state"],
                        "attempts": d["attempts"],
                        "lastStatus": d["last_status"],
                    }
                    for d in self._database.rows(
                        "SELECT * FROM deliveries WHERE event = ? ORDER BY sequence", row["sequence"]
                    )
                ],
            }
            for row in events
        ]

    def pending(self) -> int:
        """The number of deliveries that are neither delivered nor given up."""
        row = self._database.row("SELECT COUNT(*) AS n FROM deliveries WHERE state = 'pending'")
        return int(row["n"]) if row else 0
