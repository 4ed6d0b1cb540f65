"""Scoring again what lies below a prefix of the images container, without disturbing what waits.

A request is planned in steps that a queue message starts: a step lists some images, writes them as a manifest and opens
a batch, which is scored and collected as every other, but changes no image's state. Few batches of re-scorings are open
at once, so that images that arrive meanwhile need not wait for all of them.
"""

from shared.rescoring.planning import look_after_rescorings, plan_rescorings
from shared.rescoring.requests import request_rescoring, rescoring_report

__all__ = ["look_after_rescorings", "plan_rescorings", "request_rescoring", "rescoring_report"]
