"""The pipeline's last step: evaluate, register, promote or not; and the registry as the API tells it."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml.entities import Model
from azure.core.exceptions import HttpResponseError, ResourceExistsError

from components.register_model.candidate import Measuring
from components.register_model.gate import Gate
from components.register_model.step import MAX_TRIES, REPORT_FILE, RegisterModel
from handlers.routes import models, predict
from shared.clients import Clients
from shared.errors import LabelLoopError, NotFoundError
from shared.inference import LABELS_FILE, MODEL_FILE
from shared.models import Champion, ModelStore, get_version, list_versions
from tests.contract.local_stack import Cloud, MakeClients
from tests.support import LABELS, plain_jpeg, write_bundle
from tests.unit.handlers.conftest import use
from tests.unit.handlers.support import body_of, request, user_function

# The tiny models' outputs follow the means of red, green and blue; only the right names make a good model.
GOOD = LABELS
POOR = ("green", "red", "blue")
_numbers = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class Registry:
    """One model's registry, with a data set to evaluate on."""

    clients: Clients
    store: ModelStore
    data: Path
    folder: Path

    def trained(self, labels: tuple[str, ...], *, mlflow: bool = True) -> Path:
        """AutoML's best model, of MLflow's `onnx` flavor, with its run's artifacts where Azure ML puts them."""
        run = f"run-{next(_numbers)}"
        best_model = write_bundle(self.folder / run, labels)
        (best_model / "MLmodel").write_text(f"run_id: {run}\nflavors:\n  onnx:\n    data: {MODEL_FILE}\n")
        names = [f"train_artifacts/{MODEL_FILE}", f"train_artifacts/{LABELS_FILE}"]
        for name in [*names, "outputs/mlflow-model/MLmodel"] if mlflow else names:
            blob = self.clients.blobs.get_blob_client("azureml", f"ExperimentRun/dcid.{run}/{name}")
            blob.upload_blob(io.BytesIO((best_model / Path(name).name).read_bytes()), overwrite=True)
        return best_model

    def step(
        self, job: str, *, min_gain: float = 0.0, always: bool = False, kind: type[RegisterModel] = RegisterModel
    ) -> RegisterModel:
        measuring = Measuring(self.clients.ml, self.clients.blobs, str(self.clients.blobs.url))
        gate = Gate("macro_average_precision", min_gain, always=always)
        return kind(measuring, self.store, job, "data-1", gate)

    def run(self, job: str, labels: tuple[str, ...], **options: Any) -> dict[str, Any]:
        return self.step(job, **options).run(self.trained(labels), self.data)

    def versions(self) -> list[dict[str, Any]]:
        return list_versions(self.clients.ml, self.store)


@pytest.fixture
def registry(make: MakeClients, provisioned: None, pictures: dict[str, list[str]], tmp_path: Path) -> Registry:
    """The registry of a model that no other test knows."""
    clients = make(model_name=f"model-{next(_numbers)}")
    with contextlib.suppress(ResourceExistsError):
        clients.blobs.create_container("azureml")
    rows = [
        {"image_url": f"azureml://datastores/workspaceblobstore/paths/{path}", "label": labels}
        for path, labels in pictures.items()
    ]
    for split in ("validation", "test"):
        (tmp_path / "data" / split).mkdir(parents=True)
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "data" / split / f"{split}.jsonl").write_text(text)
    store = ModelStore(clients.blobs, "labelloop", clients.settings.model_name)
    return Registry(clients, store, tmp_path / "data", tmp_path)


def test_the_first_model_is_registered_with_its_card_and_becomes_the_champion(registry: Registry) -> None:
    card = registry.run("train-a", GOOD)
    assert card["version"] == "1"
    decision = card["decision"]
    assert (decision["promote"], decision["reason"]) == (True, "there was no champion")
    assert decision["champion_before"] is None
    assert card["metrics"]["macro_average_precision"] == 1.0
    assert card["metrics"]["images"] == 18
    (version,) = registry.versions()
    assert (version["version"], version["champion"]) == ("1", True)
    assert version["created_at"]
    assert version["tags"]["job"] == "train-a"
    assert version["tags"]["data_set"] == "data-1"
    assert version["tags"]["promoted"] == "True"
    assert version["tags"]["macro_average_precision"] == "1.0000"
    champion = registry.store.champion()
    assert champion is not None
    assert (champion.version, champion.job, champion.score) == ("1", "train-a", 1.0)
    assert registry.store.card(champion.path)["metrics"] == card["metrics"]
    stored = registry.store.card(champion.path)
    assert stored == {name: value for name, value in card.items() if name != "version"}
    assert set(stored["thresholds"]) == set(LABELS)
    assert stored["onnx_check"]["state"] == "same file"


def test_the_version_keeps_where_its_mlflow_model_lies(registry: Registry) -> None:
    best_model = registry.trained(GOOD)
    card = registry.step("train-a").run(best_model, registry.data)
    folder = f"azureml://datastores/workspaceartifactstore/paths/ExperimentRun/dcid.{card['run']}/outputs/mlflow-model/"
    (version,) = registry.versions()
    assert card["mlflow_model"] == version["tags"]["mlflow_model"] == folder
    card = registry.step("train-b").run(registry.trained(POOR, mlflow=False), registry.data)
    assert card["mlflow_model"] is None
    assert "mlflow_model" not in registry.versions()[0]["tags"]


def test_the_report_lies_beside_the_card_as_a_page(registry: Registry) -> None:
    registry.run("train-a", POOR)
    registry.run("train-b", GOOD)
    blob = registry.clients.blobs.get_blob_client("labelloop", f"{registry.store.bundle_path('train-b')}/{REPORT_FILE}")
    assert blob.get_blob_properties().content_settings.content_type == "text/html; charset=utf-8"
    page = blob.download_blob().readall().decode()
    assert f"Compared with {registry.store.model_name}:1, on the same test images." in page
    assert "better: macro_average_precision 1.0000 against" in page
    worst = registry.clients.blobs.get_blob_client(
        "labelloop", f"{registry.store.bundle_path('train-a')}/{REPORT_FILE}"
    )
    assert "data:image/jpeg;base64," in worst.download_blob().readall().decode(), "its errors are shown"


def test_the_step_again_registers_nothing_new(registry: Registry) -> None:
    registry.run("train-a", POOR)
    first = registry.run("train-b", GOOD)
    assert registry.run("train-b", GOOD) == first, "and the card still says by what comparison it became the champion"
    assert len(registry.versions()) == 2


class KilledError(Exception):
    """The node went away here."""


class KilledBeforeRegistering(RegisterModel):
    def _register(self, *_: Any) -> Any:
        raise KilledError


class KilledBeforePromoting(RegisterModel):
    def _promote(self, *_: Any) -> bool:
        raise KilledError


class KilledBeforeTagging(RegisterModel):
    def _tag(self, *_: Any) -> None:
        raise KilledError


@pytest.mark.parametrize("kind", [KilledBeforeRegistering, KilledBeforePromoting, KilledBeforeTagging])
def test_killed_and_carried_out_again_the_step_leaves_one_version_and_a_champion(
    registry: Registry, kind: type[RegisterModel]
) -> None:
    with pytest.raises(KilledError):
        registry.run("train-a", GOOD, kind=kind)
    card = registry.run("train-a", GOOD)
    (version,) = registry.versions()
    assert card["version"] == version["version"] == "1"
    assert version["champion"]
    assert version["tags"]["promoted"] == "True"


def test_a_worse_model_is_registered_but_does_not_take_over(registry: Registry) -> None:
    registry.run("train-a", GOOD)
    decision = registry.run("train-b", POOR)["decision"]
    assert not decision["promote"]
    assert decision["reason"].startswith("not better by more than 0: macro_average_precision ")
    assert decision["champion_before"] == f"{registry.store.model_name}:1"
    newer, older = registry.versions()
    assert newer["tags"]["reason"] == decision["reason"][:255] + "…" or newer["tags"]["reason"] == decision["reason"]
    assert float(newer["tags"]["gain"]) == decision["gain"] < 0
    assert (newer["version"], newer["champion"], newer["tags"]["promoted"]) == ("2", False, "False")
    assert (older["version"], older["champion"]) == ("1", True)


def test_a_better_model_takes_over(registry: Registry) -> None:
    registry.run("train-a", POOR)
    decision = registry.run("train-b", GOOD)["decision"]
    assert decision["promote"]
    assert decision["champion_before"] == f"{registry.store.model_name}:1"
    assert 0 < decision["gain_at_least"] <= decision["gain"]
    newer, older = registry.versions()
    assert (newer["champion"], older["champion"]) == (True, False)
    assert float(newer["tags"]["gain_at_least"]) == decision["gain_at_least"]


def test_a_worse_model_takes_over_where_every_model_is_to(registry: Registry) -> None:
    registry.run("train-a", GOOD)
    decision = registry.run("train-b", POOR, always=True)["decision"]
    assert decision["promote"]
    assert decision["reason"].startswith("PROMOTE_ALWAYS is set, in spite of: not better by more than 0")
    assert [each["champion"] for each in registry.versions()] == [True, False]


def test_a_file_that_is_not_the_mlflow_models_is_registered_but_never_promoted(registry: Registry) -> None:
    best_model = registry.trained(GOOD)
    (best_model / MODEL_FILE).write_bytes(b"another model")
    card = registry.step("train-a").run(best_model, registry.data)
    assert card["onnx_check"]["state"] == "differs"
    assert card["decision"]["reason"].startswith("the ONNX file differs from the trained model")
    assert registry.store.champion() is None
    assert [each["champion"] for each in registry.versions()] == [False]


def test_a_better_model_does_not_take_over_when_the_gain_is_too_small(registry: Registry) -> None:
    registry.run("train-a", POOR)
    assert not registry.run("train-b", GOOD, min_gain=0.99)["decision"]["promote"]


def test_a_champion_that_lacks_a_new_label_is_measured_with_misses(registry: Registry) -> None:
    registry.run("train-a", ("red", "green"))
    card = registry.run("train-b", GOOD)
    assert card["decision"]["promote"]
    assert set(card["metrics"]["labels"]) == set(card["champion"]["metrics"]["labels"]) == set(LABELS)
    assert card["champion"]["metrics"]["labels"]["blue"]["recall"] == 0.0
    assert (card["decision"]["labels_new_to_champion"], card["decision"]["labels_left_out"]) == (["blue"], [])


def test_a_label_that_only_the_champion_knows_is_left_out(registry: Registry) -> None:
    registry.run("train-a", (*LABELS[:2], "extinct"))
    card = registry.run("train-b", GOOD)
    assert card["decision"]["labels_left_out"] == ["extinct"]
    assert "extinct" not in card["champion"]["metrics"]["labels"]


def overtaken(store: ModelStore, times: int) -> ModelStore:
    """A store whose champion another worker replaces right before the first `times` promotions through it."""
    other = Champion(
        store.model_name, "9", store.bundle_path("train-a"), "m", 0.5, "train-x", "2026-11-24T06:00:00+00:00"
    )
    left = [times]

    class Overtaken(ModelStore):
        def promote(self, champion: Champion, expected_etag: str | None) -> bool:
            if left[0]:
                left[0] -= 1
                renewed = dataclasses.replace(other, promoted_at=f"{left[0]}")
                assert store.promote(renewed, store.champion_and_etag()[1])
            return super().promote(champion, expected_etag)

    return Overtaken(store.blobs, store.container, store.model_name)


def test_when_another_model_is_promoted_meanwhile_the_comparison_is_made_again(registry: Registry) -> None:
    registry.run("train-a", POOR)
    raced = dataclasses.replace(registry, store=overtaken(registry.store, 1))
    decision = raced.run("train-b", GOOD)["decision"]
    assert decision["promote"]
    assert decision["champion_before"] == f"{registry.store.model_name}:9"


def test_when_the_champion_never_stands_still_the_step_gives_up(registry: Registry) -> None:
    registry.run("train-a", POOR)
    raced = dataclasses.replace(registry, store=overtaken(registry.store, MAX_TRIES))
    with pytest.raises(LabelLoopError, match=f"changed {MAX_TRIES} times while it was compared"):
        raced.run("train-b", GOOD)


def test_a_version_that_another_job_took_meanwhile_is_left_to_it(registry: Registry, cloud: Cloud) -> None:
    taken = {"service": "arm", "operation": "PUT", "path": f"*/models/{registry.store.model_name}/versions/*"}
    with cloud.faults({**taken, "status": 409, "times": 1}):
        assert registry.run("train-a", GOOD)["version"] == "1"
    with cloud.faults({**taken, "status": 400}), pytest.raises(HttpResponseError):
        registry.run("train-b", GOOD)


def test_a_model_without_a_run_id_can_not_be_registered(registry: Registry) -> None:
    best_model = registry.trained(GOOD)
    (best_model / "MLmodel").write_text("flavors: {}\n")
    with pytest.raises(LabelLoopError, match="names no run_id"):
        registry.step("train-a").run(best_model, registry.data)


def test_an_image_that_can_not_be_read_stops_the_evaluation_by_its_name(registry: Registry) -> None:
    row = {"image_url": "azureml://datastores/workspaceblobstore/paths/labelled/gone.jpg", "label": ["red"]}
    with (registry.data / "test" / "test.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    with pytest.raises(LabelLoopError, match=r"labelled/gone.jpg: the image was deleted"):
        registry.run("train-a", GOOD)
    assert registry.versions() == []


def test_a_version_is_told_with_its_card_by_number_or_as_the_champion(registry: Registry) -> None:
    registry.run("train-a", GOOD)
    registry.run("train-b", POOR)
    ml, store = registry.clients.ml, registry.store
    assert get_version(ml, store, "2")["card"]["job"] == "train-b"
    champion = get_version(ml, store, "champion")
    assert (champion["version"], champion["card"]["job"]) == ("1", "train-a")
    with pytest.raises(NotFoundError, match=f"model {store.model_name} has no version 3"):
        get_version(ml, store, "3")


def test_before_the_first_training_there_is_no_version(registry: Registry) -> None:
    ml, store = registry.clients.ml, registry.store
    assert registry.versions() == []
    with pytest.raises(NotFoundError, match="has no champion yet"):
        get_version(ml, store, "champion")
    with pytest.raises(NotFoundError):
        get_version(ml, store, "1")


def test_versions_that_people_registered_themselves_do_no_harm(registry: Registry) -> None:
    ml, store = registry.clients.ml, registry.store
    path = "azureml://datastores/labelloop/paths/somewhere/"
    ml.models.create_or_update(Model(name=store.model_name, version="by-hand", type="custom_model", path=path))
    assert registry.run("train-a", GOOD)["version"] == "1"
    assert [each["version"] for each in registry.versions()] == ["1", "by-hand"]
    assert get_version(ml, store, "by-hand")["card"] is None


def test_the_api_tells_of_models(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    use(registry.clients, monkeypatch)
    get_model: Callable[..., Any] = user_function(models.get_model)
    missing = get_model(request("GET", "/api/models/champion", route={"version": "champion"}))
    assert missing.status_code == 404
    registry.run("train-a", GOOD)
    listed = user_function(models.list_models)(request("GET", "/api/models"))
    assert [each["version"] for each in body_of(listed)["models"]] == ["1"]
    told = get_model(request("GET", "/api/models/1", route={"version": "1"}))
    assert body_of(told)["card"]["labels"] == list(LABELS)
    assert get_model(request("GET", "/api/models/7", route={"version": "7"})).status_code == 404
    predicted = user_function(predict.predict)(request("POST", "/api/predict", body=plain_jpeg((0, 255, 0))))
    assert body_of(predicted)["predictions"][0]["labels"] == ["green"]
