"""A label export has landed: wait until it is quiet, then train on it."""

import azure.functions as func

from handlers.events import told
from shared import queues
from shared.clients import DATA_STORAGE, clients
from shared.event_grid import blob_event

blueprint = func.Blueprint()


@blueprint.event_grid_trigger("event")
def label_export_landed(event: func.EventGridEvent) -> None:
    from shared.last_events import LABEL_EXPORTS, note_event
    from shared.training import LandedExport, announce_export

    note_event(clients(), LABEL_EXPORTS)
    blob = blob_event(told(event))
    announce_export(clients(), LandedExport(blob.container, blob.path, blob.etag))


@blueprint.queue_trigger("message", queues.LABEL_EXPORTS, DATA_STORAGE)
def label_export_train(message: func.QueueMessage) -> None:
    from shared.training import LandedExport, train_on_export

    train_on_export(clients(), LandedExport.from_message(message.get_body().decode()))
