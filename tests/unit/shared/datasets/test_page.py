"""The export report as people see it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from shared.datasets import DataSetOptions, Findings, build_data_set, make_report
from shared.datasets.page import render
from shared.errors import ExportError
from shared.labels import LabelledImage, Problems
from shared.locations import Datastores

EVIL = "<script>alert('x')</script>\"&"
VOID = {"meta", "br", "!doctype"}


class Checked(HTMLParser):
    """Keeps the open elements, all addresses and all text; fails when elements do not nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.addresses: list[str | None] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.addresses += [value for name, value in attrs if name in {"src", "href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> Checked:
    page = Checked()
    page.feed(html)
    page.close()
    assert page.open == []
    return page


def images(count: int) -> list[LabelledImage]:
    labels = [(EVIL,), (EVIL, "b"), ("b",)]
    return [LabelledImage(f"AmlDatastore://photos/{n}{EVIL}.jpg", labels[n % 3], 640, 480) for n in range(count)]


def report_of(count: int, **options: object) -> dict[str, object]:
    findings = Findings()
    problems = Problems()
    problems.add(EVIL, f"e.csv:{EVIL}", EVIL, lost=1)
    stores = Datastores({"photos": "photos"}, "S", "R", "W")
    try:
        rows = [*images(count), *images(3)]
        build_data_set(rows, EVIL, stores, "https://a.blob.core.windows.net", DataSetOptions(**options), findings)  # type: ignore[arg-type]
        state, reasons = "training", []
    except ExportError as refusal:
        state, reasons = "refused", refusal.reasons
    findings.add_rows(problems)
    return make_report(f"photos/{EVIL}", findings, state=state, job="train-1", problems=reasons)


def test_the_page_holds_together_needs_nothing_else_and_runs_nothing() -> None:
    page = read(render(json.loads(json.dumps(report_of(60)))))
    assert page.addresses == []
    assert "script" not in page.names
    assert {"svg", "title", "table", "main", "h1"} <= page.names
    assert EVIL in page.text
    assert "url(" not in render(report_of(60))


def test_the_page_tells_figures_options_and_warnings() -> None:
    report = report_of(60)
    text = re.sub(r"\s+", " ", read(render(report)).text)
    for told in (
        "training",
        "train-1",
        "up to 640 px",
        "train_ratio",
        "3 images have several rows",
        "Images that have both",
    ):
        assert told in text
    assert report["labels"]
    assert report["problems"] == []


def test_a_refusal_tells_its_reasons_what_to_do_and_what_was_found_so_far() -> None:
    report = report_of(5)
    page = read(render(report))
    assert report["state"] == "refused"
    assert report["what_to_do"] == ["label more images, and export again"]
    assert "label more images, and export again" in page.text
    assert "at least 10 images to train on" in page.text
    assert report["rows"]["read"] == 8  # type: ignore[index]


def test_a_refusal_before_anything_was_read_is_told_too() -> None:
    report = make_report("c/e", Findings(), state="refused", problems=["is empty"])
    assert "is empty" in read(render(report)).text


@pytest.mark.parametrize("count", [1, 700])
def test_very_many_labels_are_drawn_in_part_and_listed_in_full(count: int) -> None:
    counts = dict.fromkeys(("train", "validation", "test"), 1)
    labels = {f"label {n:04}": counts for n in range(count)}
    html = render({**make_report("e", Findings(), state="training"), "labels": labels})
    assert html.count('class="train" x=') == min(count, 50)
    assert html.count("<td>label ") == count
