"""Provisioning: asked for and reported over HTTP, carried out from a queue."""

import azure.functions as func

from handlers.http import answering, json_response
from shared import queues
from shared.clients import DATA_STORAGE, clients

blueprint = func.Blueprint()


@blueprint.route("provision", methods=["POST"])
@answering
def provision_start(req: func.HttpRequest) -> func.HttpResponse:
    from shared.provisioning import request_provisioning

    return json_response(request_provisioning(clients()), 202, {"Location": "/api/provision"})


@blueprint.route("provision", methods=["GET"])
@answering
def provision_status(req: func.HttpRequest) -> func.HttpResponse:
    from shared.provisioning import provisioning_report

    return json_response(provisioning_report(clients()))


@blueprint.queue_trigger("message", queues.PROVISION, DATA_STORAGE)
def provision_work(message: func.QueueMessage) -> None:
    from shared.provisioning import provision

    provision(clients())
