"""When a candidate takes over."""

from __future__ import annotations

import numpy as np
import pytest

from components.register_model import resampling
from components.register_model.evaluation import Scores
from components.register_model.gate import Decision, Gate
from tests.unit.components.support import drawn, measured, scores


def decide(gate: Gate, candidate: Scores, champion: Scores | None, blockers: tuple[str, ...] = ()) -> Decision:
    models = measured(candidate=candidate, champion=champion) if champion else measured(candidate=candidate)
    return gate.decide(candidate, models["candidate"], models.get("champion"), blockers)


def worse(each: Scores, label: int) -> Scores:
    """The same model, but the wrong way round for one label."""
    probabilities = each.probabilities.copy()
    probabilities[:, label] = 1 - probabilities[:, label]
    return Scores(each.labels, each.truth, probabilities)


GATE = Gate("macro_average_precision")


@pytest.fixture
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that decide many times."""
    monkeypatch.setattr(resampling, "RESAMPLES", 200)


def test_the_first_model_takes_over_however_few_the_images() -> None:
    decision = decide(GATE, scores([[1, 0]], [[0.1, 0.9]]), None)
    assert decision == Decision(True, "there was no champion", {})


def test_a_surely_better_model_takes_over() -> None:
    decision = decide(GATE, drawn(200, quality=4), drawn(200, quality=1, model=1))
    assert decision.promote
    assert decision.reason.startswith("better: macro_average_precision 0.")
    numbers = decision.numbers
    assert 0 < numbers["gain_at_least"] < numbers["gain"]
    assert numbers["gain"] == pytest.approx(numbers["candidate"] - numbers["champion"], abs=1e-5)
    assert (numbers["images"], numbers["confidence"], numbers["collapsed"]) == (200, 0.9, [])


@pytest.mark.parametrize("size", [10, 15, 20])
def test_a_clearly_better_model_takes_over_even_on_few_test_images(size: int, few_samples: None) -> None:
    """As after a first export with wrong labels: on the demo's test split of ten to twenty images."""
    promoted = [
        decide(GATE, drawn(size, quality=5, seed=seed), drawn(size, quality=0, seed=seed, model=1)).promote
        for seed in range(20)
    ]
    assert sum(promoted) >= 19


@pytest.mark.parametrize("size", [10, 20, 50])
def test_an_equally_good_model_seldom_takes_over(size: int, few_samples: None) -> None:
    """One in ten is what the level of 90 % allows."""
    promoted = [
        decide(GATE, drawn(size, quality=2, seed=seed), drawn(size, quality=2, seed=seed, model=1)).promote
        for seed in range(40)
    ]
    assert sum(promoted) <= 9


def test_a_gain_within_the_noise_is_none() -> None:
    candidate = drawn(30, quality=2.0)
    champion = next(
        each
        for model in range(1, 100)
        if 0 < decide(GATE, candidate, each := drawn(30, quality=2.0, model=model)).numbers["gain"] < 0.02
    )
    decision = decide(GATE, candidate, champion)
    assert not decision.promote
    assert "the gain is within the noise" in decision.reason
    assert "on 30 test images the gain may be as little as -0." in decision.reason


def test_the_same_model_again_does_not_take_over() -> None:
    decision = decide(GATE, drawn(50), drawn(50))
    assert not decision.promote
    assert decision.reason.startswith("not better by more than 0: macro_average_precision 0.")
    assert decision.numbers["gain"] == decision.numbers["gain_at_least"] == 0


def test_a_gain_below_the_least_is_too_small() -> None:
    models = drawn(300, quality=4), drawn(300, quality=2, model=1)
    gain = decide(GATE, *models).numbers["gain"]
    assert decide(Gate("macro_average_precision", gain - 0.01), *models).promote
    assert not decide(Gate("macro_average_precision", gain + 0.01), *models).promote


def test_on_one_test_image_no_champion_is_replaced() -> None:
    decision = decide(Gate("macro_f1"), scores([[1, 0]], [[0.9, 0.1]]), scores([[1, 0]], [[0.1, 0.9]]))
    assert not decision.promote
    assert "on 1 test images the gain may be anything" in decision.reason
    assert decision.numbers["gain_at_least"] is None


@pytest.mark.parametrize("metric", ["micro_average_precision", "macro_f1", "micro_f1", "iou"])
def test_the_metric_that_decides_is_a_setting(metric: str) -> None:
    better, poor = drawn(200, quality=4), drawn(200, quality=0.5, model=1)
    assert decide(Gate(metric), better, poor).reason.startswith(f"better: {metric} ")
    assert not decide(Gate(metric), poor, better).promote


def test_a_label_that_collapses_keeps_the_champion_though_the_mean_is_better() -> None:
    champion = drawn(200, labels=8, quality=1.0, model=1)
    sound = drawn(200, labels=8, quality=6.0)
    candidate = worse(sound, 3)
    assert decide(GATE, sound, champion).promote
    decision = decide(GATE, candidate, champion)
    assert decision.numbers["gain"] > 0.1
    assert not decision.promote
    assert decision.reason.startswith("label 'd' collapses: average precision 0.")
    (collapsed,) = decision.numbers["collapsed"]
    assert (collapsed["label"], collapsed["metric"]) == ("d", "average_precision")
    assert collapsed["before"] > collapsed["after"] + 0.2
    assert collapsed["support"] == candidate.truth[:, 3].sum()


def test_a_label_that_is_no_longer_found_at_all_collapses_by_its_f1() -> None:
    """Its images are still ranked first, but far below the threshold."""
    champion, candidate = drawn(200, quality=5.0, model=1), drawn(200, quality=6.0)
    probabilities = candidate.probabilities.copy()
    probabilities[:, 0] *= 0.4
    decision = decide(GATE, Scores(candidate.labels, candidate.truth, probabilities), champion)
    assert [(each["label"], each["metric"]) for each in decision.numbers["collapsed"]] == [("a", "f1")]


def test_a_label_on_few_images_can_not_collapse() -> None:
    truth = np.zeros((60, 2), dtype=bool)
    truth[:4, 0], truth[20:50, 1] = True, True
    champion = Scores(("rare", "common"), truth, np.where(truth, 0.9, 0.1))
    candidate = worse(champion, 0)
    assert decide(GATE, candidate, champion).numbers["collapsed"] == []
    truth[4:8, 0] = True
    champion = Scores(("rare", "common"), truth, np.where(truth, 0.9, 0.1))
    assert len(decide(GATE, worse(champion, 0), champion).numbers["collapsed"]) == 1


def test_labels_seldom_seem_to_collapse_by_chance(few_samples: None) -> None:
    """Ten labels on sixty images, two equally good models, thirty times."""
    found = sum(
        bool(
            decide(
                GATE,
                drawn(60, labels=10, quality=2, share=0.15, seed=seed),
                drawn(60, labels=10, quality=2, share=0.15, seed=seed, model=1),
            ).numbers["collapsed"]
        )
        for seed in range(30)
    )
    assert found <= 2


def test_what_else_speaks_against_it_blocks_even_the_first_model() -> None:
    decision = decide(GATE, drawn(30), None, ("the ONNX file differs",))
    assert decision == Decision(False, "the ONNX file differs", {})


def test_always_promotes_and_says_in_spite_of_what() -> None:
    gate = Gate("macro_average_precision", always=True)
    decision = decide(gate, drawn(50, quality=0, model=1), drawn(50, quality=4), ("the ONNX file differs",))
    assert decision.promote
    assert decision.reason.startswith("PROMOTE_ALWAYS is set, in spite of: the ONNX file differs; ")
    assert "not better by more than 0" in decision.reason
    first = decide(gate, drawn(50), None)
    assert (first.promote, first.reason) == (True, "PROMOTE_ALWAYS is set; there was no champion")
