"""The export report as one HTML page that needs nothing else: no scripts, no fonts, no images from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from shared.datasets.options import SPLITS

_MAX_BARS = 50
_MAX_PAIRED = 15
_STYLE = """
:root { color-scheme: light dark; --text: #1b1b1f; --back: #fff; --soft: #5c5f66; --line: #d8dade; --card: #f6f7f9;
  --a: #2563a8; --b: #b4690e; --c: #6a4fb3; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e7ea; --back: #15161a; --soft: #a5a8b0; --line: #3a3d45;
  --card: #1f2127; --a: #7db3ec; --b: #eaa550; --c: #b7a1f0; --bad: #ff8a80; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); margin: 0 auto;
  padding: 1.5rem; max-width: 60rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.soft { color: var(--soft); } .refused { color: var(--bad); }
section.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .75rem 1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; } dd { margin: 0; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--text); font: 13px system-ui, sans-serif; }
.train { fill: var(--a); } .validation { fill: var(--b); } .test { fill: var(--c); }
.key::before { content: ""; display: inline-block; width: .8em; height: .8em; margin-right: .4em; }
.key.train::before { background: var(--a); } .key.validation::before { background: var(--b); }
.key.test::before { background: var(--c); } .key { margin-right: 1rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .25rem .6rem .25rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top; } th { white-space: nowrap; overflow-wrap: normal; }
.scroll { overflow-x: auto; }
"""


def render(report: Mapping[str, Any]) -> str:
    """The page of a report as `make_report` gives it. All that comes from the export is escaped."""
    parts = [
        _head(report),
        _decision(report),
        _findings(report["findings"]),
        _labels(report["labels"]),
        _pairs(report.get("co_occurrence")),
        _histogram("Sizes of the images (longer side)", report.get("sizes")),
        _histogram("Formats of the images, as read", report.get("formats")),
        _histogram("Endings of the file names", report.get("suffixes")),
        _facts("What was left out (images)", report.get("left_out")),
        _facts("Labels left out (images of each)", report.get("left_out_labels")),
        _facts("Rows of the export", report.get("rows")),
        _facts("Images kept together", report.get("groups")),
        _facts("Options in force", report.get("options")),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Label export {_text(report['export'])}</title><style>{_STYLE}</style></head>\n"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _text(value: object) -> str:
    return escape(f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value))


def _head(report: Mapping[str, Any]) -> str:
    return (
        f"<h1>Label export</h1><p>{_text(report['export'])}"
        f'<br><span class="soft">report of {_text(report.get("updated_at", ""))}</span></p>'
    )


def _decision(report: Mapping[str, Any]) -> str:
    told = {"State": report["state"], "Job": report["job"], "Data set": report.get("data_set", "")}
    told |= {f"Images for {name}": count for name, count in report["images"].items()}
    reasons = _list("Reasons", report["problems"]) + _list("What to do", report["what_to_do"])
    name = ' class="refused"' if report["problems"] else ""
    return f'<section class="card"><h2{name}>Decision</h2>{_definitions(told)}{reasons}</section>'


def _list(title: str, lines: Sequence[str]) -> str:
    items = "".join(f"<li>{_text(line)}</li>" for line in lines)
    return f"<h3>{title}</h3><ul>{items}</ul>" if items else ""


def _definitions(values: Mapping[str, Any]) -> str:
    return "<dl>" + "".join(f"<dt>{_text(key)}</dt><dd>{_text(value)}</dd>" for key, value in values.items()) + "</dl>"


def _facts(title: str, values: Mapping[str, Any] | None) -> str:
    return f"<h2>{title}</h2>{_definitions(values)}" if values else ""


def _findings(findings: Sequence[Mapping[str, Any]]) -> str:
    if not findings:
        return "<h2>Findings</h2><p>Nothing unusual.</p>"
    rows = []
    for each in findings:
        examples = "".join(f"<li>{_text(example)}</li>" for example in each["examples"])
        shown = f"{len(each['examples'])} of {each['count']:,} examples"
        details = f"<details><summary>{shown}</summary><ul>{examples}</ul></details>" if examples else ""
        remedy = f'<br><span class="soft">{_text(each["remedy"])}</span>' if each["remedy"] else ""
        rows.append([_text(each["weight"]), f"{_text(each['text'])}{remedy}{details}", _text(each["count"])])
    return f"<h2>Findings</h2>{_table(('Weight', 'What', 'Count'), rows)}"


def _table(header: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """`rows` are of HTML, `header` of text."""
    head = "".join(f'<th scope="col">{_text(each)}</th>' for each in header)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _labels(labels: Mapping[str, Mapping[str, int]]) -> str:
    if not labels:
        return ""
    ordered = sorted(labels.items(), key=lambda each: (-sum(each[1].values()), each[0]))
    keys = "".join(f'<span class="key {name}">{name}</span>' for name in SPLITS)
    chart = _bars("Images per label", [(label, [row[name] for name in SPLITS]) for label, row in ordered[:_MAX_BARS]])
    rows = [[_text(label), *(_text(row[name]) for name in SPLITS), _text(sum(row.values()))] for label, row in ordered]
    table = _table(("Label", *SPLITS, "all"), rows)
    more = f'<p class="soft">The chart shows {_MAX_BARS} of {len(ordered):,} labels.</p>' * (len(ordered) > _MAX_BARS)
    return f"<h2>Images per label</h2><p>{keys}</p>{chart}{more}<details><summary>As a table</summary>{table}</details>"


def _bars(title: str, rows: Sequence[tuple[str, Sequence[int]]]) -> str:
    """Horizontal bars, each of parts in the colours of the splits."""
    longest = max((sum(parts) for _, parts in rows), default=0) or 1
    drawn = []
    for number, (name, parts) in enumerate(rows):
        top, left = number * 24, 200.0
        shown = name if len(name) <= 28 else name[:27] + "…"
        drawn.append(f'<text x="190" y="{top + 16}" text-anchor="end">{_text(shown)}</text>')
        for split, part in zip(SPLITS, parts, strict=False):
            width = 520 * part / longest
            drawn.append(
                f'<rect class="{split}" x="{left:.1f}" y="{top + 3}" width="{width:.1f}" height="17">'
                f"<title>{_text(name)}: {part:,}</title></rect>"
            )
            left += width
        drawn.append(f'<text x="{left + 6:.1f}" y="{top + 16}">{sum(parts):,}</text>')
    return (
        f'<svg role="img" aria-label="{_text(title)}" viewBox="0 0 800 {len(rows) * 24}">'
        f"<title>{_text(title)}</title>{''.join(drawn)}</svg>"
    )


def _histogram(title: str, counts: Mapping[str, int] | None) -> str:
    if not counts:
        return ""
    # An empty ending has no name.
    rows = [(name or "(none)", [count]) for name, count in counts.items()]
    return f"<h2>{_text(title)}</h2>{_bars(title, rows)}"


def _pairs(pairs: Mapping[str, Any] | None) -> str:
    if not pairs or len(pairs["labels"]) < 2:
        return ""
    labels, counts = pairs["labels"][:_MAX_PAIRED], pairs["images"]
    cell = 36
    highest = max((counts[i][j] for i in range(len(labels)) for j in range(i)), default=0) or 1
    drawn = []
    for i, label in enumerate(labels):
        shown = _text(label if len(label) <= 28 else label[:27] + "…")
        y = i * cell
        drawn.append(f'<text x="190" y="{y + 23}" text-anchor="end">{shown}</text>')
        for j in range(i):
            share = counts[i][j] / highest
            drawn.append(
                f'<rect class="train" x="{200 + j * cell}" y="{y}" width="{cell - 2}" height="{cell - 2}"'
                f' fill-opacity="{0.06 + 0.5 * share:.2f}"><title>{shown} and {_text(labels[j])}:'
                f" {counts[i][j]:,}</title></rect>"
                f'<text x="{200 + j * cell + cell / 2 - 1:.0f}" y="{y + 23}" text-anchor="middle">{counts[i][j]}</text>'
            )
        drawn.append(f'<text x="{206 + i * cell}" y="{y + 23}" class="soft">{shown}</text>')
    title = "Images that have both labels"
    width = 420 + len(labels) * cell
    chart = (
        f'<svg role="img" aria-label="{title}" viewBox="0 0 {width} {len(labels) * cell}">'
        f"<title>{title}</title>{''.join(drawn)}</svg>"
    )
    return f'<h2>{title}</h2><div class="scroll">{chart}</div>'
