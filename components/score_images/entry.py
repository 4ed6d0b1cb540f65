"""Entry script of the parallel job: one mini-batch is one manifest shard, and becomes one part file.

`init` and `run` are what Azure ML's parallel driver calls
(https://learn.microsoft.com/azure/machine-learning/how-to-use-parallel-job-in-pipeline).
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

# The driver imports this file by its path; the code asset's root must be importable for `shared`.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from components.node import blob_service
from shared.inference import Classifier
from shared.scoring import part_path, read_manifest, score_shard, write_part

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient

logger = logging.getLogger("score_images")


@dataclass(frozen=True)
class Scorer:
    """What one worker process keeps between mini-batches."""

    blobs: BlobServiceClient
    classifier: Classifier
    work_container: str
    folder: str

    def score(self, manifest: Path) -> int:
        """Score one manifest shard and write its part; returns the number of rows."""
        rows = read_manifest(manifest.read_text(encoding="utf-8"))
        outcomes = score_shard(self.blobs, self.classifier, rows)
        write_part(self.blobs, self.work_container, part_path(self.folder, manifest.stem), outcomes)
        return len(outcomes)


_worker: list[Scorer] = []


def init() -> None:
    """Load the model, once a worker process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--folder", required=True, help="the batch's folder in the work container")
    parser.add_argument("--account-url", required=True)
    parser.add_argument("--work-container", required=True)
    arguments, _ = parser.parse_known_args()
    scorer = Scorer(
        blob_service(arguments.account_url),
        Classifier.load(arguments.model),
        arguments.work_container,
        arguments.folder,
    )
    logger.info("model of %d labels, on %s", len(scorer.classifier.labels), ", ".join(scorer.classifier.providers))
    _worker[:] = [scorer]


def run(mini_batch: list[str]) -> list[str]:
    """Score manifest shards; returns one line for each, which the driver counts."""
    (scorer,) = _worker
    lines = []
    for file in mini_batch:
        started = time.monotonic()
        count = scorer.score(Path(file))
        line = f"{Path(file).name}: {count} images in {time.monotonic() - started:.1f} s"
        logger.info(line)
        lines.append(line)
    return lines
