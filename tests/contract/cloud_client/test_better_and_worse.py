"""Whole trainings, one after the other: only a better model takes over, and a person may still put an older one back.

All events are lost here, so that every end is found by the timer.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from azure.storage.blob import ContainerClient

from handlers.routes import models
from shared.clients import Clients
from shared.jobs import get_job
from shared.models import list_versions, model_store
from shared.training import TrainingOutcome, look_after_trainings, train_on_export
from shared.training.line import read_line
from tests.contract.cloud_client.conftest import coco
from tests.contract.cloud_client.exporting import await_end, landed, report_on, upload_pictures
from tests.contract.local_stack import MakeClients
from tests.unit.handlers.conftest import use
from tests.unit.handlers.support import body_of, request, user_function

EACH = 24
# Half of the images are held out, so that a difference is more than chance.
SETTINGS = {"model_name": "compared", "min_images_per_label": 3, "export_quiet_seconds": 0, "train_ratio": 0.5}


def shuffled(labels: Mapping[str, list[str]], seed: int) -> dict[str, list[str]]:
    values = list(labels.values())
    random.Random(seed).shuffle(values)  # noqa: S311 - no secret
    return dict(zip(labels, values, strict=True))


def trained(
    clients: Clients, container: ContainerClient, name: str, labels: Mapping[str, list[str]]
) -> TrainingOutcome:
    """Export, train, and let the timer find the end."""
    outcome = train_on_export(clients, landed(container, f"Labeling/export/coco/{name}.json", coco(dict(labels))))
    if outcome.created:
        assert await_end(clients, outcome.job) == "Completed", get_job(clients, outcome.job)
        look_after_trainings(clients)
        report = report_on(clients, outcome.export)
        assert (report["state"], report["settled"]) == ("trained", True)
    return outcome


def reasons(clients: Clients) -> list[str]:
    """Why each version was promoted, or was not."""
    return [str(each["tags"].get("reason")) for each in list_versions(clients.ml, model_store(clients))]


def champion(clients: Clients) -> str:
    found = model_store(clients).champion()
    return found.version if found else ""


def test_a_better_model_takes_over_a_worse_one_does_not_and_either_can_be_promoted_by_hand(
    make: MakeClients, provisioned: None, default_container: ContainerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = make(**SETTINGS)
    labels = upload_pictures(default_container, EACH, "compared")
    poor = trained(clients, default_container, "poor", shuffled(labels, 1))
    assert champion(clients) == "1", "the first of all is promoted, poor as it may be"
    good = trained(clients, default_container, "good", labels)
    assert champion(clients) == "2", reasons(clients)
    worse = trained(clients, default_container, "worse", shuffled(labels, 2))
    assert len({poor.job, good.job, worse.job}) == 3
    assert champion(clients) == "2"

    last = read_line(clients).last
    assert last is not None
    assert last.job == worse.job
    same = trained(clients, default_container, "worse", shuffled(labels, 2))
    assert (same.job, same.created, same.state) == (worse.job, False, "trained")
    few = dict(list(shuffled(labels, 2).items())[1:])
    asks = make(**SETTINGS, min_new_labels=5)
    unchanged = trained(asks, default_container, "few", few)
    assert (unchanged.state, unchanged.created) == ("unchanged", False)
    report = report_on(clients, unchanged.export)
    assert (report["state"], report["job"], report["changed images"]) == ("unchanged", worse.job, 1)
    assert "at least 5 are wanted (MIN_NEW_LABELS)" in report["problems"][0]

    job = get_job(clients, good.job)
    assert (job["state"], job["progress"], job["step"], job["error"]) == ("completed", 1.0, None, None)
    assert 0 < job["node_hours"] < 1
    assert job["studio_url"]

    use(clients, monkeypatch)
    promote = user_function(models.promote_model)

    def promoted(version: str) -> int:
        path = f"/api/models/{version}/promote"
        return int(promote(request("POST", path, route={"version": version})).status_code)

    assert promoted("1") == 200
    assert champion(clients) == "1", "rolled back"
    assert promoted("1") == 200, "the champion stays the champion"
    assert promoted("99") == 404
    answer = promote(request("POST", "/api/models/2/promote", route={"version": "2"}))
    assert body_of(answer)["champion"] is True
    assert champion(clients) == "2"

    going_on = make(**SETTINGS, train_incremental="true")
    more = dict(list(labels.items())[1:])
    outcome = train_on_export(going_on, landed(default_container, "Labeling/export/coco/more.json", coco(more)))
    parameters = going_on.ml.jobs.get(outcome.job).jobs["train"].training_parameters
    going_on.ml.jobs.begin_cancel(outcome.job).result()
    found = model_store(clients).champion()
    assert found is not None
    assert parameters.checkpoint_run_id == model_store(clients).card(found.path)["run"]
    assert report_on(clients, outcome.export)["trained on from run"] == parameters.checkpoint_run_id
    look_after_trainings(clients)

    other = make(**SETTINGS, train_incremental="true", base_models="resnet50")
    outcome = train_on_export(other, landed(default_container, "Labeling/export/coco/other.json", coco(more)))
    parameters = other.ml.jobs.get(outcome.job).jobs["train"].training_parameters
    other.ml.jobs.begin_cancel(outcome.job).result()
    assert parameters.checkpoint_run_id is None
    (note,) = [each for each in report_on(clients, outcome.export)["notes"] if "anew" in each]
    assert note == "training starts anew, since the champion was trained from vitb16r224, not resnet50"
