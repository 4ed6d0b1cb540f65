"""Exports as nobody should write them, on their way to a data set."""

from __future__ import annotations

import io
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.datasets import DataSet, DataSetOptions, Findings, build_data_set, catalogue, make_report, rows, split
from shared.datasets.page import render
from shared.errors import ExportError
from shared.labels import ExportFile, open_export
from shared.locations import Datastores

STORES = Datastores({"photos": "photos"}, "S", "R", "W")
ACCOUNT = "https://acct.blob.core.windows.net"
MESSY = ["cat", "Cat", "CAT ", "dog", "dog;cat", "do g", "do  g", "é", "e\u0301", "a,b", "a", "a|b", "['a','cat']", ""]
ROWS = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from(MESSY), st.sampled_from(["1", "1", "0.4"])), min_size=15, max_size=60
)
URLS = [
    *("https://[", "https://[]/photos/x", "https://[::1/photos/x", "https://acct.blob.core.windows.net:x/photos/a.jpg"),
    *("https://acct.blob.core.windows.net\N{FULLWIDTH SOLIDUS}x/photos/a.jpg", f"{ACCOUNT}/photos/%00%ff.jpg"),
    *("azureml://datastores/photos/paths/../../x", "AmlDatastore://photos//x", "AmlDatastore://photos/%2e%2e/x"),
]
PIECES = [*URLS, '"', "\\", "{", "}", "[", "]", ",", "\n", "\0", "NaN", "1e999", "-1", "9" * 400, "\\ud800", "null"]


def built(content: bytes, findings: Findings, **options: object) -> DataSet | None:
    """The data set that a file's export makes; None when it is refused."""
    try:
        export = open_export("e", [ExportFile("e/x", len(content), lambda: io.BytesIO(content))])
        chosen = DataSetOptions(min_images_per_label=1, **options)  # type: ignore[arg-type]
        return build_data_set(export, "e", STORES, ACCOUNT, chosen, findings, resolve=export.resolve)
    except ExportError:
        return None


def seeds() -> list[str]:
    paths = [f"AmlDatastore://photos/{number}.jpg" for number in range(15)]
    images = [{"id": number, "coco_url": path, "width": 8.0, "height": 9} for number, path in enumerate(paths)]
    annotations = [{"image_id": number, "category_id": number % 2} for number in range(15)]
    coco = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}],
    }
    tagged = [{"originalImageUri": f"{ACCOUNT}/photos/{n}", "tags": [{"tagName": "a"}], "width": n} for n in range(15)]
    return [
        json.dumps(coco),
        json.dumps(tagged),
        "".join(json.dumps({"image_url": path, "label": ["a", "b"], "image_width": 7}) + "\n" for path in paths),
        "Url,Label,Confidence,Width\n" + "".join(f'{path},"a;b",1,20px\n' for path in paths),
    ]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(seeds()),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 30), st.sampled_from(PIECES)), max_size=5),
)
def test_a_damaged_export_becomes_a_data_set_or_is_refused_and_is_reported_either_way(
    content: str, damages: list[tuple[int, int, str]]
) -> None:
    for place, length, piece in damages:
        start = place % (len(content) + 1)
        content = content[:start] + piece + content[start + length :]
    findings = Findings()
    made = built(content.encode(errors="surrogatepass"), findings)
    for example in (example for part in made.splits.values() for example in part) if made else ():
        assert str(example.location).encode()
        assert 0 <= example.width < 1_000_000
    assert render(make_report("e", findings, state="refused")).encode()


@settings(max_examples=80, deadline=None)
@given(ROWS, st.randoms(use_true_random=False), st.sampled_from(["skip", "negative"]), st.sampled_from([0.0, 0.5]))
def test_rows_in_another_order_are_the_same_data_set(
    given_rows: list[tuple[int, str, str]], chance: random.Random, unlabelled: str, confidence: float
) -> None:
    def made(order: list[tuple[int, str, str]]) -> object:
        lines = [f'AmlDatastore://photos/{number}.jpg,"{label}",{sure}\n' for number, label, sure in order]
        content = ("Url,Label,Confidence\n" + "".join(lines)).encode()
        data_set = built(content, Findings(), unlabelled=unlabelled, min_label_confidence=confidence)
        return data_set and (data_set.id, data_set.labels, data_set.left_out)

    assert made(given_rows) == made(chance.sample(given_rows, len(given_rows)))


@pytest.mark.parametrize("piece", [1, 7])
def test_how_many_rows_are_looked_at_at_once_does_not_matter(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    lines = [f'AmlDatastore://photos/{number * 7 % 40}.jpg,"{MESSY[number % len(MESSY)]}"\n' for number in range(90)]
    content = ("Url,Label\n" + "".join(lines)).encode()
    whole, pieces = Findings(), Findings()
    expected = built(content, whole)
    for module in (catalogue, rows, split):
        monkeypatch.setattr(module, "_PIECE", piece)
    found = built(content, pieces)
    assert expected
    assert found
    assert (found.id, found.labels, found.warnings) == (expected.id, expected.labels, expected.warnings)
    assert pieces.figures == whole.figures
    assert {name: list(part) for name, part in found.splits.items()} == {
        name: list(part) for name, part in expected.splits.items()
    }
