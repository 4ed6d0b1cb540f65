"""A label export has landed: wait until it is quiet, then train on it."""

import azure.functions as func

from handlers.events import blob_event
from shared import training
from shared.clients import DATA_STORAGE, clients
from shared.training import LandedExport

blueprint = func.Blueprint()


@blueprint.event_grid_trigger("event")
def label_export_landed(event: func.EventGridEvent) -> None:
    blob = blob_event(event)
    training.announce_export(clients(), LandedExport(blob.container, blob.path, blob.etag))


@blueprint.queue_trigger("message", training.QUEUE, DATA_STORAGE)
def label_export_train(message: func.QueueMessage) -> None:
    training.train_on_export(clients(), LandedExport.from_message(message.get_body().decode()))
