"""A whole run, from a table to the files, with images out of a dictionary instead of blob storage."""

from __future__ import annotations

import base64
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from local.automl import __main__ as command
from local.automl import scoring_file_v_1_0_0 as scoring
from local.automl.dataset import Example
from local.automl.errors import ImageError, TrainingError
from local.automl.features import open_session
from local.automl.preprocessing import decode, to_planes
from local.automl.spec import TrainingSpec, parse_spec
from local.automl.storage import Fetch, open_storage
from local.automl.training import train
from tests.unit.local.automl.conftest import WriteTable, png, row
from tests.unit.local.automl.test_spec import GOOD

LABELS = ["reddish", "striped"]


def image(number: int) -> tuple[str, bytes, list[str]]:
    """Path, bytes, and labels of one of the four kinds of images."""
    reddish, striped = bool(number % 2), bool(number // 2 % 2)
    labels = [name for name, there in zip(LABELS, (reddish, striped), strict=True) if there]
    return f"image{number:02d}.png", png(number, striped=striped, reddish=reddish), labels


IMAGES = [image(number) for number in range(36)]
BLOBS = {path: data for path, data, _ in IMAGES}


def from_memory(_url: str) -> Fetch:
    def fetch(example: Example) -> bytes:
        assert example.container == "photos"
        return BLOBS[example.path]

    return fetch


def make_spec(write_table: WriteTable, *, validation: bool = True, **changes: Any) -> TrainingSpec:
    rows = [row(path, *labels) for path, _, labels in IMAGES]
    folders = {"training_data": str(write_table(rows[:24] if validation else rows))}
    if validation:
        folders["validation_data"] = str(write_table(rows[24:], "valid"))
    return parse_spec({**GOOD, **folders, **changes})


def test_a_run_leaves_automls_artifacts(write_table: WriteTable, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    train(make_spec(write_table), out, from_memory)

    files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    mlflow = {"MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt"}
    mlflow |= {"labels.json", "model.onnx", "settings.json"}
    assert files == {
        "run.json",
        *(f"artifacts/outputs/mlflow-model/{name}" for name in mlflow),
        *(f"best_model/{name}" for name in mlflow),
        "artifacts/outputs/scoring_file_v_1_0_0.py",
        "artifacts/train_artifacts/labels.json",
        "artifacts/train_artifacts/model.onnx",
    }
    assert yaml.safe_load((out / "best_model/MLmodel").read_text())["run_id"] == "trial"
    assert json.loads((out / "artifacts/train_artifacts/labels.json").read_text()) == LABELS
    run = json.loads((out / "run.json").read_text())
    assert run["metrics"]["iou"] > 0.9
    assert run["metrics"]["average_precision_score_macro"] > 0.95
    assert run["properties"]["local_backbone"] == "efficientnet-lite0"
    assert run["properties"]["requested_model_name"] == "vitb16r224"
    assert run["tags"]["mlflow.parentRunId"] == "parent"
    assert all(isinstance(value, str) for value in (run["tags"] | run["properties"]).values())


def test_the_exported_model_predicts_what_was_validated(write_table: WriteTable, tmp_path: Path) -> None:
    parameters = {"enable_onnx_normalization": True}
    train(make_spec(write_table, training_parameters=parameters), tmp_path, from_memory)
    session = open_session((tmp_path / "artifacts/train_artifacts/model.onnx").read_bytes())
    batch = to_planes(np.stack([decode(data) for _, data, _ in IMAGES[24:]]))
    predicted = session.run(None, {"input1": batch})[0] > 0
    truth = np.array([[label in labels for label in LABELS] for _, _, labels in IMAGES[24:]])
    assert (predicted == truth).mean() > 0.9


@pytest.mark.parametrize("inside", [False, True])
def test_the_scoring_script_answers_for_an_endpoint(
    write_table: WriteTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: bool
) -> None:
    parameters = {"enable_onnx_normalization": inside}
    train(make_spec(write_table, training_parameters=parameters), tmp_path, from_memory)
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(tmp_path / "best_model"))
    scoring.init()
    data = [base64.b64encode(image).decode() for _, image, _ in IMAGES[24:28]]
    answers = scoring.run(json.dumps({"input_data": {"columns": ["image"], "data": data}}))
    for answer, (_, _, labels) in zip(answers, IMAGES[24:28], strict=True):
        assert answer["labels"] == LABELS
        assert [p > 0.5 for p in answer["probs"]] == [label in labels for label in LABELS]
    assert scoring.run('{"input_data": {"columns": ["image"], "data": []}}') == []


def test_without_validation_data_a_share_is_held_back(
    write_table: WriteTable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "local.automl")
    train(make_spec(write_table, validation=False), tmp_path, from_memory)
    assert "29 training images, 7 validation images held back from training" in caplog.text
    assert json.loads((tmp_path / "run.json").read_text())["metrics"]["iou"] > 0.8


def test_several_trials_are_tried_and_the_best_is_kept(
    write_table: WriteTable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "local.automl")
    space = [{"model_name": "choice('resnet50')", "learning_rate": "uniform(0.1,0.2)"}]
    train(make_spec(write_table, limits={"max_trials": 4}, search_space=space), tmp_path, from_memory)
    scores = [float(line.split("iou ")[1].split(",")[0]) for line in caplog.messages if line.startswith("trial")]
    run = json.loads((tmp_path / "run.json").read_text())
    assert len(scores) == 4
    assert run["metrics"]["iou"] == pytest.approx(max(scores), abs=1e-4)
    assert run["properties"]["requested_model_name"] == "resnet50"
    assert 0.1 <= float(run["properties"]["learning_rate"]) <= 0.2


def test_a_run_can_be_started_again_over_the_remains_of_a_killed_one(write_table: WriteTable, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / ".new" / "artifacts").mkdir(parents=True)
    (out / "artifacts").mkdir()
    (out / "artifacts" / "old").touch()
    spec = make_spec(write_table)
    train(spec, out, from_memory)
    first = (out / "best_model/model.onnx").read_bytes()
    train(spec, out, from_memory)
    assert (out / "best_model/model.onnx").read_bytes() == first
    assert sorted(path.name for path in out.iterdir()) == ["artifacts", "best_model", "run.json"]
    assert not (out / "artifacts" / "old").exists()


def test_an_unreadable_image_is_named(write_table: WriteTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BLOBS, "image05.png", BLOBS["image05.png"][:200])
    with pytest.raises(ImageError, match=r"datastores/photos/paths/image05\.png cannot be read"):
        train(make_spec(write_table), tmp_path, from_memory)
    assert not (tmp_path / "run.json").exists()


def test_a_run_ends_when_its_time_is_over(write_table: WriteTable, tmp_path: Path) -> None:
    spec = make_spec(write_table, limits={"timeout_minutes": 1e-9})
    with pytest.raises(TrainingError, match="time is over after 0 of 36 images"):
        train(spec, tmp_path, from_memory)


def test_parameters_without_effect_are_said(
    write_table: WriteTable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "local.automl")
    parameters = {"model_name": "seresnext", "learning_rate": 0.01, "checkpoint_run_id": "earlier"}
    train(make_spec(write_table, training_parameters=parameters), tmp_path, from_memory)
    assert "model seresnext was asked for; locally every model is the frozen efficientnet-lite0" in caplog.text
    assert "without effect on a frozen backbone: checkpoint_run_id, learning_rate" in caplog.text


def test_the_command_says_in_words_why_it_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "spec.json").write_text(json.dumps({**GOOD, "limits": {"max_trials": -1}}))
    code = command.main(["--spec", str(tmp_path / "spec.json"), "--out", str(tmp_path / "out")])
    assert code == 1
    assert capsys.readouterr().err.startswith("training failed: limits.max_trials is -1")


def test_a_missing_blob_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.core.exceptions import ResourceNotFoundError

    class Service:
        def __init__(self, url: str, credential: object) -> None:
            assert url == "https://account"

        def get_blob_client(self, container: str, path: str) -> Any:
            raise ResourceNotFoundError(f"{container}/{path}")

    monkeypatch.setattr("azure.storage.blob.BlobServiceClient", Service)
    fetch = open_storage("https://account")
    with pytest.raises(ImageError, match="the image azureml://x is not in the container photos"):
        fetch(Example("azureml://x", "photos", "x", frozenset()))
