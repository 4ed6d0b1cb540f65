"""Provisioning: asked for and reported over HTTP, carried out from a queue."""

import azure.functions as func

from handlers.http import answering, json_response
from shared import provisioning
from shared.clients import DATA_STORAGE, clients

blueprint = func.Blueprint()


@blueprint.route("provision", methods=["POST"])
@answering
def provision_start(req: func.HttpRequest) -> func.HttpResponse:
    report = provisioning.request_provisioning(clients())
    return json_response(report, 202, {"Location": "/api/provision"})


@blueprint.route("provision", methods=["GET"])
@answering
def provision_status(req: func.HttpRequest) -> func.HttpResponse:
    return json_response(provisioning.provisioning_report(clients()))


@blueprint.queue_trigger("message", provisioning.QUEUE, DATA_STORAGE)
def provision_work(message: func.QueueMessage) -> None:
    provisioning.provision(clients())
