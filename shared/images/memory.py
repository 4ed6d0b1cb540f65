"""How much memory images may take while they are decoded, all threads together."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class MemoryBudget:
    """`limit` bytes that threads share. Who asks for more than is left waits, and who comes later waits behind, so that
    many small images can't keep a large one waiting for ever.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._taken = 0
        self._turn = threading.Lock()
        self._given_back = threading.Condition()

    @contextlib.contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Hold `size` bytes of it, at most all of them."""
        size = min(size, self.limit)
        with self._turn, self._given_back:
            self._given_back.wait_for(lambda: self._taken + size <= self.limit)
            self._taken += size
        try:
            yield
        finally:
            with self._given_back:
                self._taken -= size
                self._given_back.notify_all()
