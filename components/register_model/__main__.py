"""`python -m components.register_model`: the pipeline's last step."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

from components.node import blob_service, workspace_client
from components.register_model.step import Gate, RegisterModel
from shared.models import ModelStore


def main(arguments: list[str]) -> None:
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
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("azure").setLevel(logging.WARNING)
    blobs = blob_service(given.account_url)
    step = RegisterModel(
        ml=workspace_client(),
        blobs=blobs,
        account_url=given.account_url,
        store=ModelStore(blobs, given.work_container, given.model_name),
        job=given.job,
        data_set=given.data_set,
        gate=Gate(given.promote_metric, given.promote_min_gain),
    )
    print(json.dumps(step.run(given.best_model, given.data), indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
