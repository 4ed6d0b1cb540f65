"""The step itself. It can be killed and carried out again at any point: the bundle is named by the training job, the
version is found again by its tag, and the champion is replaced only if it is still the one that was compared.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from components.register_model.evaluation import Floats, Scores, aligned, evaluate, truth_matrix, tune_thresholds
from shared.clients import account_name
from shared.errors import LabelLoopError
from shared.inference import CARD_FILE, LABELS_FILE, MODEL_FILE, Classifier, Preprocessing
from shared.locations import (
    BlobLocation,
    Datastores,
    datastore_name,
    locate,
    read_datastores,
)
from shared.models import Champion, ModelStore, version_number
from shared.scoring import ManifestRow, read_images, read_lines

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import Model
    from azure.storage.blob import BlobServiceClient

# Where a run's artifacts are: https://learn.microsoft.com/azure/machine-learning/how-to-inference-onnx-automl-image-models
ARTIFACT_DATASTORE = "workspaceartifactstore"
ARTIFACT_FOLDER = "ExperimentRun/dcid.{run}/train_artifacts/"
MAX_TRIES = 5

logger = logging.getLogger("register_model")


@dataclass(frozen=True)
class Gate:
    """When a candidate takes over: better than the champion by more than `min_gain` in `metric`."""

    metric: str
    min_gain: float

    def decide(self, candidate: Mapping[str, Any], champion: Mapping[str, Any] | None) -> tuple[bool, str]:
        """Whether to promote, and why, from both models' metrics on the same images."""
        if champion is None:
            return True, "there was no champion"
        gain = candidate[self.metric] - champion[self.metric]
        figures = f"{self.metric} {candidate[self.metric]:.4f} against the champion's {champion[self.metric]:.4f}"
        if gain > self.min_gain:
            return True, f"better: {figures}"
        return False, f"not better by more than {self.min_gain:g}: {figures}"


@dataclass(frozen=True)
class Split:
    """The images of one split, with their labels."""

    locations: tuple[BlobLocation, ...]
    labels: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class RegisterModel:
    """The step's surroundings; `run` carries it out."""

    ml: MLClient
    blobs: BlobServiceClient
    account_url: str
    store: ModelStore
    job: str
    data_set: str
    gate: Gate

    def run(self, best_model: Path, data: Path) -> dict[str, Any]:
        """Evaluate, register and decide; returns the card, with the version and the decision."""
        with tempfile.TemporaryDirectory() as temporary:
            bundle = Path(temporary)
            run_id = self._download_candidate(best_model, bundle)
            datastores = read_datastores(self.ml, account_name(self.blobs))
            validation, test = (self._read_split(data, name, datastores) for name in ("validation", "test"))
            labels = tuple(json.loads((bundle / LABELS_FILE).read_text(encoding="utf-8")))
            candidate = Classifier(bundle / MODEL_FILE, labels, {}, Preprocessing())
            logger.info("candidate of run %s: %d labels", run_id, len(labels))
            thresholds = tune_thresholds(self._scores(candidate, validation, labels))
            test_labels = tuple(sorted({*labels, *(label for each in test.labels for label in each)}))
            scores = self._scores(candidate, test, test_labels)
            metrics = evaluate(scores, thresholds)
            logger.info("test: %s", {name: value for name, value in metrics.items() if name != "labels"})
            card = {
                "model": self.store.model_name,
                "job": self.job,
                "run": run_id,
                "data_set": self.data_set,
                "labels": list(labels),
                "thresholds": thresholds,
                "preprocessing": Preprocessing().to_json(),
                "metrics": metrics,
            }
            (bundle / CARD_FILE).write_text(json.dumps(card, indent=2), encoding="utf-8")
            self.store.upload_bundle(bundle, self.store.bundle_path(self.job))
            model = self._register(metrics)
            decision = self._promote(str(model.version), metrics, test, test_labels)
        self._tag(model, decision)
        return {**card, "version": str(model.version), "decision": decision}

    def _download_candidate(self, best_model: Path, bundle: Path) -> str:
        description = yaml.safe_load((best_model / "MLmodel").read_text(encoding="utf-8"))
        run_id = description.get("run_id")
        if not run_id:
            raise LabelLoopError(f"{best_model / 'MLmodel'} names no run_id, so its ONNX file can't be found")
        container = self.ml.datastores.get(ARTIFACT_DATASTORE).container_name
        folder = ARTIFACT_FOLDER.format(run=run_id)
        for name in (MODEL_FILE, LABELS_FILE):
            with (bundle / name).open("wb") as file:
                self.blobs.get_blob_client(container, folder + name).download_blob().readinto(file)
        return str(run_id)

    def _read_split(self, data: Path, name: str, datastores: Datastores) -> Split:
        rows = [json.loads(line) for line in read_lines((data / name / f"{name}.jsonl").read_text(encoding="utf-8"))]
        locations = tuple(locate(row["image_url"], datastores, account_url=self.account_url) for row in rows)
        return Split(locations, tuple(tuple(row["label"]) for row in rows))

    def _scores(self, classifier: Classifier, split: Split, labels: Sequence[str]) -> Scores:
        """Raises LabelLoopError when an image of the split can't be read: metrics on part of it would not compare."""
        rows = [ManifestRow(str(at), at.path, at.container, at.path, "") for at in split.locations]
        probabilities = []
        for row, prediction in zip(rows, classifier.predict(read_images(self.blobs, rows)), strict=True):
            if prediction.error:
                raise LabelLoopError(f"image {row.key}: {prediction.error}")
            probabilities.append(prediction.probabilities)
        matrix: Floats = np.array(probabilities, dtype=np.float64).reshape(len(rows), len(classifier.labels))
        return Scores(tuple(labels), truth_matrix(split.labels, labels), aligned(matrix, classifier.labels, labels))

    def _register(self, metrics: Mapping[str, Any]) -> Model:
        """Register the bundle as the next version; a version that this job registered before is taken again."""
        from azure.ai.ml.constants import ListViewType
        from azure.ai.ml.entities import Model as ModelEntity
        from azure.ai.ml.exceptions import AssetException
        from azure.core.exceptions import HttpResponseError

        for attempt in range(MAX_TRIES):
            # Archived versions keep their numbers.
            versions = list(self.ml.models.list(name=self.store.model_name, list_view_type=ListViewType.ALL))
            for version in versions:
                if (version.tags or {}).get("job") == self.job:
                    return self.ml.models.get(self.store.model_name, str(version.version))
            model = ModelEntity(
                name=self.store.model_name,
                version=str(max((version_number(str(each.version)) for each in versions), default=0) + 1),
                type="custom_model",
                path=(
                    f"azureml://datastores/{datastore_name(self.store.container)}/paths/"
                    f"{self.store.bundle_path(self.job)}/"
                ),
                description=f"Multi-label image classifier of training {self.job}",
                tags={
                    "job": self.job,
                    "data_set": self.data_set,
                    self.gate.metric: f"{metrics[self.gate.metric]:.4f}",
                    "micro_f1": f"{metrics['micro_f1']:.4f}",
                },
            )
            try:
                return self.ml.models.create_or_update(model)
            except (HttpResponseError, AssetException):
                # Another job took this version in between; anything else will fail again.
                if attempt == MAX_TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    def _promote(self, version: str, metrics: Mapping[str, Any], test: Split, labels: Sequence[str]) -> dict[str, Any]:
        for _ in range(MAX_TRIES):
            champion, etag = self.store.champion_and_etag()
            if champion is not None and champion.job == self.job:
                return {"promoted": True, "reason": "it is the champion already"}
            champion_metrics = self._champion_metrics(champion, test, labels) if champion else None
            promote, reason = self.gate.decide(metrics, champion_metrics)
            logger.info("%s: %s", "promote" if promote else "keep the champion", reason)
            if not promote:
                return {"promoted": False, "reason": reason, "champion": champion.id if champion else None}
            new = Champion(
                name=self.store.model_name,
                version=version,
                path=self.store.bundle_path(self.job),
                metric=self.gate.metric,
                score=metrics[self.gate.metric],
                job=self.job,
                promoted_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            )
            if self.store.promote(new, etag):
                return {"promoted": True, "reason": reason, "champion_before": champion.id if champion else None}
        raise LabelLoopError(f"the champion of {self.store.model_name} changed {MAX_TRIES} times while it was compared")

    def _champion_metrics(self, champion: Champion, test: Split, labels: Sequence[str]) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as temporary:
            self.store.download_bundle(champion.path, Path(temporary))
            classifier = Classifier.load(Path(temporary))
            thresholds = dict(zip(classifier.labels, classifier.thresholds, strict=True))
            return evaluate(self._scores(classifier, test, labels), thresholds)

    def _tag(self, model: Model, decision: Mapping[str, Any]) -> None:
        model.tags = {**(model.tags or {}), "promoted": str(decision["promoted"]), "reason": str(decision["reason"])}
        self.ml.models.create_or_update(model)
