"""A new image has landed: check it and make it wait for a batch."""

import json

import azure.functions as func

from handlers.events import blob_event
from shared import images
from shared.clients import DATA_STORAGE, clients
from shared.ledger import Ledger
from shared.settings import configured

blueprint = func.Blueprint()


@blueprint.blob_trigger(
    "blob", f"{configured('images_container')}/{{name}}", DATA_STORAGE, source=func.BlobSource.EVENT_GRID
)
def image_landed(blob: func.InputStream) -> None:
    known = clients()
    images.receive_image(known.blobs, Ledger(known.tables), known.settings, _path(blob.name or ""), blob.read())


@blueprint.event_grid_trigger("event")
def image_too_large(event: func.EventGridEvent) -> None:
    known = clients()
    blob = blob_event(event)
    reason = images.too_large(blob.size, known.settings)
    rejection = images.Rejection(blob.path, blob.etag, reason)
    images.reject_image(known.blobs, Ledger(known.tables), known.settings, rejection)


@blueprint.queue_trigger("message", "webjobs-blobtrigger-poison", DATA_STORAGE)
def image_poisoned(message: func.QueueMessage) -> None:
    known = clients()
    poison = json.loads(message.get_body())
    if poison["ContainerName"] == known.settings.images_container:
        reason = "the image could not be taken in; the app's log says why"
        rejection = images.Rejection(poison["BlobName"], poison["ETag"], reason)
        images.reject_image(known.blobs, Ledger(known.tables), known.settings, rejection)


def _path(name: str) -> str:
    """The path within the container; a blob trigger gives `<container>/<path>`."""
    return name.partition("/")[2]
