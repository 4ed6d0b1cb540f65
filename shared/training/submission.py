"""The pipeline of a training: under which name, from which weights, and submitted once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from shared import datasets
from shared.cluster import KIND_TAG, find_job, status_of, submit_once
from shared.models import model_store
from shared.training.reports import TRAINING
from shared.training.shapes import job_name

if TYPE_CHECKING:
    from azure.ai.ml.entities import Job

    from shared.clients import Clients
    from shared.datasets import DataSet, Findings
    from shared.settings import Settings

# From such a ratio between the most and the least frequent label on, the loss is weighted.
IMBALANCE = 10.0

logger = logging.getLogger(__name__)


def find_attempts(clients: Clients, data_set: DataSet, settings: Settings) -> tuple[str, Job | None, Job | None]:
    """The name to train a data set under; its job, if it is there; and the latest job there is. An export that is sent
    again after its training failed is trained again.
    """
    base = name = job_name(data_set.id, settings)
    attempt, latest = 1, None
    while (job := find_job(clients, name)) is not None:
        latest = job
        if status_of(job) not in {"Failed", "Canceled"}:
            break
        attempt += 1
        name = f"{base}-{attempt}"
    return name, job, latest


def submit_training(
    clients: Clients, name: str, export: str, data_set: DataSet, settings: Settings, findings: Findings
) -> None:
    """Register a written data set and submit its training; `findings` are told how it is trained."""
    from shared.pipelines import training_pipeline

    asset = datasets.register_data_asset(clients.ml, data_set, export, settings)
    pipeline = training_pipeline(
        name,
        data_set,
        asset,
        settings,
        account_url=clients.account_url,
        checkpoint_run=_checkpoint_run(clients, settings, findings),
        weighted_loss=_weighted_loss(data_set, findings),
    )
    pipeline.tags = {
        KIND_TAG: TRAINING,
        "export": export,
        "data_set": data_set.id,
        "base_models": ",".join(settings.base_models),
    }
    submit_once(clients, pipeline)
    logger.info("submitted training %s for label export %s", name, export)


def _checkpoint_run(clients: Clients, settings: Settings, findings: Findings) -> str:
    """The champion's run, where training goes on from it. Weights fit only the same base model."""
    if not settings.train_incremental:
        return ""
    store = model_store(clients)
    champion = store.champion()
    job = find_job(clients, champion.job) if champion else None
    if champion is None or job is None:
        findings.add("incremental", "note", "training starts anew, since there is no champion to go on from")
        return ""
    trained, wanted = (job.tags or {}).get("base_models", ""), ",".join(settings.base_models)
    if trained != wanted:
        text = f"training starts anew, since the champion was trained from {trained or 'another model'}, not {wanted}"
        findings.add("incremental", "note", text)
        return ""
    run = str(store.card(champion.path)["run"])
    findings.figures["trained on from run"] = run
    return run


def _weighted_loss(data_set: DataSet, findings: Findings) -> int:
    """1 (weighted by the roots) for labels of very different frequency, else 0."""
    counts = dict.fromkeys(data_set.labels, 0)
    for example in data_set.splits["train"]:
        for label in example.labels:
            counts[label] += 1
    most, least = max(counts.values()), max(min(counts.values()), 1)
    if most < IMBALANCE * least:
        return 0
    text = f"the loss is weighted, since the most frequent label has {most} images for training and the rarest {least}"
    findings.add("imbalance", "note", text)
    return 1
