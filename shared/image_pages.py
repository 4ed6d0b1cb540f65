"""Images as others see them: lists by what became of them, and the whole story of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from shared.errors import InvalidRequestError, NotFoundError
from shared.ledger import Ledger, normalised_etag
from shared.results.images import ImageResult, Wanted, image_result, latest_images
from shared.results.listing import Position
from shared.results.sealed import read_shard
from shared.review.corrections import Correction, Corrections

if TYPE_CHECKING:
    from shared.clients import Clients
    from shared.ledger import Batch

# How far into what waits a list goes: each page reads all before it.
MAX_WAITING = 10_000
# For one answer at most so many shards of manifests are read.
MAX_SHARDS = 50


class Page(NamedTuple):
    """A page of images as plain values, and where the next one begins, if there is one."""

    images: list[dict[str, Any]]
    next: tuple[Any, ...] | None


def ended_page(clients: Clients, ledger: Ledger, wanted: Wanted, *, limit: int, begin: Position | None) -> Page:
    """Images that were scored, or could not be, of the newest batches first. Raises InvalidRequestError for a `begin`
    that is gone.
    """
    found, following = latest_images(clients, ledger, wanted, limit=limit, begin=begin)
    return Page([ended_image(each) for each in found], following)


def waiting_page(ledger: Ledger, prefix: str, *, limit: int, after: tuple[int, str] | None) -> Page:
    """Images that wait for a batch, those first that wait longest. `after`: how many rows came before, and the last."""
    count, last = after or (0, "")
    if not 0 <= count <= MAX_WAITING:
        raise InvalidRequestError(f"only the first {MAX_WAITING} waiting images are listed", "cursor")
    rows = [each for each in ledger.waiting(count + limit + 1).images if each.row_key > last]
    page = rows[:limit]
    images = [
        {
            **bare_image(each.image.path, each.image.etag, "waiting"),
            "arrived": each.since.isoformat(),
            "error": each.image.error,
        }
        for each in page
        if each.image.path.startswith(prefix)
    ]
    return Page(images, (count + len(page), page[-1].row_key) if len(rows) > limit else None)


def batched_page(clients: Clients, ledger: Ledger, prefix: str, *, limit: int, begin: Position | None) -> Page:
    """Images of the batches under way, of the newest first, by the batches' manifests. One that ends meanwhile is
    left out from there on.
    """
    images: list[dict[str, Any]] = []
    for count, (batch, shard, first) in enumerate(_open_shards(ledger, begin)):
        if count == MAX_SHARDS:
            return Page(images, Position(batch.id, shard, first))
        for number, row in enumerate(read_shard(clients.blobs, clients.settings.work_container, batch, shard)):
            if number < first or not row.image.startswith(prefix):
                continue
            if len(images) == limit:
                return Page(images, Position(batch.id, shard, number))
            told = bare_image(row.image, row.key.partition(":")[2], "batched")
            images.append({**told, "batch": batch.id, "model": batch.model, "error": row.error})
    return Page(images, None)


def image_story(clients: Clients, ledger: Ledger, path: str) -> dict[str, Any]:
    """What became of every content of one image, newest first. Raises NotFoundError for one that is not known."""
    from azure.core.exceptions import ResourceNotFoundError

    container = clients.settings.images_container
    said = Corrections(clients.tables).get(container, path)
    rows = sorted(ledger.history(container, path), key=lambda row: str(row["arrived"]), reverse=True)
    try:
        current = str(clients.blobs.get_blob_client(container, path).get_blob_properties().etag)
    except ResourceNotFoundError:
        current = ""
    if not rows and not current:
        raise NotFoundError(f"there is no image {path}, and there was none")
    return {
        "path": path,
        "container": container,
        "exists": bool(current),
        "etag": normalised_etag(current) or None,
        "contents": [
            {**_content(clients, ledger, row), "correction": _correction(said, str(row["etag"]))} for row in rows
        ],
    }


def _correction(said: Correction | None, etag: str) -> dict[str, Any] | None:
    """What a person said last, if it was of this content."""
    if said is None or said.etag != etag:
        return None
    return {"labels": list(said.labels), "who": said.who, "when": said.when}


def _content(clients: Clients, ledger: Ledger, row: dict[str, Any]) -> dict[str, Any]:
    """One content: as in a list, and how it was prepared and scored."""
    batch = ledger.batch(row["batch"]) if row.get("batch") else None
    key = row["RowKey"].removeprefix("i:")
    result = image_result(clients, ledger, batch.id, key) if batch else None
    told = ended_image(result) if result else bare_image(row["path"], row["etag"], row["state"])
    return {
        **told,
        "state": row["state"],
        "arrived": row["arrived"],
        "batch": row.get("batch") or None,
        "model": batch.model if batch else None,
        "error": row["error"] or told["error"],
        "file": row.get("file") or None,
        "prepared": row["source_path"] != row["path"],
        "notes": str(row.get("notes") or "").splitlines(),
        "attempts": int(row["attempts"]),
        "reason": batch.reason if batch else None,
        "job": (batch.job if batch else "") or None,
    }


def _open_shards(ledger: Ledger, begin: Position | None) -> list[tuple[Batch, int, int]]:
    """The shards of manifests of open batches, newest batch first, each with the row to begin with."""
    found = []
    for batch in sorted(ledger.open_batches(), key=lambda each: each.id, reverse=True):
        if begin is not None and batch.id > begin.batch:
            continue
        is_first = begin is not None and batch.id == begin.batch
        start = max(begin.shard, 0) if begin and is_first else 0
        first = max(begin.row, 0) if begin and is_first else 0
        found += [(batch, shard, first if shard == start else 0) for shard in range(start, batch.shards)]
    return found


def bare_image(path: str, etag: str, state: str) -> dict[str, Any]:
    """An image of which nothing more is known."""
    return {
        "path": path,
        "etag": etag,
        "state": state,
        "arrived": None,
        "batch": None,
        "model": None,
        "labels": [],
        "probabilities": {},
        "error": "",
        "file": None,
        "scored_at": None,
    }


def ended_image(result: ImageResult) -> dict[str, Any]:
    """An image that was scored, or could not be."""
    return {
        **bare_image(result.path, result.etag, result.state),
        "batch": result.batch,
        "model": result.model,
        "labels": list(result.labels),
        "probabilities": result.probabilities,
        "error": result.error,
        "file": result.file or None,
        "scored_at": result.scored_at or None,
    }
