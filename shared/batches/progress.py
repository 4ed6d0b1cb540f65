"""A batch's steps, from its claimed images to its files. Each can be carried out again, by any worker, after any crash.

    claiming → manifest → claimed → scored: in the app, or (submitted) by one job on the cluster → files → settled, done
                          claimed → released, when Azure ML does not take the job: its images wait for another batch

A step's beginning is noted on the batch's row, so that one that kills its worker is counted, too.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
from typing import TYPE_CHECKING

from shared.batches.decision import INLINE
from shared.batches.rescored import collect_rescored
from shared.cluster import ENDED_STATUSES, KIND_TAG, find_job, status_of, submit_once
from shared.ledger import Batch, ConcurrentUpdateError, Ledger, rfc3339
from shared.manifests import part_path, write_manifest
from shared.models import classifiers, model_store
from shared.results import collect, read_shard
from shared.scoring import score_part

if TYPE_CHECKING:
    from azure.ai.ml.entities import Job

    from shared.clients import Clients

SCORING = "scoring"
JOB_PREFIX = "score-"
# So often a step is tried before its batch is given up. What was re-scored goes nowhere else, and has more time.
MAX_TRIES, MAX_RESCORING_TRIES = 5, 24
# The first tries follow each other as the ticks do; then come pauses of 1, 2, 4 … minutes, up to an hour.
TRIES_WITHOUT_PAUSE, PAUSE_SECONDS, MAX_PAUSE_SECONDS = 3, 60, 3600
# After its time-out a job has so long to be canceled before its batch ends without it.
CANCEL_SECONDS = 900

logger = logging.getLogger(__name__)


def is_due(batch: Batch, now: dt.datetime) -> bool:
    """Whether an open batch is to be brought forward now, or pauses since it failed often."""
    if batch.tries <= TRIES_WITHOUT_PAUSE or batch.changed is None:
        return True
    pause = min(PAUSE_SECONDS * 2.0 ** (batch.tries - TRIES_WITHOUT_PAUSE - 1), MAX_PAUSE_SECONDS)
    return (now - batch.changed).total_seconds() >= pause


def resume(clients: Clients, ledger: Ledger, batch: Batch) -> None:
    """Bring an open batch forward that another worker may have left. No effect while its job is under way."""
    job_error = ""
    try:
        if batch.state == "submitted":
            job = find_job(clients, batch.job)
            if job is None:
                logger.warning("batch %s: its job %s is gone", batch.id, batch.job)
                batch = ledger.advance(batch, state="claimed")
            else:
                end = _end_of(clients, ledger, batch, job)
                if end is None:
                    return
                job_error, batch = end, dataclasses.replace(batch, error="")
        bring_forward(clients, ledger, ledger.advance(batch, tries=batch.tries + 1), job_error=job_error)
    except ConcurrentUpdateError as error:
        logger.info("batch %s is in other hands: %s", batch.id, error)


def start(clients: Clients, ledger: Ledger, batch: Batch) -> None:
    """Bring a batch forward that this worker has just made."""
    try:
        bring_forward(clients, ledger, batch)
    except ConcurrentUpdateError as error:
        logger.info("batch %s is in other hands: %s", batch.id, error)


def settle_job(clients: Clients, ledger: Ledger, job: str) -> None:
    """Bring forward the batch of a scoring job that has ended. No effect when it is not open, or no batch's job."""
    if not job.startswith(JOB_PREFIX):
        return
    batch = ledger.batch(job.removeprefix(JOB_PREFIX))
    if batch is not None and batch.state != "done":
        resume(clients, ledger, batch)


def bring_forward(clients: Clients, ledger: Ledger, batch: Batch, *, job_error: str = "") -> None:
    """Carry out a batch's steps until it is done or waits for its job. A submitted batch's job must have ended;
    `job_error` says why it failed, if it did. Raises ConcurrentUpdateError when another worker is at it.
    """
    if batch.state == "claiming":
        batch = make_manifest(clients, ledger, batch)
    if batch.state == "claimed":
        if batch.tries > (MAX_RESCORING_TRIES if batch.request else MAX_TRIES):
            batch = _give_up(clients, ledger, batch)
        elif batch.route == INLINE:
            score_inline(clients, batch)
            _finish(clients, ledger, dataclasses.replace(batch, error=""), "")
        else:
            _submit(clients, ledger, batch)
    elif batch.state == "submitted":
        _finish(clients, ledger, batch, job_error)
    if batch.state == "released":
        ledger.release(batch.id)
        ledger.close_batch(batch)


def make_manifest(clients: Clients, ledger: Ledger, batch: Batch) -> Batch:
    """Write the claimed images as a manifest; from then on they are known, and no other gets in. The batch is released
    when there are none, since others have them, or its model was deleted.
    """
    from azure.core.exceptions import ResourceNotFoundError

    ledger.fence(batch.id, batch.partitions)
    members = list(ledger.members(batch.id, batch.partitions))
    if not members:
        return ledger.advance(batch, state="released", error="other batches have its images")
    try:
        labels = model_store(clients).labels(batch.model_path)
    except ResourceNotFoundError:
        error = f"model {batch.model} was deleted; its images go into another batch"
        logger.warning("batch %s: %s", batch.id, error)
        return ledger.advance(batch, state="released", error=error, retried=len(members))
    manifest = write_manifest(clients, batch.id, labels, members)
    return ledger.advance(
        batch,
        state="claimed",
        images=manifest.images,
        shards=manifest.shards,
        folder=manifest.folder,
        tries=1,
        error="",
    )


def score_inline(clients: Clients, batch: Batch) -> None:
    """Score a claimed batch in this process. What an earlier try has scored is not scored again."""
    container = clients.settings.work_container
    classifier = classifiers.get(model_store(clients), batch.model_path)
    for shard in range(batch.shards):
        rows = read_shard(clients.blobs, container, batch, shard)
        score_part(clients.blobs, classifier, rows, container, part_path(batch.folder, shard))


def _submit(clients: Clients, ledger: Ledger, batch: Batch) -> None:
    from shared.pipelines import scoring_pipeline

    job = scoring_pipeline(f"{JOB_PREFIX}{batch.id}", batch, clients.settings, account_url=clients.account_url)
    job.tags = {KIND_TAG: SCORING, "batch": batch.id, "images": str(batch.images)}
    submit_once(clients, job)
    logger.info("batch %s: submitted job %s", batch.id, job.name)
    ledger.advance(batch, state="submitted", job=str(job.name), submitted=rfc3339(ledger.now()), tries=0, error="")


def _end_of(clients: Clients, ledger: Ledger, batch: Batch, job: Job) -> str | None:
    """None while a batch's job is under way; else why it failed, empty when it did not. One that takes too long is
    canceled.
    """
    status = status_of(job)
    minutes = clients.settings.batch_timeout_minutes
    late = (ledger.now() - dt.datetime.fromisoformat(batch.submitted)).total_seconds() - minutes * 60
    if status in ENDED_STATUSES:
        if status == "Completed":
            return ""
        if status == "Canceled" and late > 0:
            return f"scoring job {batch.job} was canceled after BATCH_TIMEOUT_MINUTES ({minutes})"
        return f"scoring job {batch.job} ended as {status}"
    if late > CANCEL_SECONDS:
        return f"scoring job {batch.job} did not end within BATCH_TIMEOUT_MINUTES ({minutes}), nor when it was canceled"
    if late > 0 and status != "CancelRequested":
        logger.warning("batch %s: job %s is canceled, %s after %d min", batch.id, batch.job, status, minutes)
        clients.ml.jobs.begin_cancel(batch.job)
    return None


def _give_up(clients: Clients, ledger: Ledger, batch: Batch) -> Batch:
    """End a claimed batch that could not be scored. In the app its images may be to blame: this counts as one of their
    attempts. Azure ML has refused the job itself: they wait for another batch, with the model of that time.
    """
    if batch.route == INLINE or batch.request:
        error = f"the batch could not be scored: {batch.error or 'its worker was killed each time'}"
        _finish(clients, ledger, batch, error)
        return batch
    if find_job(clients, f"{JOB_PREFIX}{batch.id}") is not None:
        # It was taken after all, though the answer said otherwise each time.
        _submit(clients, ledger, batch)
        return batch
    logger.warning("batch %s is given up: %s", batch.id, batch.error)
    return ledger.advance(batch, state="released", retried=batch.images)


def _finish(clients: Clients, ledger: Ledger, batch: Batch, job_error: str) -> None:
    if batch.request:
        collect_rescored(clients, ledger, batch, job_error=job_error, last_attempt=batch.tries > MAX_RESCORING_TRIES)
    else:
        collect(clients, ledger, batch, job_error=job_error)
