"""What of the loop needs a person, in words, the gravest first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.ledger import Batch, DayCounts

ERROR, WARNING, INFO = "error", "warning", "info"
MAX_TOLD = 3
NOTHING_YET = DayCounts("")
# A batch may wait for a node, and then has so many images to score; inline ones are done in minutes.
STUCK_HOURS = {"inline": 1, "cluster": 12}
# So many of a day's images with an error are more than an odd file.
MANY_FAILED = 0.1
# What an export got out of; the ones before do not matter any more.
FINE = frozenset({"trained", "training", "unchanged", "queued", "waiting"})
EXPORT_WORDS = {
    "refused": (ERROR, "was refused; its report says why, and what to do"),
    "failed": (ERROR, "could not be trained on; it is tried again, and its report says why"),
    "training failed": (ERROR, "was trained on, and the training failed"),
    "incomplete": (WARNING, "is not complete; files of it are missing"),
}


@dataclass(frozen=True)
class Situation:
    """The loop as it is. `exports` newest first, as `datasets.list_exports` tells them; `dead_letters` as
    `unreturned_report`; `poisoned`: messages that were given up, by queue, or why the queues do not answer;
    `paused_webhooks`: which, and why.
    """

    now: dt.datetime
    is_provisioned: bool = True
    exports: Sequence[Mapping[str, Any]] = ()
    training: Mapping[str, Any] | None = None
    has_champion: bool = True
    open_batches: Sequence[Batch] = ()
    today: DayCounts = NOTHING_YET
    waiting: int = 0
    dead_letters: str = "ok"
    poisoned: Mapping[str, int] | str = ""
    paused_webhooks: Sequence[str] = ()


def attention(situation: Situation) -> list[dict[str, str | None]]:
    """`severity` is error, warning or info; `link` is a view of the page, or None."""
    told = [
        *_account(situation),
        *_exports(situation.exports),
        *_training(situation.training),
        *_batches(situation),
        *_images(situation),
        *_model(situation),
    ]
    severities = (ERROR, WARNING, INFO)
    return sorted(told, key=lambda each: severities.index(str(each["severity"])))


def _note(severity: str, text: str, link: str | None = None) -> dict[str, str | None]:
    return {"severity": severity, "text": text, "link": link}


def _account(situation: Situation) -> list[dict[str, str | None]]:
    if not situation.is_provisioned:
        return [_note(ERROR, "LabelLoop is not provisioned yet: POST /api/provision makes what it needs in Azure.")]
    told = []
    if isinstance(situation.poisoned, str) and situation.poisoned:
        text = f"The storage account's queues do not answer ({situation.poisoned}); nothing new is taken up."
        told.append(_note(ERROR, text))
    if isinstance(situation.poisoned, Mapping):
        for queue, count in situation.poisoned.items():
            text = f"{_count(count, 'message')} could not be worked on and {_is(count)} now in queue {queue}."
            told.append(_note(ERROR, text))
    if situation.dead_letters != "ok":
        told.append(_note(WARNING, f"Events that Event Grid could not deliver: {situation.dead_letters}."))
    for each in situation.paused_webhooks:
        text = f"Nothing is delivered to a webhook any more: {each}."
        told.append(_note(WARNING, text))
    return told


def _exports(exports: Sequence[Mapping[str, Any]]) -> list[dict[str, str | None]]:
    told = []
    for each in exports:
        state = str(each["state"])
        if state in FINE:
            break
        if state in EXPORT_WORDS:
            severity, words = EXPORT_WORDS[state]
            told.append(_note(severity, f"Label export {each['export']} {words}.", f"#/runs/exports/{each['id']}"))
    return told[:MAX_TOLD]


def _training(training: Mapping[str, Any] | None) -> list[dict[str, str | None]]:
    if training is None or not training["error"]:
        return []
    return [_note(WARNING, f"Training {training['job']}: {training['error']}", f"#/runs/jobs/{training['job']}")]


def _batches(situation: Situation) -> list[dict[str, str | None]]:
    told = []
    for batch in situation.open_batches:
        link = f"#/runs/batches/{batch.id}"
        age = situation.now - dt.datetime.fromisoformat(batch.created)
        hours = age.total_seconds() / 3600
        if batch.error:
            tried = f"Batch {batch.id} was tried {_count(batch.tries, 'time')}, at last in vain: {batch.error}"
            told.append(_note(WARNING, tried, link))
        elif hours > STUCK_HOURS.get(batch.route, max(STUCK_HOURS.values())):
            text = f"Batch {batch.id} has been {batch.state} for {hours:.0f} hours, longer than it should take."
            told.append(_note(WARNING, text, link))
    more = len(told) - MAX_TOLD
    return [*told[:MAX_TOLD], *([_note(WARNING, f"{more} more batches are late.", "#/runs")] if more > 0 else [])]


def _images(situation: Situation) -> list[dict[str, str | None]]:
    failed, done = situation.today.errors, situation.today.errors + situation.today.predicted
    if not failed:
        return []
    severity = WARNING if failed >= MANY_FAILED * done else INFO
    text = f"{failed} of today's {_count(done, 'image')} could not be scored; each says why."
    return [_note(severity, text, "#/images?state=failed")]


def _model(situation: Situation) -> list[dict[str, str | None]]:
    if situation.has_champion or situation.training is not None or not situation.is_provisioned:
        return []
    waiting = f" {_count(situation.waiting, 'image')} will wait until then." if situation.waiting else ""
    text = "There is no model yet. Export labels from Azure ML, or label images here, and the first one is trained."
    return [_note(INFO, text + waiting, "#/review")]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"
