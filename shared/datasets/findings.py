"""What was found out about an export while it became a data set, or did not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from shared.datasets.options import MAX_EXAMPLES
from shared.labels import Problems


@dataclass(frozen=True)
class Finding:
    """One kind of thing: how often, what of it, and what to do. `weight` is note, warning or refusal."""

    kind: str
    weight: str
    text: str
    count: int
    examples: tuple[str, ...]
    remedy: str


@dataclass
class Findings:
    """All of it. `figures` holds counts and charts' data, also for an export that is refused half-way."""

    found: list[Finding] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def add(
        self, kind: str, weight: str, text: str, count: int = 1, examples: Iterable[str] = (), remedy: str = ""
    ) -> None:
        """Note something; `examples` are read no further than needed."""
        self.found.append(Finding(kind, weight, text, count, tuple(islice(examples, MAX_EXAMPLES)), remedy))

    def add_rows(self, problems: Problems) -> None:
        """Note what the reader did not understand (`LabelExport.problems`)."""
        self.figures["rows without image"] = problems.lost
        for kind, count in problems.counts.items():
            examples = [f"{each.where}: {each.detail}" for each in problems.examples.get(kind, [])]
            self.add(kind, "warning", f"{count} times not understood or guessed ({kind})", count, examples)

    def texts(self, weight: str) -> list[str]:
        """All of one weight in words, a line each, with the examples."""
        return [_line(each) for each in self.found if each.weight == weight]


def _line(finding: Finding) -> str:
    if not finding.examples:
        return finding.text
    more = ", …" if finding.count > len(finding.examples) else ""
    return f"{finding.text}: {', '.join(finding.examples)}{more}"
