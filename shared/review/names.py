"""The labels that people may give: those of the model in use, those that were given before, and new ones."""

from __future__ import annotations

import contextlib
import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from shared.errors import InvalidRequestError
from shared.labels.names import MAX_LABELS, LabelError, normalised
from shared.ledger.table import ConcurrentUpdateError, LedgerTable
from shared.models import model_store

if TYPE_CHECKING:
    from shared.clients import Clients

PARTITION = "correction-labels"
# So that they fit into one column of the table.
MAX_PER_IMAGE = 100


def folded(label: str) -> str:
    """What spellings of one label have in common; label exports bring them together in the same way."""
    return " ".join(unicodedata.normalize("NFKC", label).casefold().split())


def model_labels(clients: Clients) -> tuple[str, ...]:
    """The labels of the model in use, none before there is one."""
    store = model_store(clients)
    champion = store.champion()
    return store.labels(champion.path) if champion else ()


def known_labels(clients: Clients) -> dict[str, str]:
    """By what spellings have in common, the spelling: the model's, else the one that was given first; the model's
    labels first, then the others by name.
    """
    known = {folded(label): label for label in model_labels(clients)}
    rows = LedgerTable(clients.tables).range(PARTITION, "l:")
    given = sorted(str(row["label"]) for row in rows)
    for label in given[:MAX_LABELS]:
        known.setdefault(folded(label), label)
    return known


def checked(labels: Sequence[str], known: Mapping[str, str]) -> tuple[str, ...]:
    """The labels as they are kept: normalised, in known spellings, sorted, each once. Raises InvalidRequestError."""
    if len(labels) > MAX_PER_IMAGE:
        raise InvalidRequestError(f"labels has {len(labels)} labels; an image may have {MAX_PER_IMAGE}", "labels")
    found: dict[str, str] = {}
    for label in labels:
        try:
            name = normalised(label)
        except LabelError as error:
            raise InvalidRequestError(f"labels: {error}", "labels") from None
        if not name:
            raise InvalidRequestError(
                "labels has an empty name; an empty list says that the image shows none of them", "labels"
            )
        found.setdefault(folded(name), known.get(folded(name), name))
    if len({*known, *found}) > MAX_LABELS:
        raise InvalidRequestError(f"there are {MAX_LABELS} labels already, as many as there may be", "labels")
    return tuple(sorted(found.values()))


def remember(clients: Clients, labels: Iterable[str], known: Mapping[str, str]) -> None:
    """Keep the spelling of labels that are new. Of two at the same time the first one stays."""
    table = LedgerTable(clients.tables)
    for label in labels:
        if folded(label) not in known:
            key = hashlib.sha256(folded(label).encode()).hexdigest()[:32]
            with contextlib.suppress(ConcurrentUpdateError):
                table.transact([("create", {"PartitionKey": PARTITION, "RowKey": f"l:{key}", "label": label})])
