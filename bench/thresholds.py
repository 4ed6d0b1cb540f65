"""`python -m bench.thresholds [folder]`: what tuned thresholds are worth on the aquarium, in macro-F1 against 0.5.

Photographs are split by burst (file numbers less than four apart), so that no frame of a burst is on two sides; the
head is trained on the frozen backbone's features as the local AutoML does, thresholds are tuned on the validation
images, and all is measured on the test images. Five seeds are the project's measure, more tell how much of it is luck.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.verdict import verdict
from components.register_model.evaluation import Scores, evaluate
from components.register_model.thresholds import tune_thresholds
from local.automl import efficientnet, features, head
from local.automl.dataset import Example, label_names, target_matrix

AQUARIUM = Path(__file__).resolve().parents[2] / "shared" / "data" / "aquarium"
SEEDS = 5
MIN_PRECISION = 0.75
TRAIN_SHARE = 0.6


def read(folder: Path) -> list[Example]:
    """The photographs in the order of their numbers."""
    rows = [json.loads(line) for line in (folder / "labels.jsonl").read_text(encoding="utf-8").splitlines()]
    examples = [Example(row["image"], "images", row["image"], frozenset(row["labels"])) for row in rows]
    return sorted(examples, key=lambda example: number(example.path))


def number(path: str) -> int:
    """The number in a photograph's name."""
    return int(re.findall(r"\d+", path)[0])


def bursts(examples: list[Example]) -> NDArray[np.intp]:
    """The burst that each photograph belongs to."""
    steps = np.diff([number(example.path) for example in examples])
    return np.concatenate([[0], np.cumsum(steps > 3)])


def split(groups: NDArray[np.intp], seed: int) -> NDArray[np.intp]:
    """0 train, 1 validation, 2 test for each photograph: whole bursts, drawn with the seed."""
    order = np.random.default_rng(seed).permutation(groups.max() + 1)
    dealt = np.bincount(groups)[order].cumsum() / len(groups)
    side = np.zeros(len(order), dtype=np.intp)
    side[order] = np.searchsorted([TRAIN_SHARE, (1 + TRAIN_SHARE) / 2], dealt)
    result: NDArray[np.intp] = side[groups]
    return result


def measure(folder: Path, seeds: int) -> list[tuple[float, float, float]]:
    """For as many splits: mean average precision, macro-F1 at 0.5, and at the tuned thresholds, on the test images."""
    examples = read(folder)
    labels = label_names(examples)
    truth = target_matrix(examples, labels)
    session = features.open_session(efficientnet.build_model(None, normalize_inside=True).SerializeToString())
    pooled = features.extract(examples, lambda example: (folder / example.path).read_bytes(), session)
    groups = bursts(examples)
    found: list[tuple[float, float, float]] = []
    for seed in itertools.count(1):
        if len(found) == seeds:
            break
        side = split(groups, seed)
        train, validation, test = (side == each for each in range(3))
        if not all(truth[each].any(axis=0).all() for each in (train, test)):
            continue  # A label without a training or a test image measures nothing.
        addresses = [example.url for example, kept in zip(examples, train, strict=True) if kept]
        strength = head.choose_strength(pooled[train], truth[train], addresses)
        layer = head.train(pooled[train], truth[train], strength)
        probabilities = 1 / (1 + np.exp(-(pooled @ layer.weights + layer.bias).astype(np.float64)))
        tuned = tune_thresholds(Scores(tuple(labels), truth[validation], probabilities[validation])).thresholds
        scores = Scores(tuple(labels), truth[test], probabilities[test])
        plain, better = evaluate(scores, {}), evaluate(scores, tuned)
        found.append((plain["macro_average_precision"], plain["macro_f1"], better["macro_f1"]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="thresholds")
    parser.add_argument("folder", nargs="?", type=Path, default=AQUARIUM)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    given = parser.parse_args()
    found = np.array(measure(given.folder, given.seeds))
    for precision, plain, tuned in found:
        print(f"mAP {precision:.3f}   macro-F1 at 0.5 {plain:.3f}   tuned {tuned:.3f}   {tuned - plain:+.3f}")
    difference = found[:, 2] - found[:, 1]
    error = difference.std(ddof=1) / len(difference) ** 0.5
    precision, gain = found[:, 0].mean(), difference.mean()
    print(
        f"mAP {precision:.3f} (at least {MIN_PRECISION})   tuned - 0.5: {gain:+.4f} ± {error:.4f} (at least 0; "
        f"{len(found)} splits)   {verdict(within=bool(precision >= MIN_PRECISION and gain >= 0))}"
    )


if __name__ == "__main__":
    main()
