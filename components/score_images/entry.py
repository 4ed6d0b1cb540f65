"""Entry script of the parallel job: one mini-batch is one manifest shard, and becomes one part file.

`init` and `run` are what Azure ML's parallel driver calls
(https://learn.microsoft.com/azure/machine-learning/how-to-use-parallel-job-in-pipeline). It reschedules a mini-batch
whose node was lost or whose time ran out from its beginning; what its part has by then is not done again.
"""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

# The driver imports this file by its path; the code asset's root must be importable for `shared`.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from components.node import blob_service
from shared.errors import ImageUnavailableError
from shared.inference import Classifier
from shared.manifests import part_path, read_manifest
from shared.scoring import Scored, score_part

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

    def score(self, manifest: Path) -> Scored:
        """Score one manifest shard into its part."""
        rows = read_manifest(manifest.read_text(encoding="utf-8"))
        path = part_path(self.folder, manifest.stem)
        return score_part(self.blobs, self.classifier, rows, self.work_container, path)


_worker: list[Scorer] = []


def init() -> None:
    """Load the model, once a worker process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--folder", required=True, help="the batch's folder in the work container")
    parser.add_argument("--account-url", required=True)
    parser.add_argument("--work-container", required=True)
    arguments, _ = parser.parse_known_args()
    # The driver logs what is INFO and above; the SDK tells of every request at that level.
    logging.getLogger("azure").setLevel(logging.WARNING)
    scorer = Scorer(
        blob_service(arguments.account_url),
        Classifier.load(arguments.model, throughput=True),
        arguments.work_container,
        arguments.folder,
    )
    logger.info("model of %d labels, on %s", len(scorer.classifier.labels), ", ".join(scorer.classifier.providers))
    _worker[:] = [scorer]


def run(mini_batch: list[str]) -> list[str]:
    """Score manifest shards; returns one line for each, which the driver counts.

    Raises ImageUnavailableError when images could not be read, so that the driver tries the mini-batch again.
    """
    (scorer,) = _worker
    lines = []
    for file in mini_batch:
        scored = scorer.score(Path(file))
        line = (
            f"{Path(file).name}: {scored.now} of {scored.images} images in {scored.seconds:.1f} s"
            f" ({scored.now / max(scored.seconds, 1e-9):.1f}/s), {scored.errors} errors"
        )
        logger.info(line)
        if scored.unavailable:
            raise ImageUnavailableError(f"{line}; {scored.unavailable} could not be read now")
        lines.append(line)
    return lines
