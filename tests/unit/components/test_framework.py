"""The comparison of the ONNX file with the trained model."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.register_model.evaluation import Floats
from components.register_model.framework import Framework, OnnxCheck, check_onnx
from shared.images import load_rgb
from shared.inference import MODEL_FILE, Classifier
from shared.preprocessing import Preprocessing, preprocess
from tests.support import LABELS, plain_jpeg, write_bundle

PYFUNC: dict[str, Any] = {"flavors": {"python_function": {"loader_module": "mlflow.pyfunc.model"}}}
ONNX: dict[str, Any] = {"flavors": {"onnx": {"data": MODEL_FILE}, "python_function": {}}}
IMAGES = [plain_jpeg((red, 90, 200)) for red in (20, 120, 220)]


def colours(*, shift: float = 0.0, labels: Sequence[str] = LABELS) -> Framework:
    """The tiny model of `write_bundle`, computed without ONNX: twenty times the mean of each channel."""

    def predict(images: Sequence[bytes]) -> tuple[Floats, Sequence[str]]:
        means = [preprocess(load_rgb(image), Preprocessing()).mean(axis=(1, 2)) for image in images]
        return 1 / (1 + np.exp(-20 * np.array(means, dtype=np.float64))) + shift, labels

    return predict


def check(folder: Path, framework: Framework) -> OnnxCheck:
    classifier = Classifier.load(write_bundle(folder))
    return check_onnx(folder, PYFUNC, folder / MODEL_FILE, classifier, IMAGES, load=lambda _: framework)


def test_a_file_that_computes_what_the_model_computes_agrees(tmp_path: Path) -> None:
    found = check(tmp_path, colours())
    assert (found.state, found.blocker) == ("agrees", "")
    assert found.detail.startswith("largest difference of a probability on 3 images: 0.0")


def test_a_file_that_computes_something_else_blocks(tmp_path: Path) -> None:
    found = check(tmp_path, colours(shift=0.03))
    assert found.state == "differs"
    assert found.blocker == (
        "the ONNX file differs from the trained model: largest difference of a probability on 3 images: 0.0300"
    )


def test_labels_in_another_order_block(tmp_path: Path) -> None:
    found = check(tmp_path, colours(labels=("green", "red", "blue")))
    assert found.state == "differs"
    assert "its labels are ['red', 'green', 'blue'], the trained model's ['green', 'red', 'blue']" in found.blocker


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is not None, reason="MLflow is installed")
def test_without_mlflow_nothing_is_claimed(tmp_path: Path) -> None:
    classifier = Classifier.load(write_bundle(tmp_path))
    found = check_onnx(tmp_path, PYFUNC, tmp_path / MODEL_FILE, classifier, IMAGES)
    assert found.state == "not checked"
    assert "can't be loaded here: ModuleNotFoundError" in found.detail
    assert found.blocker == "", "what could not be looked at does not block"


def test_an_mlflow_model_that_is_an_onnx_file_must_be_the_same_file(tmp_path: Path) -> None:
    bundle, best_model = write_bundle(tmp_path / "bundle"), write_bundle(tmp_path / "mlflow")
    classifier = Classifier.load(bundle)
    found = check_onnx(best_model, ONNX, bundle / MODEL_FILE, classifier, IMAGES)
    assert found.to_json() == {
        "state": "same file",
        "detail": "the MLflow model holds an ONNX file, and no other form of the model to compare it with",
    }
    write_bundle(best_model, scale=21.0)
    assert check_onnx(best_model, ONNX, bundle / MODEL_FILE, classifier, IMAGES).blocker.endswith(
        "it is not the MLflow model's file"
    )
