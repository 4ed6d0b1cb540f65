"""`python -m components.register_model`: the pipeline's last step."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from components.node import blob_service, workspace_client
from components.register_model.candidate import Measuring
from components.register_model.gate import Gate
from components.register_model.preprocessing import CHOICES
from components.register_model.step import RegisterModel
from components.register_model.thresholds import OBJECTIVES, Objective
from shared.models import ModelStore

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.storage.blob import BlobServiceClient


def argument_parser() -> argparse.ArgumentParser:
    """The step's arguments. Booleans are words, since a pipeline's inputs are."""
    parser = argparse.ArgumentParser(prog="register_model")
    parser.add_argument("--best-model", required=True, type=Path, help="AutoML's best model, an MLflow folder")
    parser.add_argument("--data", required=True, type=Path, help="the data set's folder, with its splits")
    parser.add_argument("--account-url", required=True, help="blob service of the data account")
    parser.add_argument("--work-container", required=True)
    parser.add_argument("--model-name", required=True)
    parser.add_argument("--job", required=True, help="the training job's name")
    parser.add_argument("--data-set", required=True, help="the data set's id")
    parser.add_argument("--promote-metric", required=True)
    parser.add_argument("--promote-min-gain", required=True, type=float)
    parser.add_argument("--promote-always", default="false", type=str.lower, choices=("true", "false"))
    parser.add_argument("--promote-confidence", default=0.9, type=_confidence, help="one-sided, 0.5 to 1")
    parser.add_argument("--threshold-objective", default="f1", choices=OBJECTIVES)
    parser.add_argument("--threshold-min-precision", default=0.9, type=_share, help="0 to 1")
    parser.add_argument(
        "--onnx-normalization", default="auto", type=str.lower, choices=CHOICES, help="what the training was told"
    )
    parser.add_argument("--random-seed", default=1, type=int)
    return parser


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} does not lie between 0 and 1")
    return value


def _confidence(text: str) -> float:
    value = float(text)
    if not 0.5 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} does not lie between 0.5 and 1 (exclusive)")
    return value


def main(arguments: list[str]) -> None:
    given = argument_parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("azure").setLevel(logging.WARNING)
    step = step_of(given, workspace_client(), blob_service(given.account_url))
    print(json.dumps(step.run(given.best_model, given.data), indent=2))


def step_of(given: argparse.Namespace, ml: MLClient, blobs: BlobServiceClient) -> RegisterModel:
    """The step as its arguments want it."""
    objective = Objective(given.threshold_objective, given.threshold_min_precision)
    return RegisterModel(
        Measuring(ml, blobs, given.account_url, objective, given.onnx_normalization, given.random_seed),
        ModelStore(blobs, given.work_container, given.model_name),
        given.job,
        given.data_set,
        Gate(given.promote_metric, given.promote_min_gain, given.promote_confidence, given.promote_always == "true"),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
