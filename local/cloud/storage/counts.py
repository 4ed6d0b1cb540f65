"""How many operations the storage proxy has served, by who asked, service and operation."""

from __future__ import annotations

from collections import Counter

CALLERS = CLIENT, HOST, PLATFORM = ("client", "host", "platform")


class OperationCounts:
    """Counts since the start or the last reset, by CALLERS: the app and all others are `client`, the Functions host is
    `host`, the local cloud itself `platform`.
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def add(self, caller: str, service: str, operation: str) -> None:
        self._counts[caller, service, operation] += 1

    def reset(self) -> None:
        self._counts.clear()

    def document(self) -> dict[str, dict[str, dict[str, int]]]:
        """`{"client": {"blob": {"PutBlob": 3}}, "host": {…}, "platform": {…}}`."""
        result: dict[str, dict[str, dict[str, int]]] = {caller: {} for caller in CALLERS}
        for (who, service, operation), number in sorted(self._counts.items()):
            result[who].setdefault(service, {})[operation] = number
        return result
