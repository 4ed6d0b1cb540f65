"""From waiting images to files of predictions.

    waiting → claimed (the ledger) → manifest → scored: in the app, or by one job on the cluster → files → settled

`decision` says when and where, `dispatching` is the timer's tick, `progress` knows the steps of one batch.
"""

from shared.batches.decision import Decision, decide
from shared.batches.dispatching import LEASE_PATH, StuckBatchesError, dispatch
from shared.batches.progress import JOB_PREFIX, SCORING, settle_job

__all__ = ["JOB_PREFIX", "LEASE_PATH", "SCORING", "Decision", "StuckBatchesError", "decide", "dispatch", "settle_job"]
