"""The HTTP API: predict at once, models, jobs, health."""

from typing import Any

import azure.functions as func

from handlers.http import answering, json_response
from shared import jobs, models, prediction
from shared.batches import model_store
from shared.clients import clients
from shared.errors import InvalidRequestError
from shared.health import health_report

blueprint = func.Blueprint()

MAX_JOBS = 200


@blueprint.route("predict", methods=["POST"])
@answering
def predict(req: func.HttpRequest) -> func.HttpResponse:
    known = clients()
    uploads = [(name, file.read()) for name, file in req.files.items(multi=True)] if _is_multipart(req) else []
    if not _is_multipart(req):
        uploads = [("image", req.get_body())]
    return json_response(prediction.predict_now(model_store(known), known.settings, uploads))


@blueprint.route("models", methods=["GET"])
@answering
def list_models(req: func.HttpRequest) -> func.HttpResponse:
    known = clients()
    return json_response({"models": models.list_versions(known.ml, model_store(known))})


@blueprint.route("models/{version}", methods=["GET"])
@answering
def get_model(req: func.HttpRequest) -> func.HttpResponse:
    known = clients()
    return json_response(models.get_version(known.ml, model_store(known), req.route_params["version"]))


@blueprint.route("jobs", methods=["GET"])
@answering
def list_jobs(req: func.HttpRequest) -> func.HttpResponse:
    kind = req.params.get("kind")
    if kind not in {None, "training", "scoring"}:
        raise InvalidRequestError(f"kind is {kind!r}, but must be training or scoring", "kind")
    return json_response({"jobs": jobs.list_jobs(clients(), kind=kind, limit=MAX_JOBS)})


@blueprint.route("jobs/{name}", methods=["GET"])
@answering
def get_job(req: func.HttpRequest) -> func.HttpResponse:
    return json_response(jobs.get_job(clients(), req.route_params["name"]))


@blueprint.route("health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@answering
def health(req: func.HttpRequest) -> func.HttpResponse:
    report: dict[str, Any] = health_report(clients())
    return json_response(report, 200 if report["state"] == "healthy" else 503)


def _is_multipart(req: func.HttpRequest) -> bool:
    return (req.headers.get("content-type") or "").lower().startswith("multipart/form-data")
