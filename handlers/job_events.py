"""A job on Azure ML has changed: settle what waited for it."""

import json
import re

import azure.functions as func

from shared import queues
from shared.clients import DATA_STORAGE, clients

blueprint = func.Blueprint()

# https://learn.microsoft.com/azure/event-grid/event-schema-machine-learning
_SUBJECT = re.compile(r"experiments/[^/]+/runs/(?P<run>[^/]+)")


@blueprint.event_grid_trigger("event")
def job_changed(event: func.EventGridEvent) -> None:
    from shared.batches import JOB_PREFIX as SCORING
    from shared.cluster import ENDED_STATUSES
    from shared.training import JOB_PREFIX as TRAINING

    data = event.get_json()
    match = _SUBJECT.fullmatch(event.subject or "")
    run = str(data.get("runId") or (match["run"] if match else ""))
    # Steps and trials raise events too; a pipeline's own run has the pipeline's name.
    ended = data.get("runStatus", "Completed") in ENDED_STATUSES
    if ended and run.startswith((SCORING, TRAINING)):
        clients().queue(queues.JOB_EVENTS).send_message(json.dumps({"job": run}))


@blueprint.queue_trigger("message", queues.JOB_EVENTS, DATA_STORAGE)
def job_settle(message: func.QueueMessage) -> None:
    from shared.batches import settle_job
    from shared.ledger import Ledger
    from shared.training import settle_training

    known = clients()
    job = json.loads(message.get_body())["job"]
    settle_job(known, Ledger(known.tables), job)
    settle_training(known, job)
