"""A whole sample set: its files, and that it takes a look at shapes to label it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from local.automl import efficientnet, features, head, metrics
from local.automl.dataset import Example
from local.sample import __main__ as command
from local.sample import make_sample_set
from local.sample.objects import LABELS
from local.sample.plan import plan_images
from local.sample.scene import draw_scene

COUNT, SEED = 150, 1


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sample")
    make_sample_set(out, COUNT, SEED)
    return out


@pytest.fixture(scope="module")
def rows(sample: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (sample / "labels.jsonl").read_text().splitlines()]


def test_the_label_file_lists_every_image_once(sample: Path, rows: list[dict[str, Any]]) -> None:
    assert len(rows) == COUNT
    assert {row["image"] for row in rows} == {f"images/{path.name}" for path in (sample / "images").iterdir()}
    assert all(row["labels"] == sorted(set(row["labels"])) for row in rows)
    assert all(row.keys() == {"image", "labels", "split"} for row in rows)


def test_images_are_jpegs_of_the_planned_scenes(sample: Path, rows: list[dict[str, Any]]) -> None:
    for planned in plan_images(COUNT, SEED)[:3]:
        row = rows[planned.number - 1]
        assert (row["labels"], row["split"]) == (planned.labels, planned.split)
        expected = draw_scene(np.random.default_rng([SEED, planned.number]), planned.objects)
        with Image.open(sample / row["image"]) as image:
            assert (image.format, image.size) == ("JPEG", expected.size)
            difference = np.asarray(image, np.float32) - np.asarray(expected, np.float32)
        assert np.abs(difference).mean() < 12


def test_the_command_refuses_too_small_a_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--out", str(tmp_path), "--count", "3"])
    assert "3 images are too few" in capsys.readouterr().err


def color_histogram(path: Path) -> NDArray[np.float32]:
    """128 bins of hue, saturation and value."""
    with Image.open(path) as image:
        hsv = np.asarray(image.convert("HSV").resize((128, 128))).astype(np.intp)
    bins = hsv[..., 0] // 32 * 16 + hsv[..., 1] // 64 * 4 + hsv[..., 2] // 64
    return np.sqrt(np.bincount(bins.ravel(), minlength=128)).astype(np.float32)


def backbone_features(sample: Path, rows: list[dict[str, Any]]) -> NDArray[np.float32]:
    session = features.open_session(efficientnet.build_model(None, normalize_inside=True).SerializeToString())
    examples = [Example(row["image"], "", row["image"], frozenset(row["labels"])) for row in rows]
    return features.extract(examples, lambda example: (sample / example.path).read_bytes(), session)


def test_shapes_tell_the_objects_apart_and_colours_do_not(sample: Path, rows: list[dict[str, Any]]) -> None:
    targets = np.array([[label in row["labels"] for label in LABELS] for row in rows])
    labelled = np.array([row["split"] == "labelled" for row in rows])

    def evaluate(values: NDArray[np.float32]) -> dict[str, float]:
        best: dict[str, float] = {}
        for strength in head.STRENGTHS:
            layer = head.train(values[labelled], targets[labelled], strength)
            scores = metrics.evaluate(targets[~labelled], values[~labelled] @ layer.weights + layer.bias)
            best = {name: max(value, best.get(name, 0)) for name, value in scores.items()}
        return best

    network = evaluate(backbone_features(sample, rows))
    colors = evaluate(np.stack([color_histogram(sample / row["image"]) for row in rows]))
    # Every image gets the same answer: the labels from the most frequent one on, whichever cut does best.
    ranked = np.argsort(-targets[labelled].sum(axis=0))
    constant = max(
        metrics.evaluate(targets[~labelled], np.tile(np.isin(np.arange(8), ranked[:n]) * 2.0 - 1, (45, 1)))["f1"]
        for n in range(1, 9)
    )
    chance = float(targets[~labelled].mean())

    assert network["average_precision_score_macro"] >= 0.8
    assert network["f1"] >= 0.75
    assert colors["average_precision_score_macro"] <= chance + 0.2
    assert colors["f1"] <= network["f1"] - 0.25
    assert constant <= network["f1"] - 0.25
