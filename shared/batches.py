"""From waiting images to files of predictions. Each step can be carried out again, by any worker, after any crash.

    waiting → claimed (the ledger) → manifest → scored: in the app, or by one job on the cluster → files → settled

One dispatcher works at a time, by a lease; correctness does not rest on it, since claiming is atomic and every later
step is named by the batch and conditional on its row.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.cluster import ENDED_STATUSES, KIND_TAG, find_job, status_of, submit_once
from shared.ledger import Batch, ConcurrentUpdateError, Image, Ledger, WaitingImages
from shared.models import classifiers, model_store
from shared.results import collect, read_shard
from shared.scoring import (
    ManifestRow,
    manifest_path,
    part_path,
    score_shard,
    write_part,
)

if TYPE_CHECKING:
    from azure.storage.blob import BlobLeaseClient

    from shared.clients import Clients
    from shared.settings import Settings

SCORING = "scoring"
JOB_PREFIX = "score-"
LEASE_PATH = "locks/dispatch"
LEASE_SECONDS = 60
MIN_SHARD_IMAGES, MAX_SHARD_IMAGES = 16, 512
# So many shards a node: enough that nodes finish together, few enough that starting one costs little.
SHARDS_PER_NODE = 2

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decision:
    """What to do with the images that wait: `route` is wait, inline or cluster; `reason` says why, for people."""

    route: str
    reason: str


def decide(waiting: WaitingImages, settings: Settings, *, has_model: bool) -> Decision:
    """Whether the waiting images become a batch now, and where it is scored. A cold GPU node costs minutes and money,
    so few images are scored in the app, and a batch that could still grow waits for quiet.
    """
    count = len(waiting.images)
    if not count:
        return Decision("wait", "nothing waits")
    if not has_model:
        return Decision("wait", f"{count} images wait for a first model")
    full = count >= settings.batch_max_images
    quiet = waiting.shortest_wait_seconds >= settings.batch_quiet_seconds
    overdue = waiting.longest_wait_seconds >= settings.batch_max_wait_seconds
    if not (full or quiet or overdue):
        return Decision("wait", f"{count} images wait; more are coming")
    if count <= settings.inline_max_images:
        return Decision("inline", f"{count} images, at most INLINE_MAX_IMAGES ({settings.inline_max_images})")
    return Decision("cluster", f"{count} images, more than INLINE_MAX_IMAGES ({settings.inline_max_images})")


def dispatch(clients: Clients, ledger: Ledger) -> None:
    """Bring every open batch forward, then make batches of what waits. No effect before provisioning.

    A batch that fails keeps none of the others back; the failures are raised together at the end.
    """
    failures: list[Exception] = []
    with _dispatcher_lease(clients) as lease:
        if lease is None:
            return
        for batch in ledger.open_batches():
            if not _renewed(lease):
                break
            _attempt(clients, ledger, batch, failures)
        while _renewed(lease) and (new := _new_batch(clients, ledger)) is not None:
            _attempt(clients, ledger, new, failures)
    if failures:
        raise ExceptionGroup(f"{len(failures)} batches could not be brought forward", failures)


def _renewed(lease: BlobLeaseClient) -> bool:
    """False when a step took so long that another dispatcher has the lease now; the rest is left to it."""
    from azure.core.exceptions import HttpResponseError

    try:
        lease.renew()
    except HttpResponseError as error:
        logger.warning("the dispatcher's lease is lost: %s", error.reason)
        return False
    return True


def _attempt(clients: Clients, ledger: Ledger, batch: Batch, failures: list[Exception]) -> None:
    try:
        _bring_forward(clients, ledger, batch)
    except Exception as error:
        logger.exception("batch %s could not be brought forward; the next tick tries again", batch.id)
        failures.append(error)


def settle_job(clients: Clients, ledger: Ledger, job: str) -> None:
    """Bring forward the batch of a scoring job that has ended. No effect when it is not open, or no batch's job."""
    if not job.startswith(JOB_PREFIX):
        return
    batch = ledger.batch(job.removeprefix(JOB_PREFIX))
    if batch is not None and batch.state != "done":
        _bring_forward(clients, ledger, batch)


@contextlib.contextmanager
def _dispatcher_lease(clients: Clients) -> Iterator[BlobLeaseClient | None]:
    """The lease that one dispatcher holds; None when another holds it, or nothing is provisioned yet."""
    from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

    blob = clients.blobs.get_blob_client(clients.settings.work_container, LEASE_PATH)
    try:
        lease = blob.acquire_lease(LEASE_SECONDS)
    except ResourceExistsError:
        yield None
        return
    except ResourceNotFoundError:
        # The lock's blob or its container is missing; when it is the blob, the next tick finds it.
        with contextlib.suppress(ResourceExistsError, ResourceNotFoundError):
            blob.upload_blob(b"", overwrite=False)
        yield None
        return
    try:
        yield lease
    finally:
        with contextlib.suppress(HttpResponseError):  # It may have run out; then it needs no release.
            lease.release()


def _new_batch(clients: Clients, ledger: Ledger) -> Batch | None:
    """Claim what waits for one batch, or None when nothing is to be done now."""
    waiting = ledger.waiting(clients.settings.batch_max_images)
    if not waiting.images:
        return None
    champion = model_store(clients).champion()
    decision = decide(waiting, clients.settings, has_model=champion is not None)
    if decision.route == "wait" or champion is None:
        logger.info("no batch: %s", decision.reason)
        return None
    now = dt.datetime.now(dt.UTC)
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
        created=now.isoformat(timespec="seconds"),
    )
    try:
        batch = ledger.open_batch(batch)
    except ConcurrentUpdateError:
        return None
    ledger.claim(batch.id, waiting.images)
    logger.info("batch %s: %s; model %s:%s", batch.id, batch.reason, batch.model_name, batch.model_version)
    return batch


def _bring_forward(clients: Clients, ledger: Ledger, batch: Batch) -> None:
    """Carry out the batch's next steps until it is done or waits for its job."""
    try:
        if batch.state == "claiming":
            batch = _write_manifest(clients, ledger, batch)
        if batch.state == "claimed":
            if batch.route == "inline":
                _score_inline(clients, batch)
                collect(clients, ledger, batch, job_error="")
                return
            batch = _submit(clients, ledger, batch)
        if batch.state == "submitted":
            job = find_job(clients, batch.job)
            if job is None:
                batch = _submit(clients, ledger, batch)
            elif (status := status_of(job)) in ENDED_STATUSES:
                error = "" if status == "Completed" else f"scoring job {batch.job} ended as {status}"
                collect(clients, ledger, batch, job_error=error)
    except ConcurrentUpdateError as error:
        logger.info("batch %s is in other hands: %s", batch.id, error)
        current = ledger.batch(batch.id)
        if current is None or current.state == "done":
            ledger.release(batch.id)


def _write_manifest(clients: Clients, ledger: Ledger, batch: Batch) -> Batch:
    """Write the claimed images as shards, in the order of their keys. The folder is named by them, so that a stalled
    dispatcher that wakes up late writes beside the manifest in use, not over it.
    """
    members = sorted(ledger.members(batch.id), key=lambda image: image.key)
    if not members:
        ledger.close_batch(batch)
        raise ConcurrentUpdateError(f"batch {batch.id} got no images; other batches have them")
    digest = hashlib.sha256("\n".join(image.key for image in members).encode()).hexdigest()[:8]
    folder = f"batches/{batch.id}/{digest}/"
    size = shard_size(len(members), clients.settings)
    for shard, start in enumerate(range(0, len(members), size)):
        rows = [_manifest_row(image) for image in members[start : start + size]]
        content = "".join(row.to_json() + "\n" for row in rows).encode()
        blob = clients.blobs.get_blob_client(clients.settings.work_container, manifest_path(folder, shard))
        blob.upload_blob(content, overwrite=True)
    shards = math.ceil(len(members) / size)
    return ledger.advance(batch, state="claimed", images=len(members), shards=shards, folder=folder)


def shard_size(images: int, settings: Settings) -> int:
    """Images of one manifest shard (= one mini-batch), for a cluster of COMPUTE_MAX_NODES nodes."""
    even = math.ceil(images / (settings.compute_max_nodes * SHARDS_PER_NODE))
    return min(max(even, MIN_SHARD_IMAGES), MAX_SHARD_IMAGES)


def _manifest_row(image: Image) -> ManifestRow:
    return ManifestRow(
        key=image.key,
        image=image.path,
        container=image.source_container,
        path=image.source_path,
        etag=image.source_etag,
        attempts=image.attempts,
        error=image.error,
    )


def _score_inline(clients: Clients, batch: Batch) -> None:
    container = clients.settings.work_container
    classifier = classifiers.get(model_store(clients), batch.model_path)
    for shard in range(batch.shards):
        rows = read_shard(clients.blobs, container, batch, shard)
        part = part_path(batch.folder, shard)
        write_part(clients.blobs, container, part, score_shard(clients.blobs, classifier, rows))


def _submit(clients: Clients, ledger: Ledger, batch: Batch) -> Batch:
    from shared.pipelines import scoring_pipeline

    job = scoring_pipeline(f"{JOB_PREFIX}{batch.id}", batch, clients.settings, account_url=clients.account_url)
    job.tags = {KIND_TAG: SCORING, "batch": batch.id, "images": str(batch.images)}
    submit_once(clients, job)
    logger.info("batch %s: submitted job %s", batch.id, job.name)
    return ledger.advance(batch, state="submitted", job=str(job.name))
