"""The Event Grid events of Azure ML: runs and models.

Source: learn.microsoft.com, "Azure Machine Learning as an Event Grid source".
"""

from __future__ import annotations

from local.cloud.eventgrid.events import EventLog
from local.cloud.jobs.runs import COMPLETED, NOT_STARTED, Run
from local.cloud.resources import Resource
from local.cloud.rules.ids import WorkspaceScope

_PREFIX = "Microsoft.MachineLearningServices"


def run_changed(log: EventLog, run: Run) -> None:
    """RunStatusChanged for every status after the first; RunCompleted as well for a completed run."""
    if run.status == NOT_STARTED:
        return
    experiment = WorkspaceScope.of(run.workspace).experiment_id(run.experiment)
    subject = f"experiments/{experiment}/runs/{run.run_id}"
    data = {
        "experimentId": experiment,
        "experimentName": run.experiment,
        "runId": run.run_id,
        "runType": run.run_type,
        "runTags": run.tags,
        "runProperties": run.properties,
    }
    log.publish(run.workspace, f"{_PREFIX}.RunStatusChanged", subject, {**data, "runStatus": run.status}, "1.0")
    if run.status == COMPLETED:
        log.publish(run.workspace, f"{_PREFIX}.RunCompleted", subject, data, "1.0")


def model_registered(log: EventLog, scope: WorkspaceScope, model: Resource) -> None:
    """ModelRegistered, for a new version of a model."""
    name = model.id.rsplit("/", 3)[1]
    properties = model.properties
    data = {
        "ModelName": name,
        "ModelVersion": model.name,
        "ModelTags": properties.get("tags") or {},
        "ModelProperties": properties.get("properties") or {},
    }
    log.publish(scope.id, f"{_PREFIX}.ModelRegistered", f"models/{name}:{model.name}", data, "1.0")
