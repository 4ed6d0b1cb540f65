"""The ledger's table: ranges, transactions, and many transactions at once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, TypeVar

from shared.errors import LabelLoopError
from shared.ledger.clock import service_clock

if TYPE_CHECKING:
    from azure.data.tables import TableClient, TableServiceClient

TABLE = "ledger"
# A transaction holds at most 100 operations:
# https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions
MAX_OPERATIONS = 100
# And a page at most 1,000 rows:
# https://learn.microsoft.com/rest/api/storageservices/query-timeout-and-pagination
MAX_PAGE_SIZE = 1000
# Requests at once; the HTTP client keeps ten connections.
WORKERS = 8

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Operation = tuple[str, dict[str, Any]] | tuple[str, dict[str, Any], dict[str, Any]]


class ConcurrentUpdateError(LabelLoopError):
    """Another worker changed the row first. Whoever sees it leaves the row to that worker."""


class LedgerTable:
    """The table of one storage account. Every answer sets the clock."""

    def __init__(self, tables: TableServiceClient) -> None:
        self._client: TableClient = tables.get_table_client(TABLE)
        self._clock = service_clock(f"{tables.url}/{TABLE}")

    def now(self) -> dt.datetime:
        """The storage service's time (UTC)."""
        if not self._clock.is_known:
            list(self.between("clock", "", "", page_size=1))
        return self._clock.now()

    def get(self, partition: str, row_key: str) -> Any | None:
        """One row, or None."""
        from azure.core.exceptions import ResourceNotFoundError

        try:
            return self._client.get_entity(partition, row_key, raw_response_hook=self._clock)
        except ResourceNotFoundError:
            return None

    def range(self, partition: str, prefix: str, **options: Any) -> Iterator[Any]:
        """The rows whose key begins with `prefix`, in the order of their keys; `options` as of `between`."""
        return self.between(partition, prefix, after(prefix), **options)

    def between(
        self, partition: str, first: str, last: str, *, select: Sequence[str] = (), page_size: int = MAX_PAGE_SIZE
    ) -> Iterator[Any]:
        """The rows with keys from `first` up to, but without, `last`, of all columns or those of `select`."""
        return (row for page in self.pages(partition, first, last, select=select, page_size=page_size) for row in page)

    def pages(
        self, partition: str, first: str, last: str, *, select: Sequence[str] = (), page_size: int = MAX_PAGE_SIZE
    ) -> Iterator[Iterator[Any]]:
        """The same by pages, each of which costs a request."""
        found = self._client.query_entities(
            "PartitionKey eq @partition and RowKey ge @first and RowKey lt @last",
            parameters={"partition": partition, "first": first, "last": last},
            select=list(select) or None,
            results_per_page=min(max(page_size, 1), MAX_PAGE_SIZE),
            raw_response_hook=self._clock,
        )
        return iter(found.by_page())

    def transact(self, operations: Sequence[Operation]) -> list[str]:
        """Carry out operations on one partition, all or none; returns the rows' ETags.

        Raises ConcurrentUpdateError when a row is not as expected; then nothing was changed.
        """
        from azure.data.tables import TableTransactionError

        try:
            answers = self._client.submit_transaction(operations, raw_response_hook=self._clock)
        except TableTransactionError as error:
            if error.status_code in {404, 409, 412}:
                raise ConcurrentUpdateError(str(error.message)) from error
            raise
        return [str(answer.get("etag", "")) for answer in answers]


def after(prefix: str) -> str:
    """The first key after all that begin with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def expecting(etag: str) -> dict[str, Any]:
    """Options of an operation that only succeeds while the row has this ETag."""
    from azure.core import MatchConditions

    return {"etag": etag, "match_condition": MatchConditions.IfNotModified}


def merged(partition: str, row_key: str, **fields: Any) -> Operation:
    """The operation that changes some columns of a row that must exist."""
    return ("update", {"PartitionKey": partition, "RowKey": row_key, **fields}, {"mode": "merge"})


def grouped(items: Iterable[Item], key: Callable[[Item], str], size: int) -> Iterator[list[Item]]:
    """The items in groups of one key each, of at most `size`; as few are held back as keys demand."""
    pending: dict[str, list[Item]] = {}
    for item in items:
        group = pending.setdefault(key(item), [])
        group.append(item)
        if len(group) == size:
            yield pending.pop(key(item))
    yield from pending.values()


def in_parallel(work: Callable[[Item], Answer], items: Iterable[Item]) -> list[Answer]:
    """What `work` answers for each item, several at once, in the items' order. Items are taken as work gets done.

    Raises what one of them raised, when the ones under way have ended.
    """
    answers: list[Future[Answer]] = []
    running: set[Future[Answer]] = set()
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="ledger") as pool:
        for item in items:
            if len(running) >= 2 * WORKERS:
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                for each in ended:
                    each.result()
            task = pool.submit(work, item)
            answers.append(task)
            running.add(task)
    return [each.result() for each in answers]
