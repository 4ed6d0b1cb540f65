"""What is written about an export, whatever becomes of it; and its states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shared import datasets
from shared.datasets import Findings, export_id
from shared.errors import NotFoundError

if TYPE_CHECKING:
    from shared.clients import Clients
    from shared.training.exports import FoundExport

TRAINING = "training"
REFUSED, FAILED, INCOMPLETE = "refused", "failed", "incomplete"
WAITING, SUPERSEDED, UNCHANGED = "waiting", "superseded", "unchanged"
TRAINING_STATES = {"Completed": "trained", "Failed": "training failed", "Canceled": "training canceled"}
# What an export of the same content may still get out of.
OPEN_STATES = frozenset({FAILED, INCOMPLETE, WAITING})
MAX_FILES = 100


def read_report(clients: Clients, export: str) -> dict[str, Any] | None:
    """The report on an export by its name, None when it was never looked at."""
    try:
        return datasets.get_export(clients.blobs, clients.settings.work_container, export_id(export))
    except NotFoundError:
        return None


def write_report(
    clients: Clients,
    export: FoundExport,
    findings: Findings,
    shape: str,
    *,
    state: str,
    job: str = "",
    problems: Sequence[str] = (),
) -> None:
    """`shape` is the hash of the settings that it was looked at with; `problems` say why it is not trained on."""
    report = datasets.make_report(export.name, findings, state=state, job=job, problems=problems)
    files = sorted(export.files)
    told = {**report, "content": export.content, "shape": shape, "files": files[:MAX_FILES], "file_count": len(files)}
    _write(clients, told)


def change_report(clients: Clients, report: Mapping[str, Any], **changes: Any) -> None:
    """Write a report again with some values changed."""
    _write(clients, {**report, **changes})


def _write(clients: Clients, report: Mapping[str, Any]) -> None:
    datasets.write_report(clients.blobs, clients.settings.work_container, report)
