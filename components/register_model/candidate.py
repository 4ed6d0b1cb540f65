"""The trained model, fetched and measured on the test images."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from components.register_model.evaluation import Scores, calibration, compared_labels, evaluate
from components.register_model.framework import OnnxCheck, check_onnx
from components.register_model.preprocessing import expected_preprocessing
from components.register_model.splits import Split
from components.register_model.thresholds import Objective, tune_thresholds
from shared.clients import account_name
from shared.errors import LabelLoopError
from shared.inference import LABELS_FILE, MODEL_FILE, Classifier
from shared.locations import read_datastores
from shared.preprocessing import Preprocessing

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.storage.blob import BlobServiceClient

# Where a run's artifacts are: https://learn.microsoft.com/azure/machine-learning/how-to-inference-onnx-automl-image-models
ARTIFACT_DATASTORE = "workspaceartifactstore"
RUN_FOLDER = "ExperimentRun/dcid.{run}/"
ONNX_FOLDER, MLFLOW_FOLDER = "train_artifacts/", "outputs/mlflow-model/"
# Images that the preprocessing is measured on, where nothing says it, and that the ONNX file is checked on.
PROBE_IMAGES, CHECK_IMAGES = 64, 8

logger = logging.getLogger("register_model")


@dataclass(frozen=True)
class Candidate:
    """The trained model on the test images; `card` holds what is known of it without a champion."""

    card: Mapping[str, Any]
    check: OnnxCheck
    test: Split
    scores: Scores

    @property
    def thresholds(self) -> Mapping[str, float]:
        """The tuned thresholds by label."""
        thresholds: Mapping[str, float] = self.card["thresholds"]
        return thresholds


@dataclass(frozen=True)
class Measuring:
    """How a candidate is measured. `normalization` is whether the ONNX file normalises by itself: true, false, or auto
    (see preprocessing.py); `seed` is that of the tuning's samples and folds.
    """

    ml: MLClient
    blobs: BlobServiceClient
    account_url: str
    objective: Objective = field(default_factory=Objective)
    normalization: str = "auto"
    seed: int = 1

    def measure(self, best_model: Path, data: Path, bundle: Path) -> Candidate:
        """Fetch AutoML's best model, an MLflow folder, into the folder `bundle`, and measure it on the splits in
        `data`.

        Raises LabelLoopError when the run's files are not found or an image can't be read.
        """
        mlmodel = yaml.safe_load((best_model / "MLmodel").read_text(encoding="utf-8"))
        run_id = mlmodel.get("run_id")
        if not run_id:
            raise LabelLoopError(f"{best_model / 'MLmodel'} names no run_id, so its ONNX file can't be found")
        mlflow_model = self._download(run_id, bundle)
        datastores = read_datastores(self.ml, account_name(self.blobs))
        validation, test = (Split.read(data, name, datastores, self.account_url) for name in ("validation", "test"))
        labels = tuple(json.loads((bundle / LABELS_FILE).read_text(encoding="utf-8")))
        classifier = Classifier(bundle / MODEL_FILE, labels, {}, Preprocessing())
        logger.info("candidate of run %s: %d labels", run_id, len(labels))
        probe = validation.first(PROBE_IMAGES)
        classifier.preprocessing, source = expected_preprocessing(
            classifier, self.normalization, mlmodel, lambda: probe.score(self.blobs, classifier, labels)
        )
        samples = test.contents(self.blobs, range(min(len(test.locations), CHECK_IMAGES)))
        readable = [each for each in samples if isinstance(each, bytes)]
        check = check_onnx(best_model, mlmodel, bundle / MODEL_FILE, classifier, readable)
        logger.info("ONNX file: %s: %s", check.state, check.detail)
        tuned = tune_thresholds(validation.score(self.blobs, classifier, labels), self.objective, self.seed)
        scores = test.score(self.blobs, classifier, compared_labels(labels, test.labels))
        metrics = evaluate(scores, tuned.thresholds)
        logger.info("test: %s", {name: value for name, value in metrics.items() if name != "labels"})
        card = {
            "run": str(run_id),
            "labels": list(labels),
            "thresholds": tuned.thresholds,
            "threshold_tuning": tuned.to_json(self.objective, len(validation.locations)),
            "preprocessing": classifier.preprocessing.to_json(),
            "preprocessing_source": source,
            "onnx_check": check.to_json(),
            "mlflow_model": mlflow_model,
            "metrics": metrics,
            "calibration": calibration(scores),
        }
        return Candidate(card, check, test, scores)

    def _download(self, run_id: str, bundle: Path) -> str | None:
        """Fetch the run's ONNX file and labels; returns where its MLflow model lies, if it is there."""
        container = self.ml.datastores.get(ARTIFACT_DATASTORE).container_name
        folder = RUN_FOLDER.format(run=run_id)
        for name in (MODEL_FILE, LABELS_FILE):
            with (bundle / name).open("wb") as file:
                self.blobs.get_blob_client(container, folder + ONNX_FOLDER + name).download_blob().readinto(file)
        if not self.blobs.get_blob_client(container, f"{folder}{MLFLOW_FOLDER}MLmodel").exists():
            return None
        return f"azureml://datastores/{ARTIFACT_DATASTORE}/paths/{folder}{MLFLOW_FOLDER}"
