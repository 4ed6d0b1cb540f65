"""One stack at a time on a state folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from local.__main__ import main
from local.locking import StateLock, StateLockedError
from local.processes import start_guarded, stop
from local.stack import StackError, delete_state


def test_a_state_folder_has_one_stack_at_a_time(tmp_path: Path) -> None:
    lock = StateLock(tmp_path)
    with pytest.raises(StateLockedError, match="a stack is already running on"):
        StateLock(tmp_path, wait=0)
    lock.release()
    StateLock(tmp_path, wait=0).release()


def test_the_lock_is_held_until_the_last_guard_has_ended(tmp_path: Path) -> None:
    lock = StateLock(tmp_path)
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    guard = start_guarded(command, log=tmp_path / "log", keep_open=[lock.descriptor])
    lock.release()
    with pytest.raises(StateLockedError):
        StateLock(tmp_path, wait=0)
    stop(guard)
    StateLock(tmp_path, wait=5).release()


def test_only_the_state_of_a_stack_that_does_not_run_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    assert not delete_state(state)
    lock = StateLock(state)
    monkeypatch.setattr("local.locking.StateLock.__init__.__kwdefaults__", {"wait": 0.0})
    assert main(["reset", "--state", str(state)]) == 1
    assert "a stack is already running" in capsys.readouterr().err
    lock.release()
    assert main(["reset", "--state", str(state)]) == 0
    assert not state.exists()


def test_a_folder_of_something_else_is_not_deleted(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    with pytest.raises(StackError, match="holds no stack's state"):
        delete_state(tmp_path)
    assert precious.read_text() == "mine"


def test_a_second_run_on_the_same_state_says_why_it_does_not_start(tmp_path: Path, project: Path) -> None:
    lock = StateLock(tmp_path)
    command = [sys.executable, "-m", "local", "run", "--state", str(tmp_path), "--env", str(tmp_path / "env")]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120, check=False)
    lock.release()
    assert done.returncode == 1
    assert done.stderr.startswith("local: a stack is already running on")
