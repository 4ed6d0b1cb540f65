"""Provisioning: asked for, planned and reported over HTTP, carried out from a queue."""

import azure.functions as func

from handlers.http import answering, json_body, json_response, switch
from shared import queues
from shared.clients import DATA_STORAGE, clients

blueprint = func.Blueprint()
LOCATION = {"Location": "/api/provision"}


@blueprint.route("provision", methods=["POST"])
@answering
def provision_start(req: func.HttpRequest) -> func.HttpResponse:
    from shared.provisioning import plan_report, request_provisioning

    if switch(req, "dry_run"):
        return json_response(plan_report(clients()))
    return json_response(request_provisioning(clients()), 202, LOCATION)


@blueprint.route("provision", methods=["GET"])
@answering
def provision_status(req: func.HttpRequest) -> func.HttpResponse:
    from shared.provisioning import provisioning_report

    return json_response(provisioning_report(clients()))


@blueprint.route("provision/{resource}", methods=["DELETE"])
@answering
def provision_delete(req: func.HttpRequest) -> func.HttpResponse:
    from shared.provisioning import request_deletion

    name = str(json_body(req).get("name", ""))
    return json_response(request_deletion(clients(), req.route_params["resource"], name), 202, LOCATION)


@blueprint.queue_trigger("message", queues.PROVISION, DATA_STORAGE)
def provision_work(message: func.QueueMessage) -> None:
    from shared.provisioning import Work, carry_out

    carry_out(clients(), Work.from_message(message.get_body().decode()))


@blueprint.queue_trigger("message", queues.POISONED_PROVISION, DATA_STORAGE)
def provision_poisoned(message: func.QueueMessage) -> None:
    from shared.provisioning import Work, give_up

    give_up(clients(), Work.from_message(message.get_body().decode()))
