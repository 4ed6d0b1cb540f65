"""How many operations the storage proxy has served, by who asked, service and operation."""

from __future__ import annotations

from collections import Counter


class OperationCounts:
    """Counts since the start or the last reset. `platform` requests are the local cloud's and host's own."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def add(self, *, platform: bool, service: str, operation: str) -> None:
        self._counts["platform" if platform else "client", service, operation] += 1

    def reset(self) -> None:
        self._counts.clear()

    def document(self) -> dict[str, dict[str, dict[str, int]]]:
        """`{"client": {"blob": {"PutBlob": 3}}, "platform": {…}}`."""
        result: dict[str, dict[str, dict[str, int]]] = {"client": {}, "platform": {}}
        for (who, service, operation), number in sorted(self._counts.items()):
            result[who].setdefault(service, {})[operation] = number
        return result
