"""Everything that an overview shows, in one answer: the loop's stations as they are now, and what needs attention.

Some thirty small requests to storage, eight at a time, however much there is; Azure ML is asked only while a training
runs, and not at each answer.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from shared import datasets
from shared.attention import Situation, attention
from shared.dead_letters import unreturned_report
from shared.errors import NotFoundError
from shared.ledger import Batch, DayCounts, Ledger, rfc3339
from shared.models import model_store
from shared.queues import QUEUES
from shared.review.corrections import Corrections, Counts
from shared.training.line import read_line
from shared.webhooks.subscribing import paused_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shared.clients import Clients

FRESH_SECONDS, TRAINING_FRESH_SECONDS = 3.0, 10.0
EXPORTS, FILES = 20, 5
# So many waiting images are counted; more are told as more.
MOST_WAITING = 10_000
WORKERS = 8

_lock = threading.Lock()
_recent: WeakKeyDictionary[Clients, tuple[float, dict[str, Any]]] = WeakKeyDictionary()
_trainings: WeakKeyDictionary[Clients, tuple[float, str, dict[str, Any] | None]] = WeakKeyDictionary()


def recent_overview(clients: Clients) -> dict[str, Any]:
    """`overview`, at most FRESH_SECONDS old."""
    with _lock:
        begun, told = _recent.get(clients, (float("-inf"), {}))
        if time.monotonic() - begun >= FRESH_SECONDS:
            told = overview(clients)
            _recent[clients] = time.monotonic(), told
        return told


def overview(clients: Clients) -> dict[str, Any]:
    """What is missing is None, or zero: before provisioning there is nothing at all, and `attention` says so.

    Raises what the SDK raises when the account's blobs or tables do not answer.
    """
    from azure.core.exceptions import AzureError, ResourceNotFoundError

    settings, ledger = clients.settings, Ledger(clients.tables)
    missing: list[str] = []

    def found(what: str, ask: Callable[[], Any], otherwise: Any) -> Callable[[], Any]:
        def asked() -> Any:
            try:
                return ask()
            except ResourceNotFoundError:
                missing.append(what)
                return otherwise

        return asked

    def poisoned() -> dict[str, int] | str:
        """Messages that were given up, by queue; a text when the queues do not answer."""
        counts = {}
        try:
            for name in QUEUES:
                count = _depth(clients.probing, f"{name}-poison")
                if count:
                    counts[f"{name}-poison"] = count
        except AzureError as error:
            return type(error).__name__
        return counts

    asks: dict[str, Callable[[], Any]] = {
        "exports": lambda: datasets.list_exports(clients.blobs, settings.work_container, limit=EXPORTS),
        "line": lambda: read_line(clients),
        "champion": lambda: model_store(clients).champion(),
        "waiting": found("the ledger", lambda: ledger.count_waiting(MOST_WAITING), 0),
        "open": found("the ledger", ledger.open_batches, []),
        "days": found("the ledger", lambda: ledger.days(1), []),
        "done": found("the ledger", lambda: ledger.done_batches(FILES), []),
        "letters": found("dead letters", lambda: unreturned_report(clients.blobs), "ok"),
        "poisoned": poisoned,
        "corrections": found("the ledger", lambda: Corrections(clients.tables).counts(), Counts(0, 0, 0)),
        "webhooks": found("the ledger", lambda: paused_words(clients), []),
    }
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="overview") as pool:
        tasks = {name: pool.submit(ask) for name, ask in asks.items()}
        told = {name: task.result() for name, task in tasks.items()}
    now = ledger.now() if "the ledger" not in missing else dt.datetime.now(dt.UTC)
    running = told["line"].running
    training = _training(clients, running.job) if running else None
    day = next((each for each in told["days"] if each.day == f"{now:%Y-%m-%d}"), DayCounts(f"{now:%Y-%m-%d}"))
    opened: Sequence[Batch] = told["open"]
    champion, counts = told["champion"], told["corrections"]
    situation = Situation(
        now=now,
        is_provisioned="the ledger" not in missing,
        exports=told["exports"],
        training=training,
        has_champion=champion is not None,
        open_batches=opened,
        today=day,
        waiting=told["waiting"],
        dead_letters=told["letters"],
        poisoned=told["poisoned"],
        paused_webhooks=told["webhooks"],
    )
    return {
        "generated_at": rfc3339(now),
        "attention": attention(situation),
        "export": _export(told["exports"]),
        "training": training,
        "champion": champion
        and {
            "model": champion.name,
            "version": champion.version,
            "metric": champion.metric,
            "score": champion.score,
            "promoted_at": champion.promoted_at,
            "job": champion.job,
        },
        "images": {
            "waiting": told["waiting"],
            "waiting_more": told["waiting"] >= MOST_WAITING,
            "batched": sum(each.images for each in opened),
            "scored_today": day.predicted,
            "failed_today": day.errors,
        },
        "open_batches": len(opened),
        "files": [_files(each) for each in told["done"]],
        "review": {"corrections": counts.images, "unexported": counts.unexported},
    }


def _export(exports: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The newest one."""
    names = ("id", "export", "state", "images", "labels", "warnings", "updated_at")
    return {name: exports[0][name] for name in names} if exports else None


def _files(batch: Batch) -> dict[str, Any]:
    return {
        "batch": batch.id,
        "model": batch.model,
        "created": batch.created,
        "images": batch.images,
        "errors": batch.errors,
        "files": list(batch.files),
    }


def _training(clients: Clients, job: str) -> dict[str, Any] | None:
    """How far a training is, at most TRAINING_FRESH_SECONDS old; None when Azure ML does not know it."""
    begun, known, told = _trainings.get(clients, (float("-inf"), "", None))
    if known != job or time.monotonic() - begun >= TRAINING_FRESH_SECONDS:
        told = _ask_for_training(clients, job)
        _trainings[clients] = time.monotonic(), job, told
    return told


def _ask_for_training(clients: Clients, job: str) -> dict[str, Any] | None:
    from azure.core.exceptions import AzureError

    from shared.jobs import get_job

    bare = {"job": job, "state": "running", "step": None, "progress": 0.0, "elapsed_seconds": None, "created_at": None}
    try:
        found = get_job(clients, job)
    except NotFoundError:
        return None
    except AzureError as error:
        return {**bare, "node_hours": None, "error": f"Azure ML does not tell how far it is: {type(error).__name__}"}
    created = found["created_at"]
    elapsed = (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(created)).total_seconds() if created else None
    names = ("state", "step", "progress", "node_hours", "created_at", "error")
    return {**bare, **{name: found[name] for name in names}, "elapsed_seconds": elapsed and round(max(elapsed, 0.0))}


def _depth(clients: Clients, queue: str) -> int:
    """How many messages a queue has; none when it is not there, as poison queues are not before the first poison."""
    from azure.core.exceptions import ResourceNotFoundError

    try:
        return int(clients.queues.get_queue_client(queue).get_queue_properties().approximate_message_count or 0)
    except ResourceNotFoundError:
        return 0
