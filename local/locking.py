"""One stack at a time on a state folder, told by a lock that the stack's processes share."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

WAIT_SECONDS = 15.0


class StateLockedError(Exception):
    """Another stack runs on the folder."""

    def __init__(self, state: Path) -> None:
        super().__init__(f"a stack is already running on {state}; stop it, or name another folder with --state")


class StateLock:
    """The lock of a state folder, `<state>/lock`, which is made when it does not exist.

    The guards of the stack's processes inherit its descriptor, so it is free when the last of them has ended, even if
    whoever started them was killed. Raises StateLockedError when it is not free within `wait` seconds.
    """

    def __init__(self, state: Path, *, wait: float = WAIT_SECONDS) -> None:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(self.descriptor)
                    raise StateLockedError(state) from None
                time.sleep(0.1)
            else:
                return

    def release(self) -> None:
        """Give the folder free, when no process of the stack holds the lock any more."""
        os.close(self.descriptor)
