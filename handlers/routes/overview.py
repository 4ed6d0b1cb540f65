"""The loop at a glance."""

import msgspec

from handlers.contract.overview import LabelCountQuery, LabelCounts, Summary
from handlers.http import Key, api
from shared.clients import clients


@api.get("summary", Key.READ)
def summary() -> Summary:
    """What needs attention, the last label export, the training under way, the model in use, the images of today, and
    the last files. At most three seconds old.
    """
    from shared.overview import recent_overview

    return msgspec.convert(recent_overview(clients()), Summary)


@api.get("label-counts", Key.READ, query=LabelCountQuery, tag="predictions")
def label_counts(query: LabelCountQuery) -> LabelCounts:
    """How many images were scored on each day, and how often each label was predicted."""
    from shared.label_counts import count_labels

    return msgspec.convert(count_labels(clients(), query.days), LabelCounts)
