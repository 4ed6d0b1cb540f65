"""Thresholds: tuned where there is evidence, left alone where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score

from bench.thresholds import AQUARIUM, measure
from components.register_model import thresholds
from components.register_model.evaluation import Floats, Scores
from components.register_model.thresholds import Objective, tune_thresholds
from tests.unit.components.support import drawn, scores, sigmoid


def shifted(size: int, *, by: float, seed: int = 0, labels: int = 3, share: float = 0.3) -> Scores:
    """A model whose probabilities are all too low (`by` < 0) or too high: the best threshold is not 0.5."""
    each = drawn(size, quality=3.0, seed=seed, labels=labels, share=share)
    logits = np.log(each.probabilities / (1 - each.probabilities))
    return Scores(each.labels, each.truth, sigmoid(logits + by))


def macro_f1(each: Scores, limits: dict[str, float] | float) -> float:
    limit: Floats | float = np.array([limits[label] for label in each.labels]) if isinstance(limits, dict) else limits
    return float(f1_score(each.truth, each.probabilities >= limit, average="macro", zero_division=0.0))


def test_with_much_evidence_thresholds_are_the_best_ones() -> None:
    tuned = tune_thresholds(shifted(2000, by=-2.0))
    test = shifted(4000, by=-2.0, seed=1)
    best = max(macro_f1(test, limit) for limit in np.linspace(0.02, 0.9, 45))
    assert macro_f1(test, dict(tuned.thresholds)) > best - 0.01
    assert macro_f1(test, dict(tuned.thresholds)) > macro_f1(test, 0.5) + 0.1
    assert tuned.strength is not None


def test_each_label_gets_its_own() -> None:
    low, high = shifted(3000, by=-2.0, labels=1), shifted(3000, by=2.0, labels=1, seed=1)
    both = Scores(
        ("low", "high"), np.hstack([low.truth, high.truth]), np.hstack([low.probabilities, high.probabilities])
    )
    tuned = tune_thresholds(both).thresholds
    assert tuned["low"] < 0.3
    assert tuned["high"] > 0.6


@pytest.mark.parametrize("size", [1, 4, 9])
def test_with_fewer_than_two_images_a_fold_all_stay_at_the_default(size: int) -> None:
    tuned = tune_thresholds(shifted(size, by=-3.0, share=0.6))
    assert set(tuned.thresholds.values()) == {0.5}
    assert (tuned.strength, tuned.cross_validation) == (None, {})


def test_without_any_label_all_stay_at_the_default() -> None:
    assert tune_thresholds(scores([[0, 0]] * 20, [[0.9, 0.9]] * 20)).thresholds == {"a": 0.5, "b": 0.5}


def test_a_label_with_few_positives_stays_near_the_shared_threshold() -> None:
    many = shifted(1000, by=-2.0, labels=3)
    truth, probabilities = many.truth.copy(), many.probabilities.copy()
    # Two images with the label c, both at 0.9: on its own it would be decided at any threshold up to that.
    truth[:, 2], probabilities[:, 2] = False, 0.01
    truth[[10, 500], 2], probabilities[[10, 500], 2] = True, 0.9
    tuned = tune_thresholds(Scores(many.labels, truth, probabilities)).thresholds
    shared = (tuned["a"] + tuned["b"]) / 2
    assert abs(tuned["c"] - shared) < 0.1


def test_a_label_without_positives_takes_the_shared_threshold() -> None:
    many = shifted(1000, by=-2.0)
    truth = many.truth.copy()
    truth[:, 2] = False
    tuned = tune_thresholds(Scores(many.labels, truth, many.probabilities)).thresholds
    assert min(tuned["a"], tuned["b"]) - 0.05 <= tuned["c"] < 0.4


def test_where_tuning_does_not_help_nothing_is_tuned() -> None:
    """On fifteen images of a model that is right at 0.5, whatever is tuned is noise."""
    left = [tune_thresholds(drawn(15, quality=6.0, seed=seed)).strength for seed in range(10)]
    assert left.count(None) >= 7


def test_over_many_small_sets_tuned_thresholds_are_not_worse_than_the_default() -> None:
    """Thirty validation images, as the aquarium has; free tuning loses there, and 0.5 is the best one."""
    generator = np.random.default_rng(5)
    tuned, free = [], []
    for seed in range(25):
        kind = {"quality": 2.5, "labels": 7, "share": 0.2}
        validation, test = drawn(30, seed=2 * seed, **kind), drawn(2000, seed=2 * seed + 1, **kind)  # type: ignore[arg-type]
        fitted = thresholds._Fitted.to(validation.truth, validation.probabilities, Objective(), generator)
        before = macro_f1(test, 0.5)
        free.append(macro_f1(test, dict(zip(test.labels, fitted.own.tolist(), strict=True))) - before)
        tuned.append(macro_f1(test, dict(tune_thresholds(validation).thresholds)) - before)
    assert np.mean(tuned) >= -0.002
    assert np.mean(tuned) > np.mean(free)


@pytest.mark.skipif(not AQUARIUM.exists(), reason="the photographs are not part of the repository")
def test_on_photographs_tuned_thresholds_are_not_worse_than_the_default() -> None:
    """Five splits by burst, with some thirty validation images each."""
    precision, plain, tuned = np.mean(measure(AQUARIUM, seeds=5), axis=0)
    assert precision >= 0.75
    assert tuned >= plain


def test_a_floor_of_precision_is_kept_on_new_images() -> None:
    objective = Objective("precision", 0.9)
    test = shifted(4000, by=1.0, seed=1)
    tuned = tune_thresholds(shifted(2000, by=1.0), objective).thresholds
    decided = test.probabilities >= np.array([tuned[label] for label in test.labels])
    assert precision_score(test.truth, decided, average=None).min() > 0.87
    assert recall_score(test.truth, decided, average=None).min() > 0.3, "and not by deciding nothing"
    plain = precision_score(test.truth, test.probabilities >= 0.5, average=None)
    assert plain.max() < 0.87, "which 0.5 does not"


def test_a_higher_floor_gives_higher_thresholds() -> None:
    validation = shifted(1500, by=0.0)
    low, high = (tune_thresholds(validation, Objective("precision", floor)).thresholds for floor in (0.7, 0.95))
    assert all(low[label] < high[label] for label in validation.labels)


def test_utility_is_f1_or_recall_at_the_floor() -> None:
    found, decided, positives = (np.array(each, dtype=np.float64) for each in ([6, 6, 0], [8, 10, 0], [12, 12, 12]))
    np.testing.assert_allclose(Objective("f1").utility(found, decided, positives), [0.6, 12 / 22, 0])
    # Precision 0.75, 0.6, and nothing decided; recall 0.5.
    np.testing.assert_allclose(Objective("precision", 0.75).utility(found, decided, positives), [0.5, -0.15, 0])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(10, 40), st.floats(0.05, 0.6), st.sampled_from(thresholds.OBJECTIVES))
def test_thresholds_lie_between_what_was_tried_and_the_same_seed_gives_the_same(
    seed: int, size: int, share: float, objective: str
) -> None:
    validation = drawn(size, seed=seed, share=share)
    tuned = tune_thresholds(validation, Objective(objective), seed)
    assert all(0.05 <= each <= 0.95 for each in tuned.thresholds.values())
    assert tuned == tune_thresholds(validation, Objective(objective), seed)


def test_a_large_set_is_tuned_on_a_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thresholds, "MAX_IMAGES", 400)
    tuned = tune_thresholds(shifted(5000, by=-2.0)).thresholds
    assert all(each < 0.3 for each in tuned.values())


def test_the_card_tells_how_thresholds_were_tuned() -> None:
    objective = Objective("precision", 0.8)
    told = tune_thresholds(shifted(200, by=-1.0), objective).to_json(objective, 200)
    assert (told["objective"], told["min_precision"], told["validation_images"]) == ("precision", 0.8, 200)
    assert list(told["cross_validation"]) == ["0.5 for all", "100", "50", "20"]
    assert "min_precision" not in tune_thresholds(drawn(20)).to_json(Objective(), 20)
