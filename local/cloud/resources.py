"""Azure resources by id: case-insensitive, ordered by creation, kept in SQLite."""

from __future__ import annotations

import json
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from local.cloud.clock import utc_text
from local.cloud.database import Database
from local.cloud.errors import NotFoundError

Json = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """One ARM resource. `body` is what its PUT said (properties, location, tags, …), without id, name and systemData.

    `sequence` grows with the order of creation and never changes; `created` and `modified` are seconds UTC.
    """

    id: str
    body: Json
    sequence: int
    created: float
    modified: float

    @property
    def name(self) -> str:
        return self.id.rsplit("/", 1)[1]

    @property
    def type(self) -> str:
        """`Provider/type/subtype`, from the id."""
        parts = self.id.split("/providers/")[-1].split("/")
        return "/".join([parts[0], *parts[1::2]])

    @property
    def properties(self) -> Json:
        properties: Json = self.body.get("properties") or {}
        return properties

    def document(self) -> Json:
        """The resource as ARM answers it."""
        system = {
            "createdAt": utc_text(self.created),
            "createdBy": "local",
            "createdByType": "Application",
            "lastModifiedAt": utc_text(self.modified),
            "lastModifiedBy": "local",
            "lastModifiedByType": "Application",
        }
        return {**self.body, "id": self.id, "name": self.name, "type": self.type, "systemData": system}


class ResourceStore:
    """Reads and writes resources. A collection is the id of a resource without its last segment."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def transaction(self) -> AbstractContextManager[object]:
        """Several writes, of runs and events too, that are kept all or none."""
        return self._database.transaction()

    def find(self, resource_id: str) -> Resource | None:
        row = self._database.row("SELECT * FROM resources WHERE key = ?", _key(resource_id))
        return _resource(row) if row else None

    def get(self, resource_id: str) -> Resource:
        """Raises NotFoundError, with ARM's wording, when there is none."""
        found = self.find(resource_id)
        if found is None:
            scope, _, parts = resource_id.strip("/").rpartition("/providers/")
            raise NotFoundError(
                f"The Resource '{parts}' under resource group '{scope.rpartition('/')[2]}' was not found. "
                "For more details please go to https://aka.ms/ARMResourceNotFoundFix"
            )
        return found

    def put(self, resource_id: str, body: Json) -> Resource:
        """Create or replace. The first spelling of the id, the creation time and the order of creation stay."""
        key, now = _key(resource_id), time.time()
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO resources (key, collection, id, created, modified, body) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (key) DO UPDATE SET modified = excluded.modified, body = excluded.body",
                (key, key.rsplit("/", 1)[0], resource_id.rstrip("/"), now, now, json.dumps(body)),
            )
        return self.get(resource_id)

    def delete(self, resource_id: str) -> bool:
        """Delete a resource and everything below it; False when there was none."""
        key = _key(resource_id)
        # '0' is the character after '/', so the range holds exactly the ids that begin with the key and a slash.
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM resources WHERE key > ? AND key < ?", (f"{key}/", f"{key}0"))
            return connection.execute("DELETE FROM resources WHERE key = ?", (key,)).rowcount > 0

    def children(self, collection: str) -> list[Resource]:
        """The resources directly in a collection, in the order of creation."""
        rows = self._database.rows("SELECT * FROM resources WHERE collection = ? ORDER BY sequence", _key(collection))
        return [_resource(row) for row in rows]

    def below(self, prefix: str) -> list[Resource]:
        """Every resource whose id begins with `prefix` and a slash, in the order of creation."""
        key = _key(prefix)
        rows = self._database.rows(
            "SELECT * FROM resources WHERE key > ? AND key < ? ORDER BY sequence", f"{key}/", f"{key}0"
        )
        return [_resource(row) for row in rows]


def _key(resource_id: str) -> str:
    return resource_id.rstrip("/").lower()


def _resource(row: Any) -> Resource:
    return Resource(row["id"], json.loads(row["body"]), row["sequence"], row["created"], row["modified"])
