"""The report: one page that needs nothing else, and shows what came from outside as text."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.register_model.charts import MAX_POINTS, precision_recall_points
from components.register_model.evaluation import Scores, calibration, evaluate
from components.register_model.report import (
    MAX_CURVES,
    MAX_ERRORS,
    THUMBNAIL,
    WorstError,
    thumbnail,
    worst_errors,
    write_report,
)
from components.register_model.resampling import intervals, resample
from shared.errors import ImageRejectedError
from tests.support import plain_jpeg
from tests.unit.components.support import drawn, scores

EVIL = "<script>alert('x')</script>\"&"
VOID = {"meta", "img", "br", "line", "circle", "rect", "path"}


class Page(HTMLParser):
    """Every element with its attributes and the text, after a check that all elements close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def card(candidate: Scores, champion: Scores | None, **changes: Any) -> dict[str, Any]:
    """A card as step.py writes it."""
    opponent = None
    if champion:
        opponent = {"id": "multilabel:1", "metrics": evaluate(champion, {}), "calibration": calibration(champion)}
    made: dict[str, Any] = {
        "model": "multilabel",
        "job": "train-1",
        "run": "run-1",
        "data_set": "data-1",
        "threshold_tuning": {"objective": "f1", "validation_images": 30, "strength": 50.0},
        "preprocessing": {"resize": 256, "normalise": True},
        "preprocessing_source": "as the training was told",
        "onnx_check": {"state": "not checked", "detail": "No module named 'mlflow'"},
        "mlflow_model": None,
        "metrics": evaluate(candidate, {}),
        "calibration": calibration(candidate),
        "intervals": intervals(resample({"one": (candidate, {})}, 1)["one"], candidate),
        "champion": opponent,
        "decision": {
            "promote": bool(champion),
            "reason": "better: macro_f1 0.9 against the champion's 0.8",
            "champion_before": "multilabel:1" if champion else None,
            "labels_left_out": [],
            "labels_new_to_champion": [],
        },
    }
    return {**made, **changes}


def page(candidate: Scores, champion: Scores | None = None, **changes: Any) -> str:
    errors = [(error, f"images/{error.row}.jpg", thumbnail(plain_jpeg())) for error in worst_errors(candidate, {})]
    return write_report(card(candidate, champion, **changes), candidate, champion, errors)


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing() -> None:
    text = page(drawn(60), drawn(60, model=1))
    found = Page(text)
    assert {"script", "link", "iframe", "object"}.isdisjoint(name for name, _ in found.elements)
    for name, attributes in found.elements:
        assert not any(each.startswith("on") for each in attributes), name
        for link in ("src", "href", "xlink:href", "action", "srcset"):
            assert attributes.get(link, "data:image/jpeg").startswith("data:image/jpeg")
    assert "url(" not in text
    assert "@import" not in text
    (policy,) = [each["content"] for each in found.all("meta") if "http-equiv" in each]
    assert policy.startswith("default-src 'none';")


def test_what_comes_from_outside_is_shown_as_text() -> None:
    each = drawn(40, labels=2)
    named = Scores((EVIL, "plain"), each.truth, each.probabilities)
    other = Scores(named.labels, each.truth, 1 - each.probabilities)
    made = card(named, other, model=EVIL, job=EVIL, data_set=EVIL, run=EVIL, preprocessing_source=EVIL)
    made["decision"] = {**made["decision"], "reason": EVIL, "champion_before": EVIL, "labels_left_out": [EVIL]}
    made["onnx_check"] = {"state": EVIL, "detail": EVIL}
    made["mlflow_model"] = EVIL
    text = write_report(made, named, other, [(WorstError(0, (EVIL,), ((EVIL, 0.1),)), EVIL, "")])
    assert "<script" not in text
    assert Page(text).text.count(EVIL) >= 12


def test_the_page_can_be_read_by_everyone() -> None:
    text = page(drawn(60), drawn(60, model=1))
    found = Page(text)
    assert found.all("html")[0]["lang"] == "en"
    assert "prefers-color-scheme:dark" in text
    assert all(each.get("role") == "img" and each.get("aria-label") for each in found.all("svg"))
    assert all(each.get("alt") for each in found.all("img"))
    assert all(each.get("scope") in ("row", "col") for each in found.all("th"))


def test_the_page_tells_the_decision_the_metrics_and_every_label() -> None:
    candidate, champion = drawn(60), drawn(60, model=1)
    found = Page(page(candidate, champion))
    metrics = evaluate(candidate, {})
    assert "Promote" in found.text
    assert "better: macro_f1 0.9 against the champion's 0.8" in found.text
    assert "Compared with multilabel:1" in found.text
    assert f"{metrics['macro_average_precision']:.3f}" in found.text
    assert f"{evaluate(champion, {})['iou']:.3f}" in found.text
    assert "not checked: No module named 'mlflow'" in found.text
    titles = [each["aria-label"] for each in found.all("svg")]
    for label in candidate.labels:
        assert f"Precision over recall of {label}" in titles


def test_without_a_champion_there_is_nothing_of_it() -> None:
    text = page(drawn(60))
    assert "Compared with" not in text
    assert 'class="champion"' not in text


def test_only_the_most_frequent_of_many_labels_have_curves() -> None:
    generator = np.random.default_rng(0)
    truth = generator.random((80, 100)) < np.linspace(0.05, 0.6, 100)
    many = Scores(tuple(f"label {each:03}" for each in range(100)), truth, generator.random((80, 100)))
    found = Page(page(many))
    curves = [each for each in found.all("svg") if each["aria-label"].startswith("Precision over recall")]
    assert len(curves) == MAX_CURVES
    assert f"{(truth.any(axis=0)).sum() - MAX_CURVES} rarer labels are not drawn" in found.text
    assert "label 000" in found.text, "but all are in the table"


def test_the_surest_mistakes_come_first() -> None:
    four = scores([[1, 0], [0, 0], [1, 1], [0, 1]], [[0.3, 0.2], [0.95, 0.6], [0.9, 0.8], [0.1, 0.45]])
    first, second, third = worst_errors(four, {})
    assert (first.row, first.truth, first.wrong) == (1, (), (("a", 0.95), ("b", 0.6)))
    assert (second.row, second.truth, second.wrong) == (0, ("a",), (("a", 0.3),))
    assert third.row == 3
    assert len(worst_errors(drawn(200, quality=0), {})) == MAX_ERRORS


def test_a_model_without_a_mistake_has_no_errors_to_show() -> None:
    right = scores([[1, 0], [0, 1]], [[0.9, 0.1], [0.1, 0.9]])
    assert worst_errors(right, {}) == []
    assert "No test image is decided wrongly." in page(right)


@pytest.mark.parametrize("size", [(4000, 3000), (30, 20)])
def test_a_thumbnail_is_a_small_picture_in_the_page(size: tuple[int, int]) -> None:
    kind, content = thumbnail(plain_jpeg(size=size)).split(",")
    assert kind == "data:image/jpeg;base64"
    image = Image.open(io.BytesIO(base64.b64decode(content)))
    assert image.format == "JPEG"
    assert max(image.size) == min(THUMBNAIL, max(size))


def test_an_image_that_can_not_be_read_has_no_thumbnail() -> None:
    assert thumbnail(ImageRejectedError("deleted")) == thumbnail(b"no image") == ""
    error = (WorstError(0, (), (("a", 0.9),)), "gone.jpg", "")
    assert "no picture" in write_report(card(drawn(30), None), drawn(30), None, [error])


def test_a_curve_runs_from_no_recall_to_all_of_it_in_few_points() -> None:
    many = drawn(2000, labels=1)
    points = precision_recall_points(many.truth[:, 0], many.probabilities[:, 0])
    assert len(points) == MAX_POINTS
    assert points[0] == (0.0, 1.0)
    assert points[-1][0] == 1.0
    assert points[-1][1] == pytest.approx(many.truth.mean())
    assert points == sorted(points, key=lambda point: point[0])
