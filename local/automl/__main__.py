"""`python -m local.automl --spec SPEC.json --out DIR`: run one AutoML node of the local cloud.

Progress goes to standard output, a reason for failing to standard error; the exit status is 0, or 1 for a failed run.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from local.automl.errors import TrainingError
from local.automl.spec import read_spec


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m local.automl", description="Run one AutoML node locally.")
    parser.add_argument("--spec", type=Path, required=True, help="the run's specification, a JSON file")
    parser.add_argument("--out", type=Path, required=True, help="folder for artifacts/, best_model/ and run.json")
    options = parser.parse_args(arguments)
    _log_progress()
    try:
        spec = read_spec(options.spec)
        # The learning libraries come after the specification's check: a wrong one is told at once.
        from local.automl.storage import open_storage
        from local.automl.training import train

        options.out.mkdir(parents=True, exist_ok=True)
        train(spec, options.out, open_storage)
    except TrainingError as error:
        sys.stderr.write(f"training failed: {error}\n")
        return 1
    return 0


def _log_progress() -> None:
    """This package's progress alone: the Azure SDK's request logs would drown it."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    package = logging.getLogger("local.automl")
    package.addHandler(handler)
    package.setLevel(logging.INFO)


if __name__ == "__main__":
    sys.exit(main())
