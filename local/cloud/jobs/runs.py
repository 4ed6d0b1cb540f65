"""Runs: the pipeline's own, one for each node, and the trials of AutoML; kept in SQLite, every change an event."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from local.cloud.database import Database
from local.cloud.errors import NotFoundError

Json = dict[str, Any]

NOT_STARTED, QUEUED, RUNNING = "NotStarted", "Queued", "Running"
CANCEL_REQUESTED = "CancelRequested"
COMPLETED, FAILED, CANCELED = "Completed", "Failed", "Canceled"
TERMINAL = frozenset({COMPLETED, FAILED, CANCELED})

# `runType` of the run events and of run history.
PIPELINE_RUN, STEP_RUN, AUTOML_RUN, TRIAL_RUN = (
    "azureml.PipelineRun",
    "azureml.StepRun",
    "azureml.AutoMLImageRun",
    "azureml.scriptrun",
)


@dataclass(frozen=True)
class Run:
    """One run. Times are seconds UTC; `outputs` maps an output's name to its `azureml://` URI and type."""

    run_id: str
    workspace: str
    root_run_id: str
    parent_run_id: str | None
    experiment: str
    display_name: str
    run_type: str
    status: str = NOT_STARTED
    node: str | None = None
    compute: str | None = None
    description: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    error: str | None = None
    hidden: bool = False
    created: float = 0.0
    started: float | None = None
    ended: float | None = None
    number: int = 0

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL


class RunStore:
    """Reads and writes runs. `on_change` hears of every change of status, within its transaction."""

    def __init__(self, database: Database, on_change: Callable[[Run], None]) -> None:
        self._database = database
        self._on_change = on_change

    def create(self, run: Run) -> Run:
        """Add a run; a run of that id that exists already is answered as it is."""
        existing = self.find(run.run_id)
        if existing is not None:
            return existing
        run = dataclasses.replace(run, created=run.created or time.time())
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO runs (run_id, workspace, root_run_id, parent_run_id, status, document)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (run.run_id, run.workspace, run.root_run_id, run.parent_run_id, run.status, _document(run)),
            )
            created = self.get(run.run_id)
            self._on_change(created)
        return created

    def find(self, run_id: str) -> Run | None:
        row = self._database.row("SELECT * FROM runs WHERE run_id = ?", run_id)
        return _run(row) if row else None

    def get(self, run_id: str) -> Run:
        """Raises NotFoundError."""
        run = self.find(run_id)
        if run is None:
            raise NotFoundError(f"The run '{run_id}' was not found.")
        return run

    def children(self, run_id: str) -> list[Run]:
        """The runs directly below one, in the order of creation."""
        return [
            _run(r) for r in self._database.rows("SELECT * FROM runs WHERE parent_run_id = ? ORDER BY sequence", run_id)
        ]

    def of_job(self, root_run_id: str) -> list[Run]:
        """All runs of a job, the job's own first."""
        return [
            _run(r)
            for r in self._database.rows("SELECT * FROM runs WHERE root_run_id = ? ORDER BY sequence", root_run_id)
        ]

    def unfinished_jobs(self) -> list[Run]:
        """The jobs' own runs that have not ended."""
        rows = self._database.rows("SELECT * FROM runs WHERE run_id = root_run_id ORDER BY sequence")
        return [run for run in map(_run, rows) if not run.is_terminal]

    def move(self, run_id: str, status: str, **changes: Any) -> Run:
        """Change a run's status (and other fields). A run that has ended stays as it is."""
        before = self.get(run_id)
        if before.is_terminal or (before.status == status and not changes):
            return before
        now = time.time()
        if status == RUNNING and before.started is None:
            changes["started"] = now
        if status in TERMINAL:
            changes["ended"] = now
        after = dataclasses.replace(before, status=status, **changes)
        with self._database.transaction():
            self._write(after)
            if after.status != before.status:
                self._on_change(after)
        return after

    def annotate(self, run_id: str, **changes: Any) -> Run:
        """Change fields of a run other than its status, also after its end."""
        after = dataclasses.replace(self.get(run_id), **changes)
        with self._database.transaction():
            self._write(after)
        return after

    def _write(self, run: Run) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE runs SET status = ?, document = ? WHERE run_id = ?", (run.status, _document(run), run.run_id)
            )


_COLUMNS = {"run_id", "workspace", "root_run_id", "parent_run_id", "status", "number"}


def _document(run: Run) -> str:
    return json.dumps({k: v for k, v in dataclasses.asdict(run).items() if k not in _COLUMNS})


def _run(row: Any) -> Run:
    return Run(
        run_id=row["run_id"],
        workspace=row["workspace"],
        root_run_id=row["root_run_id"],
        parent_run_id=row["parent_run_id"],
        status=row["status"],
        number=row["sequence"],
        **json.loads(row["document"]),
    )
