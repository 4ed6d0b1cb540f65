"""A guarded command does not outlive whoever started it, however that one ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from local.processes import start_guarded, stop

# Starts a child of its own, and says both ids.
FAMILY = (
    "import os, subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print(os.getpid(), child.pid, flush=True)\n"
    "time.sleep(60)\n"
)
# Stops only when it is made to.
STUBBORN = (
    "import os, signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print(os.getpid(), flush=True)\n"
    "time.sleep(60)\n"
)
SECONDS = 20


def await_true(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def said(log: Path) -> list[int]:
    await_true(lambda: log.exists() and log.read_text().endswith("\n"))
    return [int(word) for word in log.read_text().split()]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # A process that ended, and that nobody has waited for, is gone too.
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return state.stdout.strip().startswith("Z") or not state.stdout.strip()


def test_stopping_ends_the_command_and_its_children(tmp_path: Path) -> None:
    process = start_guarded([sys.executable, "-c", FAMILY], log=tmp_path / "log")
    pids = said(tmp_path / "log")
    stop(process)
    assert len(pids) == 2
    for pid in pids:
        await_true(lambda pid=pid: gone(pid))  # type: ignore[misc]


def test_a_command_that_will_not_end_is_made_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELLOOP_TEST", "1")
    process = start_guarded([sys.executable, "-c", STUBBORN], log=tmp_path / "log")
    (pid,) = said(tmp_path / "log")
    stop(process, timeout=SECONDS)
    await_true(lambda: gone(pid))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_guard_ends_the_command(tmp_path: Path, number: signal.Signals) -> None:
    process = start_guarded([sys.executable, "-c", FAMILY], log=tmp_path / "log")
    pids = said(tmp_path / "log")
    process.send_signal(number)
    process.wait(SECONDS)
    for pid in pids:
        await_true(lambda pid=pid: gone(pid))  # type: ignore[misc]
    stop(process)


def test_the_command_ends_when_its_parent_is_killed(tmp_path: Path, project: Path) -> None:
    parent = (
        "import sys, time; from pathlib import Path; from local.processes import start_guarded\n"
        f"start_guarded([sys.executable, '-c', {FAMILY!r}], log=Path({str(tmp_path / 'log')!r}))\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=project)
    pids = said(tmp_path / "log")
    process.kill()
    process.wait()
    for pid in pids:
        await_true(lambda pid=pid: gone(pid))  # type: ignore[misc]


def test_the_status_of_the_command_is_the_guards(tmp_path: Path) -> None:
    process = start_guarded([sys.executable, "-c", "import sys; sys.exit(7)"], log=tmp_path / "log")
    assert process.wait(SECONDS) == 7
    stop(process)
