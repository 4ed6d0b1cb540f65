"""A new image has landed: check it and make it wait for a batch."""

import json

import azure.functions as func

from handlers.events import told
from shared import queues
from shared.clients import DATA_STORAGE, clients
from shared.event_grid import blob_event
from shared.settings import configured

blueprint = func.Blueprint()


@blueprint.blob_trigger(
    "blob", f"{configured('images_container')}/{{name}}", DATA_STORAGE, source=func.BlobSource.EVENT_GRID
)
def image_landed(blob: func.InputStream) -> None:
    from shared.images import receive_image
    from shared.ledger import Ledger

    known = clients()
    receive_image(known, Ledger(known.tables), _path(blob.name or ""), blob.read())


@blueprint.event_grid_trigger("event")
def image_too_large(event: func.EventGridEvent) -> None:
    from shared.images import Rejection, reject_image, too_large
    from shared.ledger import Ledger

    known = clients()
    blob = blob_event(told(event))
    reason = too_large(blob.size, known.settings)
    rejection = Rejection(blob.path, blob.etag, reason)
    reject_image(known, Ledger(known.tables), rejection)


@blueprint.queue_trigger("message", queues.POISONED_BLOBS, DATA_STORAGE)
def image_poisoned(message: func.QueueMessage) -> None:
    from shared.images import Rejection, reject_image
    from shared.ledger import Ledger

    known = clients()
    poison = json.loads(message.get_body())
    if poison["ContainerName"] == known.settings.images_container:
        reason = "the image could not be taken in; the app's log says why"
        rejection = Rejection(poison["BlobName"], poison["ETag"], reason)
        reject_image(known, Ledger(known.tables), rejection)


def _path(name: str) -> str:
    """The path within the container; a blob trigger gives `<container>/<path>`."""
    return name.partition("/")[2]
