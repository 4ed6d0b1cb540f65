"""A new image has landed: check it and make it wait for a batch. And those of which no event told."""

import json

import azure.functions as func

from handlers.events import told
from shared import queues
from shared.clients import DATA_STORAGE, clients
from shared.event_grid import blob_event
from shared.settings import configured

blueprint = func.Blueprint()
GIVEN_UP = "the image could not be taken in; the app's log says why"


@blueprint.blob_trigger(
    "blob", f"{configured('images_container')}/{{name}}", DATA_STORAGE, source=func.BlobSource.EVENT_GRID
)
def image_landed(blob: func.InputStream) -> None:
    from shared.images import receive_image
    from shared.last_events import IMAGES, note_event
    from shared.ledger import Ledger

    known = clients()
    note_event(known, IMAGES)
    receive_image(known, Ledger(known.tables), _path(blob.name or ""), blob.read())


@blueprint.event_grid_trigger("event")
def image_too_large(event: func.EventGridEvent) -> None:
    from shared.images import Rejection, reject_event, too_large
    from shared.ledger import Ledger

    known = clients()
    blob = blob_event(told(event))
    reason = too_large(blob.size, known.settings)
    reject_event(known, Ledger(known.tables), Rejection(blob.path, blob.etag, reason))


@blueprint.queue_trigger("message", queues.POISONED_BLOBS, DATA_STORAGE)
def image_poisoned(message: func.QueueMessage) -> None:
    from shared.images import Rejection, reject_event
    from shared.ledger import Ledger

    known = clients()
    poison = json.loads(message.get_body())
    if poison["ContainerName"] == known.settings.images_container:
        rejection = Rejection(poison["BlobName"], poison.get("ETag") or "", GIVEN_UP)
        reject_event(known, Ledger(known.tables), rejection)


@blueprint.timer_trigger("timer", configured("sweep_interval"))
def sweep_images(timer: func.TimerRequest) -> None:
    from shared.sweep import sweep

    sweep(clients())


@blueprint.queue_trigger("message", queues.FOUND_IMAGES, DATA_STORAGE)
def image_found(message: func.QueueMessage) -> None:
    from shared.ledger import Ledger
    from shared.sweep import images_of, receive_found

    known = clients()
    receive_found(known, Ledger(known.tables), images_of(message.get_body()))


@blueprint.queue_trigger("message", queues.POISONED_FOUND_IMAGES, DATA_STORAGE)
def image_found_poisoned(message: func.QueueMessage) -> None:
    from shared.ledger import Ledger
    from shared.sweep import images_of, reject_found

    known = clients()
    reject_found(known, Ledger(known.tables), images_of(message.get_body()), GIVEN_UP)


def _path(name: str) -> str:
    """The path within the container; a blob trigger gives `<container>/<path>`."""
    return name.partition("/")[2]
