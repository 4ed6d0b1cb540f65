"""The cloud's SQLite database: one file, one connection, used by the event loop's thread alone."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS resources (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    collection TEXT NOT NULL,
    id TEXT NOT NULL,
    created REAL NOT NULL,
    modified REAL NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS resources_collection ON resources (collection, sequence);

CREATE TABLE IF NOT EXISTS runs (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL UNIQUE,
    workspace TEXT NOT NULL,
    root_run_id TEXT NOT NULL,
    parent_run_id TEXT,
    status TEXT NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS runs_parent ON runs (parent_run_id, sequence);
CREATE INDEX IF NOT EXISTS runs_root ON runs (root_run_id, sequence);

CREATE TABLE IF NOT EXISTS role_assignments (
    key TEXT PRIMARY KEY,
    body TEXT
);

CREATE TABLE IF NOT EXISTS events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    type TEXT NOT NULL,
    subject TEXT NOT NULL,
    time REAL NOT NULL,
    event TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS deliveries (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    event INTEGER NOT NULL,
    subscription TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    published REAL NOT NULL,
    due REAL NOT NULL,
    last_status TEXT
);
DROP INDEX IF EXISTS deliveries_due;
CREATE INDEX IF NOT EXISTS deliveries_pending ON deliveries (state, subscription, due);
CREATE INDEX IF NOT EXISTS deliveries_event ON deliveries (event);
"""


class Database:
    """`with database.transaction() as connection:` commits on success and rolls back on an exception.

    WAL with `synchronous=NORMAL`: a committed transaction survives the death of this process, however it dies.
    Only a power failure may lose the last commits, and Azurite, whose writes they describe, promises no more.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(SCHEMA)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction; nested use joins the outer one."""
        if self._connection.in_transaction:
            yield self._connection
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        return self._connection.execute(query, values).fetchall()

    def row(self, query: str, *values: object) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._connection.execute(query, values).fetchone()
        return row

    def close(self) -> None:
        self._connection.close()
