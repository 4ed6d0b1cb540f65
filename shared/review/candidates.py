"""The images that a person should look at next: bounded work, however many were scored."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from shared.image_pages import bare_image, ended_image
from shared.ledger import Ledger
from shared.models import model_store
from shared.results.images import ImageResult, Wanted, latest_images
from shared.review.corrections import Corrections
from shared.review.names import known_labels
from shared.review.ranking import DEFAULT_THRESHOLD, Judgement, LabelCounts, surprise, uncertainty

if TYPE_CHECKING:
    from shared.clients import Clients

# The results that are looked at: the latest ones.
POOL = 2000
# So many images are asked for whether they were corrected, for one answer at most.
MAX_LOOKED_UP, CHUNK = 400, 50
# Of those that wait, before there is a model.
MAX_WAITING = 2000
# The beginning of a training's rows, which are in no order of meaning.
MAX_READ_BYTES = 16_000_000
FRESH_SECONDS = 20.0
NO_MODEL = "there is no model yet"

logger = logging.getLogger(__name__)


class Position(NamedTuple):
    """After which image a page begins: its score, and its path. It comes from outside, and is harmless."""

    score: float
    path: str


class Page(NamedTuple):
    """Images as plain values, all known labels, and where the next page begins."""

    images: list[dict[str, Any]]
    labels: list[str]
    next: Position | None


@dataclass(frozen=True)
class Pool:
    """The latest results, one for each path; thresholds and counts of the training by model (`name:version`)."""

    results: Sequence[ImageResult]
    thresholds: Mapping[str, Mapping[str, float]]
    seen: Mapping[str, LabelCounts]


class _Candidate(NamedTuple):
    judgement: Judgement
    path: str
    etag: str
    told: dict[str, Any]


_lock = threading.Lock()
_pools: WeakKeyDictionary[Clients, tuple[float, Pool]] = WeakKeyDictionary()


def review_page(clients: Clients, order: str, label: str | None, *, limit: int, begin: Position | None) -> Page:
    """Images that nobody has corrected, by `order` (uncertain or surprising), those first that are so the most; by one
    `label` alone, if given. Before there is a model: images that wait, the newest first.
    """
    if model_store(clients).champion() is None:
        ranked = _waiting(Ledger(clients.tables))
    else:
        ranked = _ranked(_recent_pool(clients), order, label)
    ranked.sort(key=lambda each: (-each.judgement.score, each.path))
    if begin is not None:
        ranked = [each for each in ranked if (-each.judgement.score, each.path) > (-begin.score, begin.path)]
    corrections, container = Corrections(clients.tables), clients.settings.images_container
    found: list[dict[str, Any]] = []
    last, is_end = begin, True
    for start in range(0, len(ranked), CHUNK):
        if start >= MAX_LOOKED_UP or len(found) == limit:
            is_end = False
            break
        chunk = ranked[start : start + CHUNK]
        corrected = corrections.corrected(container, [(each.path, each.etag) for each in chunk])
        for each in chunk:
            if len(found) == limit:
                is_end = False
                break
            last = Position(each.judgement.score, each.path)
            if (each.path, each.etag) not in corrected:
                found.append(each.told)
    return Page(found, list(known_labels(clients).values()), None if is_end else last)


def _ranked(pool: Pool, order: str, label: str | None) -> list[_Candidate]:
    candidates = []
    for result in pool.results:
        thresholds = pool.thresholds.get(result.model, {})
        if order == "surprising":
            seen = pool.seen.get(result.model, LabelCounts())
            judgement = surprise(result.labels, result.probabilities, seen, label)
        else:
            judgement = uncertainty(result.probabilities, thresholds, label)
        if not judgement.why:
            continue
        told = {
            **ended_image(result),
            "thresholds": {name: thresholds.get(name, DEFAULT_THRESHOLD) for name in result.probabilities},
            "why": judgement.why,
            "score": judgement.score,
        }
        candidates.append(_Candidate(judgement, result.path, result.etag, told))
    return candidates


def _waiting(ledger: Ledger) -> list[_Candidate]:
    """Images that wait, the newest of the highest score."""
    waiting = ledger.waiting(MAX_WAITING).images
    found = []
    for number, each in enumerate(waiting, 1):
        score = round(number / len(waiting), 6)
        told = {
            **bare_image(each.image.path, each.image.etag, "waiting"),
            "arrived": each.since.isoformat(),
            "thresholds": {},
            "why": NO_MODEL,
            "score": score,
        }
        if not each.image.error:
            found.append(_Candidate(Judgement(score, NO_MODEL), each.image.path, each.image.etag, told))
    return found


def _recent_pool(clients: Clients) -> Pool:
    """At most FRESH_SECONDS old: a person who looks asks for page after page."""
    with _lock:
        begun, pool = _pools.get(clients, (float("-inf"), Pool((), {}, {})))
        if time.monotonic() - begun >= FRESH_SECONDS:
            pool = read_pool(clients)
            _pools[clients] = time.monotonic(), pool
        return pool


def read_pool(clients: Clients) -> Pool:
    """The latest results, and what is known of their models."""
    ledger = Ledger(clients.tables)
    found, _ = latest_images(clients, ledger, Wanted(states=("scored",)), limit=POOL)
    results: dict[str, ImageResult] = {}
    for each in found:
        results.setdefault(each.path, each)
    thresholds: dict[str, Mapping[str, float]] = {}
    seen: dict[str, LabelCounts] = {}
    for each in results.values():
        if each.model in thresholds:
            continue
        batch = ledger.batch(each.batch)
        card = _card(clients, batch.model_path) if batch else {}
        thresholds[each.model] = card.get("thresholds") or {}
        counts = _training(clients, str(card.get("data_set") or ""))
        # Without its training the model's own predictions tell what is usual.
        mine = (other.labels for other in results.values() if other.model == each.model)
        seen[each.model] = counts or LabelCounts.of(mine)
    return Pool(tuple(results.values()), thresholds, seen)


def _card(clients: Clients, path: str) -> Mapping[str, Any]:
    from azure.core.exceptions import ResourceNotFoundError

    try:
        return model_store(clients).card(path)
    except ResourceNotFoundError:
        logger.warning("model %s is gone; its images are judged by a threshold of %s", path, DEFAULT_THRESHOLD)
        return {}


def _training(clients: Clients, data_set: str) -> LabelCounts | None:
    """The labels that a data set's images for training have, of the first MAX_READ_BYTES; None when it is gone."""
    from azure.core.exceptions import ResourceNotFoundError

    if not data_set:
        return None
    blob = clients.blobs.get_blob_client(clients.settings.work_container, f"datasets/{data_set}/train/train.jsonl")
    try:
        content: bytes = blob.download_blob(offset=0, length=MAX_READ_BYTES).readall()
    except ResourceNotFoundError:
        return None
    lines = content.split(b"\n")[:-1]
    counts = LabelCounts.of(json.loads(line)["label"] for line in lines)
    return counts if counts.images else None
