"""What needs a person, told from the loop's state."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest

from shared.attention import Situation, attention
from shared.ledger import Batch, DayCounts

NOON = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
QUIET = Situation(NOON)
BATCH = Batch("20261124-110000-ab12", "submitted", "inline", "", "m", "1", "p", "2026-11-24T10:30:00+00:00")


def export(state: str, number: int = 1) -> dict[str, Any]:
    return {"id": f"{number:016x}", "export": f"c/{number}.jsonl", "state": state}


def told(**changes: Any) -> list[str]:
    return [f"{each['severity']}: {each['text']}" for each in attention(dataclasses.replace(QUIET, **changes))]


def test_a_loop_that_runs_by_itself_needs_nobody() -> None:
    assert told(exports=[export("trained")], today=DayCounts("2026-11-24", predicted=9)) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"exports": [export("refused")]}, "error: Label export c/1.jsonl was refused"),
        ({"exports": [export("training failed")]}, "error: Label export c/1.jsonl was trained on, and"),
        ({"training": {"job": "train-1", "error": "no quota"}}, "warning: Training train-1: no quota"),
        ({"open_batches": [BATCH]}, "warning: Batch 20261124-110000-ab12 has been submitted for 2 hours"),
        (
            {"open_batches": [dataclasses.replace(BATCH, error="out of disk", tries=3)]},
            "tried 3 times, at last in vain",
        ),
        ({"dead_letters": "2 unreturned: look"}, "warning: Events that Event Grid could not deliver: 2 unreturned"),
        ({"poisoned": {"label-exports-poison": 1}}, "error: 1 message could not be worked on and is now in queue"),
        ({"poisoned": "ServiceRequestError"}, "error: The storage account's queues do not answer"),
        ({"paused_webhooks": ["subscription 1 is paused"]}, "warning: Nothing is delivered to a webhook any more: "),
        ({"today": DayCounts("2026-11-24", predicted=5, errors=5)}, "warning: 5 of today's 10 images"),
        ({"today": DayCounts("2026-11-24", predicted=99, errors=1)}, "info: 1 of today's 100 images"),
        ({"has_champion": False, "waiting": 3}, "info: There is no model yet."),
        ({"is_provisioned": False, "has_champion": False}, "error: LabelLoop is not provisioned yet"),
    ],
)
def test_what_is_wrong_is_told_in_words(changes: dict[str, Any], text: str) -> None:
    (notice,) = told(**changes)
    assert text in notice


def test_an_export_that_failed_before_one_that_was_trained_on_is_of_no_interest() -> None:
    assert told(exports=[export("trained", 2), export("refused", 1)]) == []
    assert len(told(exports=[export("refused", number) for number in range(9)])) == 3


def test_the_gravest_comes_first_and_many_late_batches_are_few_lines() -> None:
    late = [dataclasses.replace(BATCH, id=f"20261124-11000{number}-ab12") for number in range(8)]
    notices = told(open_batches=late, exports=[export("refused")])
    assert notices[0].startswith("error: ")
    assert notices[-1] == "warning: 5 more batches are late."


def test_a_batch_on_the_cluster_may_take_hours() -> None:
    assert told(open_batches=[dataclasses.replace(BATCH, route="cluster")]) == []
