"""A job on Azure ML has changed: settle what waited for it."""

import json

import azure.functions as func

from handlers.events import told
from shared import queues
from shared.clients import DATA_STORAGE, clients
from shared.event_grid import announce_ended_job

blueprint = func.Blueprint()


@blueprint.event_grid_trigger("event")
def job_changed(event: func.EventGridEvent) -> None:
    from shared.last_events import JOBS, note_event

    note_event(clients(), JOBS)
    announce_ended_job(clients(), told(event))


@blueprint.queue_trigger("message", queues.JOB_EVENTS, DATA_STORAGE)
def job_settle(message: func.QueueMessage) -> None:
    from shared.batches import settle_job
    from shared.ledger import Ledger
    from shared.training import settle_training

    known = clients()
    job = json.loads(message.get_body())["job"]
    settle_job(known, Ledger(known.tables), job)
    settle_training(known, job)
