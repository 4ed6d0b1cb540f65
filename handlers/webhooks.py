"""What the app announces: delivered to subscribers from a queue."""

import azure.functions as func

from shared import queues
from shared.clients import DATA_STORAGE, clients

blueprint = func.Blueprint()


@blueprint.queue_trigger("message", queues.WEBHOOKS, DATA_STORAGE)
def deliver_webhook(message: func.QueueMessage) -> None:
    from shared.webhooks.delivering import deliver

    deliver(clients(), message.get_body().decode())
