"""A label export has landed: wait until it is quiet, then train on it. And what the API tells of exports."""

import azure.functions as func

from handlers.events import told
from handlers.http import answering, json_body, json_response
from shared import queues
from shared.clients import DATA_STORAGE, clients
from shared.event_grid import blob_event

blueprint = func.Blueprint()


@blueprint.event_grid_trigger("event")
def label_export_landed(event: func.EventGridEvent) -> None:
    from shared.training import LandedExport, announce_export

    blob = blob_event(told(event))
    announce_export(clients(), LandedExport(blob.container, blob.path, blob.etag))


@blueprint.queue_trigger("message", queues.LABEL_EXPORTS, DATA_STORAGE)
def label_export_train(message: func.QueueMessage) -> None:
    from shared.training import LandedExport, train_on_export

    train_on_export(clients(), LandedExport.from_message(message.get_body().decode()))


@blueprint.route("train", methods=["POST"])
@answering
def train(req: func.HttpRequest) -> func.HttpResponse:
    from shared.datasets import export_id
    from shared.training import train_by_request

    outcome = train_by_request(clients(), json_body(req))
    export = export_id(outcome.export)
    answer = {"state": outcome.state, "job": outcome.job, "export": outcome.export, "export_id": export}
    is_new = outcome.created or not outcome.job
    location = f"/api/jobs/{outcome.job}" if outcome.job else f"/api/exports/{export}"
    return json_response(answer, 202 if is_new else 200, {"Location": location})


@blueprint.route("exports", methods=["GET"])
@answering
def list_exports(req: func.HttpRequest) -> func.HttpResponse:
    from shared import datasets

    known = clients()
    return json_response({"exports": datasets.list_exports(known.blobs, known.settings.work_container)})


@blueprint.route("exports/{id}", methods=["GET"])
@answering
def get_export(req: func.HttpRequest) -> func.HttpResponse:
    from shared import datasets

    known = clients()
    return json_response(datasets.get_export(known.blobs, known.settings.work_container, req.route_params["id"]))
