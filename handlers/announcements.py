"""What the app announces: sent to the topic from a queue."""

import azure.functions as func

from shared import queues
from shared.clients import DATA_STORAGE, clients

blueprint = func.Blueprint()


@blueprint.queue_trigger("message", queues.ANNOUNCEMENTS, DATA_STORAGE)
def publish_announcement(message: func.QueueMessage) -> None:
    from shared.events import publish

    publish(clients(), message.get_body().decode())
