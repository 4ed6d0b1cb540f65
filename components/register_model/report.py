"""The model's report: one HTML file that needs nothing else. It holds no script, and its policy lets none run; every
text that came from outside (labels, paths, names) is escaped.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from PIL import Image as Pillow

from components.register_model.charts import calibration_chart, curve_chart, interval_chart, precision_recall_points
from components.register_model.evaluation import Scores
from shared.errors import ImageRejectedError
from shared.images import load_rgb

MAX_ERRORS = 12
# A thumbnail's longer side, px: some 5 kB as JPEG.
THUMBNAIL = 160
# Labels with curves of their own, the most frequent first; a page with thousands of charts is of no use.
MAX_CURVES = 60

STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--dim:#59636e;--line:#d1d9e0;--ground:#fff;
--one:#0550ae;--two:#9a3c00;--good:#1a7f37}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--dim:#9198a1;--line:#3d444d;--ground:#0d1117;
--one:#6cb6ff;--two:#f69d50;--good:#57ab5a}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--ground);
max-width:70rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}
.decision{border-left:4px solid var(--two);padding:.5rem 1rem}.decision.promote{border-color:var(--good)}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--dim);padding:.3rem 0}
th,td{padding:.25rem .7rem;border-bottom:1px solid var(--line);text-align:right}
th:first-child,td:first-child{text-align:left}
.grid-of{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0;width:200px}
figcaption{overflow-wrap:anywhere;font-size:.85rem}
figure img{display:block;max-width:160px;height:auto}
svg{max-width:100%}svg text{font-size:9px;fill:var(--dim)}.grid,.axis{stroke:var(--line)}
path{fill:none;stroke-width:1.8}path.candidate{stroke:var(--one)}path.champion{stroke:var(--two);stroke-dasharray:4 3}
path.guide{stroke:var(--dim);stroke-dasharray:1 3}circle.candidate{fill:var(--one)}
rect.champion{fill:none;stroke:var(--two);stroke-width:1.5}.interval{stroke:var(--one);stroke-width:3;opacity:.5}
.dim{color:var(--dim)}
"""


@dataclass(frozen=True)
class WorstError:
    """A test image that is decided wrongly: its labels, and the wrongly decided ones with their probability."""

    row: int
    truth: tuple[str, ...]
    wrong: tuple[tuple[str, float], ...]


def worst_errors(scores: Scores, thresholds: Mapping[str, float]) -> list[WorstError]:
    """The images with the surest wrong decisions, the worst first, at most MAX_ERRORS. How wrong a decision is, is the
    distance of the probability from the truth.
    """
    wrong = scores.decided(thresholds) != scores.truth
    distance = np.where(wrong, np.abs(scores.truth - scores.probabilities), 0.0)
    rows = np.argsort(-distance.max(axis=1, initial=0.0), kind="stable")[:MAX_ERRORS]
    return [
        WorstError(
            int(row),
            tuple(scores.labels[index] for index in np.flatnonzero(scores.truth[row])),
            tuple(
                (scores.labels[index], float(scores.probabilities[row, index]))
                for index in np.argsort(-distance[row], kind="stable")
                if wrong[row, index]
            ),
        )
        for row in rows
        if wrong[row].any()
    ]


def thumbnail(content: bytes | ImageRejectedError) -> str:
    """An encoded image as a small JPEG's data URI; empty when it can't be read."""
    if isinstance(content, ImageRejectedError):
        return ""
    try:
        image = load_rgb(content)
    except ImageRejectedError:
        return ""
    image.thumbnail((THUMBNAIL, THUMBNAIL), Pillow.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=70)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def write_report(
    card: Mapping[str, Any],
    scores: Scores,
    champion: Scores | None,
    errors: Sequence[tuple[WorstError, str, str]],
) -> str:
    """The page, from the card (see step.py), both models' scores on the test images, and the worst errors, each with
    the image's address and its thumbnail.
    """
    title = f"Model {card['model']}, training {card['job']}"
    body = "".join(
        [
            f"<h1>{escape(title)}</h1>",
            _decision(card),
            _metrics(card),
            _labels(card),
            _curves(scores, champion),
            _calibration(card),
            _errors(errors),
            _lineage(card),
        ]
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def _decision(card: Mapping[str, Any]) -> str:
    decision = card["decision"]
    kind, word = ("decision promote", "Promote") if decision["promote"] else ("decision", "Keep the champion")
    champion = decision["champion_before"]
    against = f'<p class="dim">Compared with {escape(champion)}, on the same test images.</p>' if champion else ""
    left_out = decision.get("labels_left_out") or []
    note = f"<p>Not compared, as the test images are not labelled for them: {_list(left_out)}.</p>" if left_out else ""
    unknown = decision.get("labels_new_to_champion") or []
    note += f"<p>Unknown to the champion, so counted as misses: {_list(unknown)}.</p>" if unknown else ""
    return f'<section class="{kind}"><h2>{word}</h2><p>{escape(decision["reason"])}</p>{against}{note}</section>'


def _metrics(card: Mapping[str, Any]) -> str:
    champion = (card["champion"] or {}).get("metrics") or {}
    intervals = card["intervals"]["metrics"]
    rows = []
    for name, value in card["metrics"].items():
        if name in ("images", "labels"):
            continue
        interval = intervals.get(name)
        chart = interval_chart(f"{name} of the candidate", value, interval, champion.get(name)) if interval else ""
        other = f"{champion[name]:.3f}" if name in champion else "-"
        rows.append([escape(name.replace("_", " ")), f"{value:.3f}", _range(interval), other, chart])
    caption = (
        f"{card['metrics']['images']} test images. Intervals: {card['intervals']['confidence']:.0%}, bootstrap of"
        f" {card['intervals']['resamples']} samples. In the chart: ● candidate, ▢ champion."
    )
    return "<h2>Metrics</h2>" + _table(caption, ["metric", "candidate", "interval", "champion", "0 to 1"], rows)


def _labels(card: Mapping[str, Any]) -> str:
    champion = ((card["champion"] or {}).get("metrics") or {}).get("labels") or {}
    rows = []
    for label, each in card["metrics"]["labels"].items():
        before = champion.get(label) or {}
        interval = (card["intervals"]["labels"].get(label) or {}).get("average_precision")
        rows.append(
            [
                escape(label),
                str(each["support"]),
                f"{each['threshold']:.2f}",
                f"{each['precision']:.3f}",
                f"{each['recall']:.3f}",
                _versus(each["f1"], before.get("f1")),
                _versus(each["average_precision"], before.get("average_precision")),
                _range(interval),
            ]
        )
    tuning = card["threshold_tuning"]
    shrunk = "all are 0.5" if tuning["strength"] is None else f"shrinkage {tuning['strength']:g} positives"
    caption = (
        f"Thresholds: objective {tuning['objective']}, tuned on {tuning['validation_images']} validation images,"
        f" {shrunk}. In brackets: the champion."
    )
    head = ["label", "images", "threshold", "precision", "recall", "F1", "average precision", "its interval"]
    return "<h2>Labels</h2>" + _table(caption, head, rows)


def _curves(scores: Scores, champion: Scores | None) -> str:
    support = scores.truth.sum(axis=0)
    shown = [int(index) for index in np.argsort(-support, kind="stable")[:MAX_CURVES] if support[index]]
    figures = []
    for index in sorted(shown):
        label, truth = scores.labels[index], scores.truth[:, index]
        before = precision_recall_points(truth, champion.probabilities[:, index]) if champion else []
        points = precision_recall_points(truth, scores.probabilities[:, index])
        chart = curve_chart(f"Precision over recall of {label}", "recall", "precision", points, before)
        figures.append(f"<figure>{chart}<figcaption>{escape(label)}</figcaption></figure>")
    legend = '<p class="dim">Solid: candidate; dashed: champion.</p>'
    more = int((support > 0).sum()) - len(shown)
    note = f'<p class="dim">{more} rarer labels are not drawn.</p>' if more > 0 else ""
    return f'<h2>Precision and recall</h2>{legend}<div class="grid-of">{"".join(figures)}</div>{note}'


def _calibration(card: Mapping[str, Any]) -> str:
    candidate = card["calibration"]
    champion = (card["champion"] or {}).get("calibration")
    chart = calibration_chart("Observed share over predicted probability", _points(candidate), _points(champion))
    rows = [[f"{each['predicted']:.3f}", f"{each['observed']:.3f}", str(each["count"])] for each in candidate["bins"]]
    caption = f"Expected calibration error {candidate['ece']:.3f}: ten bins of equal width, all labels pooled."
    table = _table(caption, ["predicted", "observed", "decisions"], rows)
    return f'<h2>Calibration</h2><div class="grid-of">{chart}{table}</div>'


def _points(calibration: Mapping[str, Any] | None) -> list[tuple[float, float]]:
    return [(each["predicted"], each["observed"]) for each in calibration["bins"]] if calibration else []


def _errors(errors: Sequence[tuple[WorstError, str, str]]) -> str:
    figures = []
    for error, address, picture in errors:
        image = f'<img src="{escape(picture)}" alt="{escape(address)}">' if picture else "<p>no picture</p>"
        wrong = ", ".join(
            f"{'missed' if label in error.truth else 'wrongly'} {escape(label)} ({probability:.2f})"
            for label, probability in error.wrong
        )
        caption = f"{escape(address)}<br>is: {_list(error.truth) or 'none'}<br>{wrong}"
        figures.append(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")
    shown = f'<div class="grid-of">{"".join(figures)}</div>' if figures else "<p>No test image is decided wrongly.</p>"
    return f"<h2>Worst errors</h2>{shown}"


def _lineage(card: Mapping[str, Any]) -> str:
    preprocessing = ", ".join(f"{name} {value}" for name, value in card["preprocessing"].items())
    rows = [
        ["data set", escape(card["data_set"])],
        ["AutoML run", escape(card["run"])],
        ["preprocessing", f"{escape(preprocessing)} ({escape(card['preprocessing_source'])})"],
        ["ONNX file", f"{escape(card['onnx_check']['state'])}: {escape(card['onnx_check']['detail'])}"],
        ["MLflow model", escape(card["mlflow_model"] or "not found")],
    ]
    return "<h2>Where it comes from</h2>" + _table("", ["", ""], rows)


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are HTML already; the head and the caption are text."""
    top = "".join(f'<th scope="col">{escape(each)}</th>' for each in head) if any(head) else ""
    lines = "".join(
        f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in rest) + "</tr>"
        for first, *rest in rows
    )
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    header = f"<thead><tr>{top}</tr></thead>" if top else ""
    return f'<div class="scroll"><table>{title}{header}<tbody>{lines}</tbody></table></div>'


def _list(labels: Iterable[str]) -> str:
    return escape(", ".join(labels))


def _range(interval: Sequence[float] | None) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else "-"


def _versus(value: float | None, before: float | None) -> str:
    shown = "-" if value is None else f"{value:.3f}"
    return shown if before is None else f"{shown} ({before:.3f})"
