"""Provisioning, carried out from a queue."""

import azure.functions as func

from shared import queues
from shared.clients import DATA_STORAGE, clients

blueprint = func.Blueprint()


@blueprint.queue_trigger("message", queues.PROVISION, DATA_STORAGE)
def provision_work(message: func.QueueMessage) -> None:
    from shared.provisioning import Work, carry_out

    carry_out(clients(), Work.from_message(message.get_body().decode()))


@blueprint.queue_trigger("message", queues.POISONED_PROVISION, DATA_STORAGE)
def provision_poisoned(message: func.QueueMessage) -> None:
    from shared.provisioning import Work, give_up

    give_up(clients(), Work.from_message(message.get_body().decode()))
