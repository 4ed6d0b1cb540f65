"""From a landed label export to a running, or rightly not running, training."""

from shared.training.ending import JOB_PREFIX, look_after_trainings, settle_training
from shared.training.exports import EXPORTS_FOLDER, LandedExport, announce_export
from shared.training.requests import train_by_request
from shared.training.starting import TrainingOutcome, train_on_export

__all__ = [
    "EXPORTS_FOLDER",
    "JOB_PREFIX",
    "LandedExport",
    "TrainingOutcome",
    "announce_export",
    "look_after_trainings",
    "settle_training",
    "train_by_request",
    "train_on_export",
]
