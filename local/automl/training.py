"""One AutoML run from specification to files: read, fetch, featurise, train the trials, export the best."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from local.automl import efficientnet, features, head, search_space, trials
from local.automl.artifacts import SCORING_FILE, FinishedRun, write_run
from local.automl.dataset import Example, hold_out, label_names, read_examples, target_matrix
from local.automl.mltable import read_mltable
from local.automl.spec import PRIMARY_METRIC, TASK, TrainingSpec
from local.automl.storage import Fetch

BACKBONE = "efficientnet-lite0"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Data:
    training: list[Example]
    validation: list[Example]
    labels: list[str]


def train(spec: TrainingSpec, out: Path, open_storage: Callable[[str], Fetch]) -> None:
    """Run `spec` and write the result below `out` (see artifacts.py). Raises TrainingError with the reason in words."""
    started = time.monotonic()
    deadline = None if spec.timeout_minutes is None else started + 60 * spec.timeout_minutes
    search_space.check(spec.search_space)
    data = _read(spec)

    fetch = open_storage(spec.account_url)
    session = features.open_session(efficientnet.build_model(None, normalize_inside=True).SerializeToString())
    logger.info("backbone %s loaded: %d parameters", BACKBONE, efficientnet.PARAMETERS)

    examples = [*data.training, *data.validation]
    pooled = features.extract(
        examples, fetch, session, deadline=deadline, progress=_every(len(examples), "images fetched and featurised")
    )
    count = len(data.training)
    training = pooled[:count], target_matrix(data.training, data.labels)
    validation = pooled[count:], target_matrix(data.validation, data.labels)

    strength = head.choose_strength(*training, [example.url for example in data.training])
    logger.info("C %g chosen by cross-validation over %d images", strength, count)
    finished = []
    for plan in trials.plan_trials(spec, strength):
        trial = trials.run_trial(plan, training, validation)
        measured = ", ".join(f"{name} {value:.4f}" for name, value in trial.metrics.items())
        logger.info("trial %d: C %.4g; %s", plan.number, plan.strength, measured or "no validation images")
        finished.append(trial)
    best = trials.best(finished)
    _explain(spec, best.plan.model_name)

    model = efficientnet.build_model(best.layer, normalize_inside=spec.normalize_inside).SerializeToString()
    write_run(_finished(spec, data, best, len(finished), model), out)
    seconds = time.monotonic() - started
    logger.info("model of %d labels written, %.1f MB; %.2f s in all", len(data.labels), len(model) / 1e6, seconds)


def _read(spec: TrainingSpec) -> _Data:
    training = read_examples(read_mltable(spec.training_data), spec.target_column_name, spec.datastores)
    labels = label_names(training)
    if spec.validation_data is None:
        training, validation = hold_out(training)
        source = "held back from training"
    else:
        validation = read_examples(read_mltable(spec.validation_data), spec.target_column_name, spec.datastores)
        source = "from the validation table"
    unknown = sorted({label for example in validation for label in example.labels} - set(labels))
    logger.info("%d training images, %d validation images %s", len(training), len(validation), source)
    logger.info("%d labels: %s", len(labels), ", ".join(labels))
    if unknown:
        logger.warning("labels in the validation data alone are left out: %s", ", ".join(unknown))
    return _Data(training, validation, labels)


def _explain(spec: TrainingSpec, model_name: str) -> None:
    """Say what was asked for and has no meaning here."""
    logger.info("model %s was asked for; locally every model is the frozen %s", model_name, BACKBONE)
    if spec.unused_parameters:
        names = ", ".join(spec.unused_parameters)
        logger.info("training parameters without effect on a frozen backbone: %s", names)
    if spec.training_parameters.get("checkpoint_run_id"):
        logger.info("the head's best weights do not depend on where training starts: the checkpoint is not loaded")


def _finished(spec: TrainingSpec, data: _Data, best: trials.Trial, trial_count: int, model: bytes) -> FinishedRun:
    artifacts = f"aml://artifact/ExperimentRun/dcid.{spec.run_id}"
    tags = {"model_name": best.plan.model_name}
    if spec.parent_run_id:
        tags["mlflow.parentRunId"] = spec.parent_run_id
    properties = {
        "task": TASK,
        "primary_metric": PRIMARY_METRIC,
        "requested_model_name": best.plan.model_name,
        "local_backbone": BACKBONE,
        "local_regularization_c": f"{best.plan.strength:g}",
        "local_trial": f"{best.plan.number + 1} of {trial_count}",
        "scoring_data_location": f"{artifacts}/outputs/{SCORING_FILE}",
        **{name: str(value) for name, value in best.plan.hyperparameters.items()},
    }
    if PRIMARY_METRIC in best.metrics:
        properties["score"] = f"{best.metrics[PRIMARY_METRIC]:.6f}"
    settings = {
        "task_type": TASK,
        "model_name": best.plan.model_name,
        "local_backbone": BACKBONE,
        "enable_onnx_normalization": spec.normalize_inside,
    }
    return FinishedRun(spec.run_id, model, data.labels, settings, tags, properties, best.metrics)


def _every(total: int, what: str) -> Callable[[int], None]:
    """A progress callback that logs at most some ten lines."""
    step = max(total // 10, 1)
    told = 0

    def progress(done: int) -> None:
        nonlocal told
        if done == total or done - told >= step:
            told = done
            logger.info("%d of %d %s", done, total, what)

    return progress
