"""What input an exported ONNX file expects. The file itself does not say it.

With AutoML's `enable_onnx_normalization` the file divides by 255 and normalises by channel itself, and takes pixels of
0..255 (`export_onnx_model` in azureml-automl-dnn-vision 1.62); without, it takes normalised ones. The wrong one gives
wrong predictions and no error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from components.register_model.evaluation import Floats, Scores
from shared.errors import LabelLoopError
from shared.inference import Classifier
from shared.preprocessing import Preprocessing

CHOICES = ("auto", "true", "false")
# In the metadata of an MLflow model, as the local stand-in for AutoML writes it. Azure's AutoML writes none.
METADATA = "enable_onnx_normalization"


def expected_preprocessing(
    classifier: Classifier, declared: str, mlmodel: Mapping[str, Any], score: Callable[[], Scores]
) -> tuple[Preprocessing, str]:
    """How images must be prepared for `classifier`, and how that is known.

    `declared` is whether the file normalises by itself: true, false, or auto: then what the MLflow model's description
    says holds, and where it says nothing, the way that gives the smaller log loss on labelled images. `score` measures
    the classifier on them as it is then set up; it is left as it was found. The crop is the file's input size.
    """
    before = classifier.preprocessing
    size = classifier.input_size
    how = before if size is None else dataclasses.replace(before, crop=size, resize=max(before.resize, size))
    metadata = mlmodel.get("metadata") or {}
    if declared in ("true", "false"):
        return dataclasses.replace(how, normalise=declared == "false"), "as the training was told"
    if declared != "auto":
        raise LabelLoopError(f"--onnx-normalization is {declared!r}; it can be {', '.join(CHOICES)}")
    if isinstance(metadata.get(METADATA), bool):
        return dataclasses.replace(how, normalise=not metadata[METADATA]), "as the MLflow model says"
    losses = {}
    for normalise in (True, False):
        classifier.preprocessing = dataclasses.replace(how, normalise=normalise)
        losses[normalise] = log_loss(score())
    classifier.preprocessing = before
    found = min(losses, key=lambda normalise: losses[normalise])
    told = f"by measurement: log loss {losses[True]:.3f} with normalised input, {losses[False]:.3f} with 0..255"
    return dataclasses.replace(how, normalise=found), told


def log_loss(scores: Scores) -> float:
    """Mean log loss over all (image, label) pairs, in nats. Probabilities are kept off 0 and 1, so that one wrong and
    sure decision does not outweigh all others.
    """
    probabilities: Floats = np.clip(scores.probabilities, 0.01, 0.99)
    return float(-np.log(np.where(scores.truth, probabilities, 1 - probabilities)).mean())
