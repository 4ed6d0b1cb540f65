"""The nodes of clusters: how many processes may run at once, first come, first served."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import AsyncIterator, Callable


class Cluster:
    """One cluster's nodes. `limit` is asked each time, since a cluster's size may be changed while jobs wait."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._busy = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @contextlib.asynccontextmanager
    async def node(self) -> AsyncIterator[None]:
        """A node, as soon as one is free."""
        if self._busy >= self._size() or self._waiting:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._free()
                else:
                    self._waiting.remove(turn)
                raise
        else:
            self._busy += 1
        try:
            yield
        finally:
            self._free()

    def _free(self) -> None:
        self._busy -= 1
        while self._waiting and self._busy < self._size():
            turn = self._waiting.popleft()
            if not turn.cancelled():
                self._busy += 1
                turn.set_result(None)

    def _size(self) -> int:
        """No more than this machine has cores; at least one, so that a cluster of size zero holds no job for ever."""
        return max(1, min(self._limit(), os.cpu_count() or 1))
