"""Write a finished run to its folder, in the layout of an AutoML trial's artifacts.

`artifacts/` is what Azure ML keeps below `ExperimentRun/dcid.<run id>/`; `best_model/` is the node's output, a copy of
the MLflow model; `run.json` holds tags, properties and metrics. The MLflow model is a real one of the `onnx` flavor:
no pickle in it. Everything is put together in a folder beside and moved in at the end, `run.json` last, so that a
folder with a `run.json` is complete and a killed run can be started again.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.automl.efficientnet import INPUT_NAME, INPUT_SIZE, OPSET, OUTPUT_NAME

MLFLOW_MODEL = "outputs/mlflow-model"
SCORING_FILE = "scoring_file_v_1_0_0.py"
_PACKAGES = ("numpy", "onnx", "onnxruntime", "pillow")


@dataclass(frozen=True)
class FinishedRun:
    """`model` is the serialised ONNX model; `settings` go beside it for whoever scores with it."""

    run_id: str
    model: bytes
    labels: Sequence[str]
    settings: Mapping[str, Any]
    tags: Mapping[str, str]
    properties: Mapping[str, str]
    metrics: Mapping[str, float]


def write_run(run: FinishedRun, out: Path) -> None:
    """Write `run` below `out`, replacing what an earlier attempt left there."""
    fresh = out / ".new"
    shutil.rmtree(fresh, ignore_errors=True)
    artifacts = fresh / "artifacts"
    _write_mlflow_model(run, artifacts / MLFLOW_MODEL)
    (artifacts / "train_artifacts").mkdir()
    (artifacts / "train_artifacts" / "model.onnx").write_bytes(run.model)
    _write_json(artifacts / "train_artifacts" / "labels.json", list(run.labels))
    shutil.copyfile(Path(__file__).with_name(SCORING_FILE), artifacts / "outputs" / SCORING_FILE)
    shutil.copytree(artifacts / MLFLOW_MODEL, fresh / "best_model")
    _write_json(
        fresh / "run.json",
        {"tags": dict(run.tags), "properties": dict(run.properties), "metrics": dict(run.metrics)},
    )
    (out / "run.json").unlink(missing_ok=True)
    for name in ("artifacts", "best_model"):
        if (out / name).exists():
            shutil.rmtree(out / name)
        (fresh / name).rename(out / name)
    (fresh / "run.json").replace(out / "run.json")
    fresh.rmdir()


def _write_mlflow_model(run: FinishedRun, folder: Path) -> None:
    folder.mkdir(parents=True)
    # MLflow's loader looks for MLmodel beside the file that it is given: the model lies in the folder itself.
    (folder / "model.onnx").write_bytes(run.model)
    _write_json(folder / "labels.json", list(run.labels))
    _write_json(folder / "settings.json", dict(run.settings))
    requirements = [f"{name}=={importlib.metadata.version(name)}" for name in _PACKAGES]
    pip = ["mlflow", *requirements]
    python = platform.python_version()
    (folder / "requirements.txt").write_text("\n".join(pip) + "\n", encoding="utf-8")
    _write_yaml(
        folder / "conda.yaml",
        {"name": "mlflow-env", "channels": ["conda-forge"], "dependencies": [f"python={python}", "pip", {"pip": pip}]},
    )
    _write_yaml(folder / "python_env.yaml", {"python": python, "dependencies": ["-r requirements.txt"]})
    _write_yaml(folder / "MLmodel", _mlmodel(run, python))


def _mlmodel(run: FinishedRun, python: str) -> dict[str, Any]:
    environment = {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}
    return {
        "artifact_path": MLFLOW_MODEL,
        "flavors": {
            "onnx": {
                "data": "model.onnx",
                "onnx_version": importlib.metadata.version("onnx"),
                "providers": ["CPUExecutionProvider"],
            },
            "python_function": {
                "loader_module": "mlflow.onnx",
                "data": "model.onnx",
                "env": environment,
                "python_version": python,
            },
        },
        "metadata": {"labels": list(run.labels), "opset": OPSET, **run.settings},
        "model_uuid": uuid.uuid4().hex,
        "run_id": run.run_id,
        "signature": {
            "inputs": _tensor(INPUT_NAME, [-1, 3, INPUT_SIZE, INPUT_SIZE]),
            "outputs": _tensor(OUTPUT_NAME, [-1, len(run.labels)]),
        },
        "utc_time_created": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
    }


def _tensor(name: str, shape: list[int]) -> str:
    """One tensor in MLflow's signature, which is JSON inside the YAML."""
    return json.dumps([{"name": name, "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": shape}}])


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_yaml(path: Path, value: object) -> None:
    import yaml

    path.write_text(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), encoding="utf-8")
