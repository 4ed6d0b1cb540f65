"""Run a command that must not outlive its parent: `python -m local.processes COMMAND ARG...`.

The guard holds its standard input, a pipe from the parent. When the parent ends, however it ends, the pipe closes and
the guard ends the command's whole process group. So a killed stack leaves nothing behind, on Linux and macOS alike.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

GRACE_SECONDS = 5.0
POLL_SECONDS = 0.1


def start_guarded(
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    keep_open: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `command` under a guard; it ends with this process. Its output is appended to `log`.

    The guard, not the command, inherits the descriptors `keep_open`.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "local.processes", *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
            pass_fds=keep_open,
        )


def stop(process: subprocess.Popen[bytes], timeout: float = GRACE_SECONDS + 2) -> None:
    """End a guarded process and wait for it."""
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ask the command to end, then make it; whatever it left in its group goes too."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def main(command: list[str]) -> int:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    ending = threading.Event()

    def parent_gone() -> None:
        while os.read(0, 1024):
            pass
        ending.set()

    # A handler may interrupt any line of the main thread, so it only says what is to be done.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    threading.Thread(target=parent_gone, daemon=True).start()
    while process.poll() is None:
        if ending.wait(POLL_SECONDS):
            break
    _end_group(process)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
