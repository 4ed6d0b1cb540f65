"""The HTTP API: predict at once, models, jobs, health."""

import contextlib
from typing import Any

import azure.functions as func

from handlers.http import answering, json_response
from shared.clients import clients
from shared.errors import InvalidRequestError

blueprint = func.Blueprint()

MAX_JOBS = 200


@blueprint.route("predict", methods=["POST"])
@answering
def predict(req: func.HttpRequest) -> func.HttpResponse:
    from shared.models import model_store
    from shared.prediction import predict_now

    known = clients()
    uploads: list[tuple[str, bytes]] = []
    if (req.headers.get("content-type") or "").lower().startswith("multipart/form-data"):
        for name, file in req.files.items(multi=True):
            with contextlib.closing(file):
                uploads.append((file.filename or name, file.read()))
        if not uploads:
            raise InvalidRequestError("the form has no file; send each image as a part with a filename", "body")
    else:
        uploads.append(("image", req.get_body()))
    return json_response(predict_now(model_store(known), known.settings, uploads))


@blueprint.route("models", methods=["GET"])
@answering
def list_models(req: func.HttpRequest) -> func.HttpResponse:
    from shared.models import list_versions, model_store

    known = clients()
    return json_response({"models": list_versions(known.ml, model_store(known))})


@blueprint.route("models/{version}", methods=["GET"])
@answering
def get_model(req: func.HttpRequest) -> func.HttpResponse:
    from shared.models import get_version, model_store

    known = clients()
    return json_response(get_version(known.ml, model_store(known), req.route_params["version"]))


@blueprint.route("models/{version}/promote", methods=["POST"])
@answering
def promote_model(req: func.HttpRequest) -> func.HttpResponse:
    from shared.models import promote_version

    return json_response(promote_version(clients(), req.route_params["version"]))


@blueprint.route("jobs", methods=["GET"])
@answering
def list_jobs(req: func.HttpRequest) -> func.HttpResponse:
    from shared import jobs

    kind = req.params.get("kind")
    if kind not in {None, "training", "scoring"}:
        raise InvalidRequestError(f"kind is {kind!r}, but must be training or scoring", "kind")
    return json_response({"jobs": jobs.list_jobs(clients(), kind=kind, limit=MAX_JOBS)})


@blueprint.route("jobs/{name}", methods=["GET"])
@answering
def get_job(req: func.HttpRequest) -> func.HttpResponse:
    from shared import jobs

    return json_response(jobs.get_job(clients(), req.route_params["name"]))


@blueprint.route("jobs/{name}/cancel", methods=["POST"])
@answering
def cancel_job(req: func.HttpRequest) -> func.HttpResponse:
    from shared import jobs

    return json_response(jobs.cancel_job(clients(), req.route_params["name"]), 202)


@blueprint.route("health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@answering
def health(req: func.HttpRequest) -> func.HttpResponse:
    from shared.health import health_report

    report: dict[str, Any] = health_report(clients())
    return json_response(report, 200 if report["state"] == "healthy" else 503)
