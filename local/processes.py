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


def start_guarded(
    command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start `command` under a guard; it ends with this process. Its output is appended to `log`."""
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
    for number, wait in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait)
    # The command itself is gone; whatever it left in its group goes too.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def main(command: list[str]) -> int:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    def parent_gone() -> None:
        while os.read(0, 1024):
            pass
        _end_group(process)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _end_group(process))
    threading.Thread(target=parent_gone, daemon=True).start()
    code = process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
