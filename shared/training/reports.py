"""What is written about an export, whatever becomes of it; and its states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shared import datasets
from shared.datasets import Findings, export_id
from shared.errors import NotFoundError

if TYPE_CHECKING:
    from shared.clients import Clients
    from shared.training.exports import FoundExport, LandedExport

TRAINING = "training"
REFUSED, FAILED, INCOMPLETE = "refused", "failed", "incomplete"
QUEUED, WAITING, SUPERSEDED, UNCHANGED = "queued", "waiting", "superseded", "unchanged"
TRAINING_STATES = {"Completed": "trained", "Failed": "training failed", "Canceled": "training canceled"}
# What an export of the same content may still get out of.
OPEN_STATES = frozenset({QUEUED, FAILED, INCOMPLETE, WAITING})
MAX_FILES = 100
# `<job>/<export id>` for each export whose report tells a job.
SHARING_FOLDER = "trainings/"


def read_report(clients: Clients, export: str) -> dict[str, Any] | None:
    """The report on an export by its name, None when it was never looked at."""
    return _read(clients, export_id(export))


def write_report(
    clients: Clients,
    export: FoundExport,
    findings: Findings,
    shape: str,
    *,
    state: str,
    job: str = "",
    problems: Sequence[str] = (),
    created: bool = False,
    by_hand: bool = False,
) -> None:
    """`shape` is the hash of the settings that it was looked at with; `problems` say why it is not trained on;
    `created`: whether its job was submitted for it; `by_hand`: whether someone asked for it.
    """
    report = datasets.make_report(export.name, findings, state=state, job=job, problems=problems)
    files = sorted(export.files)
    told = {
        **report,
        "content": export.content,
        "shape": shape,
        "files": files[:MAX_FILES],
        "file_count": len(files),
        "created": created,
        "by_hand": by_hand,
    }
    _write(clients, told)


def change_report(clients: Clients, report: Mapping[str, Any], **changes: Any) -> None:
    """Write a report again with some values changed."""
    _write(clients, {**report, **changes})


def note_request(clients: Clients, export: str) -> None:
    """Tell that someone asked for an export, which will be looked at. What an earlier look found stays until then."""
    report = read_report(clients, export) or datasets.make_report(export, Findings(), state=QUEUED)
    change_report(clients, report, state=QUEUED, problems=[], by_hand=False)


def close_request(clients: Clients, landed: LandedExport) -> None:
    """Tell that what someone asked for was gone before it was looked at."""
    report = read_report(clients, landed.asked_name) if landed.by_hand else None
    if report is not None and report["state"] == QUEUED:
        change_report(clients, report, state=REFUSED, problems=["is not there any more"], by_hand=True)


def note_sharing(clients: Clients, job: str, export: str) -> None:
    """Note that the report on an export tells a running job, so that its end is told there too: exports of the same
    content share one. To be noted before the report is written.
    """
    path = f"{SHARING_FOLDER}{job}/{export_id(export)}"
    clients.blobs.get_blob_client(clients.settings.work_container, path).upload_blob(b"", overwrite=True)


def reports_on(clients: Clients, job: str) -> list[dict[str, Any]]:
    """The reports that tell a job."""
    folder = f"{SHARING_FOLDER}{job}/"
    container = clients.blobs.get_container_client(clients.settings.work_container)
    found = [_read(clients, name.removeprefix(folder)) for name in container.list_blob_names(name_starts_with=folder)]
    return [report for report in found if report is not None and report["job"] == job]


def _read(clients: Clients, identifier: str) -> dict[str, Any] | None:
    try:
        return datasets.get_export(clients.blobs, clients.settings.work_container, identifier)
    except NotFoundError:
        return None


def _write(clients: Clients, report: Mapping[str, Any]) -> None:
    datasets.write_report(clients.blobs, clients.settings.work_container, report)
