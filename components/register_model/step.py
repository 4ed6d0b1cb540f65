"""The step itself. It can be killed and carried out again at any point: the bundle is named by the training job, the
version is found again by its tag, and the champion is replaced only if it is still the one that was compared. So at
every moment there is exactly one champion, and the card of a champion says by what comparison it became that.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.register_model.candidate import Candidate, Measuring
from components.register_model.evaluation import Scores, calibration, evaluate
from components.register_model.gate import Decision, Gate, Measured
from components.register_model.report import thumbnail, worst_errors, write_report
from components.register_model.resampling import intervals, resample
from shared.errors import LabelLoopError
from shared.inference import CARD_FILE, Classifier
from shared.locations import datastore_name
from shared.models import Champion, ModelStore, version_number

if TYPE_CHECKING:
    from azure.ai.ml.entities import Model

REPORT_FILE = "report.html"
MAX_TRIES = 5
# Azure documents no limit for the tags of models; this is that of resources:
# https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations
MAX_TAG = 256

logger = logging.getLogger("register_model")


@dataclass(frozen=True)
class RegisterModel:
    """The step's surroundings; `run` carries it out."""

    measuring: Measuring
    store: ModelStore
    job: str
    data_set: str
    gate: Gate

    def run(self, best_model: Path, data: Path) -> dict[str, Any]:
        """Evaluate, decide, register and promote or not; returns the card, with the version and the decision."""
        champion, etag = self.store.champion_and_etag()
        if champion is not None and champion.job == self.job:
            return self._done(champion)
        with tempfile.TemporaryDirectory() as temporary:
            bundle = Path(temporary)
            candidate = self.measuring.measure(best_model, data, bundle)
            model: Model | None = None
            for _ in range(MAX_TRIES):
                card, decision = self._compare(candidate, champion, bundle)
                self._upload(bundle)
                model = model or self._register(card)
                logger.info("%s: %s", "promote" if decision.promote else "keep the champion", decision.reason)
                if not decision.promote or self._promote(str(model.version), card, etag):
                    self._tag(model, card["decision"])
                    return {**card, "version": str(model.version)}
                champion, etag = self.store.champion_and_etag()
                if champion is not None and champion.job == self.job:
                    return self._done(champion)
        raise LabelLoopError(f"the champion of {self.store.model_name} changed {MAX_TRIES} times while it was compared")

    def _done(self, champion: Champion) -> dict[str, Any]:
        """What an earlier try of this step decided; its tags may still be missing."""
        card = self.store.card(champion.path)
        decision = card.setdefault("decision", {"promote": True, "reason": "it is the champion already"})
        logger.info("version %s is the champion already", champion.version)
        self._tag(self.measuring.ml.models.get(self.store.model_name, champion.version), decision)
        return {**card, "version": champion.version}

    def _compare(
        self, candidate: Candidate, champion: Champion | None, bundle: Path
    ) -> tuple[dict[str, Any], Decision]:
        """Decide against one champion; leaves the card and the report in the bundle's folder."""
        scores, models = candidate.scores, {"candidate": (candidate.scores, candidate.thresholds)}
        opponent: dict[str, Any] | None = None
        unknown: list[str] = []
        left_out: list[str] = []
        if champion is not None:
            known, thresholds, opponent_scores = self._champion_scores(champion, candidate)
            models["champion"] = (opponent_scores, thresholds)
            opponent = {
                "id": champion.id,
                "metrics": evaluate(opponent_scores, thresholds),
                "calibration": calibration(opponent_scores),
            }
            unknown = [label for label in scores.labels if label not in known]
            left_out = [label for label in known if label not in scores.labels]
        resampled = resample(models, self.measuring.seed)
        decision = self.gate.decide(
            scores,
            Measured(candidate.card["metrics"], resampled["candidate"]),
            Measured(opponent["metrics"], resampled["champion"]) if opponent else None,
            [candidate.check.blocker] if candidate.check.blocker else [],
        )
        card = {
            "model": self.store.model_name,
            "job": self.job,
            "data_set": self.data_set,
            **candidate.card,
            "intervals": intervals(resampled["candidate"], scores),
            "champion": opponent,
            "decision": {
                "promote": decision.promote,
                "reason": decision.reason,
                "champion_before": champion.id if champion else None,
                **decision.numbers,
                "labels_new_to_champion": unknown,
                "labels_left_out": left_out,
            },
        }
        written = json.dumps(card, indent=2, ensure_ascii=False)
        (bundle / CARD_FILE).write_text(written, encoding="utf-8")
        errors = worst_errors(scores, candidate.thresholds)
        contents = candidate.test.contents(self.measuring.blobs, [error.row for error in errors])
        pictured = [
            (error, str(candidate.test.locations[error.row]), thumbnail(content))
            for error, content in zip(errors, contents, strict=True)
        ]
        page = write_report(card, scores, models["champion"][0] if opponent else None, pictured)
        (bundle / REPORT_FILE).write_text(page, encoding="utf-8")
        # As it reads back, so that a repeated step returns the same.
        return json.loads(written), decision

    def _champion_scores(
        self, champion: Champion, candidate: Candidate
    ) -> tuple[tuple[str, ...], dict[str, float], Scores]:
        """The champion's labels, thresholds, and scores on the candidate's test images and labels."""
        with tempfile.TemporaryDirectory() as temporary:
            self.store.download_bundle(champion.path, Path(temporary))
            classifier = Classifier.load(Path(temporary))
            thresholds = dict(zip(classifier.labels, classifier.thresholds, strict=True))
            return (
                classifier.labels,
                thresholds,
                candidate.test.score(self.measuring.blobs, classifier, candidate.scores.labels),
            )

    def _upload(self, bundle: Path) -> None:
        from azure.storage.blob import ContentSettings

        path = self.store.bundle_path(self.job)
        with (bundle / REPORT_FILE).open("rb") as file:
            self.measuring.blobs.get_blob_client(self.store.container, f"{path}/{REPORT_FILE}").upload_blob(
                file, overwrite=True, content_settings=ContentSettings(content_type="text/html; charset=utf-8")
            )
        self.store.upload_bundle(bundle, path)

    def _register(self, card: Mapping[str, Any]) -> Model:
        """Register the bundle as the next version; a version that this job registered before is taken again."""
        from azure.ai.ml.constants import ListViewType
        from azure.ai.ml.entities import Model as ModelEntity
        from azure.ai.ml.exceptions import AssetException
        from azure.core.exceptions import HttpResponseError

        metrics = card["metrics"]
        for attempt in range(MAX_TRIES):
            # Archived versions keep their numbers.
            versions = list(self.measuring.ml.models.list(name=self.store.model_name, list_view_type=ListViewType.ALL))
            for version in versions:
                if (version.tags or {}).get("job") == self.job:
                    return self.measuring.ml.models.get(self.store.model_name, str(version.version))
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
                    # To deploy it to an endpoint without code of one's own.
                    **({"mlflow_model": card["mlflow_model"]} if card["mlflow_model"] else {}),
                },
            )
            try:
                return self.measuring.ml.models.create_or_update(model)
            except (HttpResponseError, AssetException):
                # Another job took this version in between; anything else will fail again.
                if attempt == MAX_TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    def _promote(self, version: str, card: Mapping[str, Any], etag: str | None) -> bool:
        """Make the version the champion; False when the champion is no longer the one of `etag`."""
        new = Champion(
            name=self.store.model_name,
            version=version,
            path=self.store.bundle_path(self.job),
            metric=self.gate.metric,
            score=card["metrics"][self.gate.metric],
            job=self.job,
            promoted_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        )
        return self.store.promote(new, etag)

    def _tag(self, model: Model, decision: Mapping[str, Any]) -> None:
        numbers = {name: decision.get(name) for name in ("champion_before", "gain", "gain_at_least")}
        model.tags = {
            **(model.tags or {}),
            "promoted": str(decision["promote"]),
            "reason": _shortened(str(decision["reason"])),
            **{name: f"{value}" for name, value in numbers.items() if value is not None},
        }
        self.measuring.ml.models.create_or_update(model)


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_TAG else text[: MAX_TAG - 1] + "…"
