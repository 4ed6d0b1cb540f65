"""Does the ONNX file compute what the trained model computes?"""

from __future__ import annotations

import base64
import hashlib
import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.register_model.evaluation import Floats
from shared.inference import Classifier

# Largest difference of a probability that rounding and another decoder's pixels explain.
TOLERANCE = 0.02

logger = logging.getLogger("register_model")


@dataclass(frozen=True)
class OnnxCheck:
    """What came of the comparison: `state` is `agrees`, `differs`, `same file` or `not checked`."""

    state: str
    detail: str

    @property
    def blocker(self) -> str:
        """Why the model must not serve, or nothing."""
        return f"the ONNX file differs from the trained model: {self.detail}" if self.state == "differs" else ""

    def to_json(self) -> dict[str, str]:
        return {"state": self.state, "detail": self.detail}


# From encoded images to probabilities (n, labels) with the labels in their order.
Framework = Callable[[Sequence[bytes]], tuple[Floats, Sequence[str]]]


def check_onnx(
    best_model: Path,
    mlmodel: Mapping[str, Any],
    onnx_file: Path,
    classifier: Classifier,
    images: Sequence[bytes],
    load: Callable[[Path], Framework] | None = None,
) -> OnnxCheck:
    """Compare the ONNX file with the MLflow model in `best_model` on `images`.

    A model of MLflow's `onnx` flavor must hold the same file; there is no framework model behind it. Any other must be
    loaded, which takes MLflow and the packages that trained it. Where these are not installed, nothing is checked, and
    the result says so.
    """
    flavor = (mlmodel.get("flavors") or {}).get("onnx")
    if flavor:
        same = _digest(best_model / str(flavor["data"])) == _digest(onnx_file)
        detail = "the MLflow model holds an ONNX file, and no other form of the model to compare it with"
        return OnnxCheck("same file", detail) if same else OnnxCheck("differs", "it is not the MLflow model's file")
    try:
        predict = (load or load_pyfunc)(best_model)
        expected, labels = predict(images)
    except Exception as error:
        logger.warning("the MLflow model can't be used here: %s", error)
        return OnnxCheck("not checked", f"the MLflow model can't be loaded here: {type(error).__name__}: {error}")
    if list(labels) != list(classifier.labels):
        return OnnxCheck("differs", f"its labels are {list(classifier.labels)}, the trained model's {list(labels)}")
    found = np.array([each.probabilities for each in classifier.predict(images)], dtype=np.float64)
    worst = float(np.abs(found - expected).max(initial=0.0))
    detail = f"largest difference of a probability on {len(images)} images: {worst:.4f}"
    return OnnxCheck("agrees" if worst <= TOLERANCE else "differs", detail)


def load_pyfunc(best_model: Path) -> Framework:
    """AutoML's MLflow model: a table with a column `image` (base64) to one with `probs` and `labels` for each image
    (`MLFlowImagesModelWrapper` in azureml-automl-dnn-vision 1.62).
    """
    # By name, as neither is among this project's own packages.
    pandas, pyfunc = importlib.import_module("pandas"), importlib.import_module("mlflow.pyfunc")
    model = pyfunc.load_model(str(best_model))

    def predict(images: Sequence[bytes]) -> tuple[Floats, Sequence[str]]:
        rows = model.predict(pandas.DataFrame({"image": [base64.b64encode(each).decode() for each in images]}))
        rows = rows.to_dict("records") if isinstance(rows, pandas.DataFrame) else rows
        return np.array([row["probs"] for row in rows], dtype=np.float64), list(rows[0]["labels"])

    return predict


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
