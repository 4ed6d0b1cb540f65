"""The logistic regression and the head built on it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from local.automl import head
from local.automl.logistic import Coefficients, Problems, balanced_weights, fit


def small_problem() -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    i = np.arange(12)
    x = np.stack([np.sin(i), np.cos(2 * i), (i % 5) - 2.0], axis=1)
    return x, np.array([0, 1, 1, 0, 0, 1, 0, 0, 1, 0, 1, 0], bool)[:, None]


# LogisticRegression(C=C, class_weight="balanced", tol=1e-12) of scikit-learn 1.9.1 on the same rows.
SCIKIT_LEARN = {
    0.1: ([0.1117277, -0.2169043, -0.1864980], -0.0854544),
    5.0: ([1.5673581, -1.8432534, -1.2164967], -0.9680427),
}


@pytest.mark.parametrize("strength", SCIKIT_LEARN)
def test_coefficients_are_scikit_learns(strength: float) -> None:
    x, targets = small_problem()
    result = fit(x, Problems(targets, balanced_weights(targets), np.array([strength])), tolerance=1e-8)
    weights, bias = SCIKIT_LEARN[strength]
    assert result.weights[:, 0].tolist() == pytest.approx(weights, abs=1e-6)
    assert float(result.bias[0]) == pytest.approx(bias, abs=1e-6)


def gradient(x: NDArray[np.float64], problems: Problems, result: Coefficients) -> NDArray[np.float64]:
    """Of |w|²/2 + C Σ weight log(1 + exp(-y f)), written down anew; the last row is the intercept's."""
    sign = np.where(problems.targets, 1, -1)
    pull = problems.strengths * problems.weights * sign / (1 + np.exp(sign * result.logits(x)))
    return np.vstack([result.weights - x.T @ pull, -pull.sum(axis=0)])


@pytest.mark.parametrize(("rows", "columns"), [(40, 300), (400, 30)])
def test_every_problem_is_solved_whether_rows_or_features_are_more(rows: int, columns: int) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(rows, columns))
    targets = x @ rng.normal(size=(columns, 4)) + rng.normal(size=(rows, 4)) > 1
    problems = Problems(targets, balanced_weights(targets), np.array([0.001, 0.03, 1.0, 20.0]))
    result = fit(x, problems)
    assert (np.abs(gradient(x, problems, result)).max(axis=0) <= 2e-4 * problems.strengths).all()


def test_rows_of_weight_zero_do_not_count() -> None:
    x, targets = small_problem()
    kept = np.arange(12) < 9
    alone = fit(x[kept], Problems(targets[kept], balanced_weights(targets[kept]), np.array([1.0])), tolerance=1e-8)
    weights = np.zeros((12, 1))
    weights[kept] = balanced_weights(targets[kept])
    beside = fit(x, Problems(targets, weights, np.array([1.0])), tolerance=1e-8)
    np.testing.assert_allclose(beside.weights, alone.weights, atol=1e-6)


def test_balanced_weights_give_both_sides_the_same_sum() -> None:
    targets = np.array([[1, 0], [0, 1], [0, 1], [0, 1]], bool)
    weights = balanced_weights(targets)
    assert (weights * targets).sum(axis=0).tolist() == pytest.approx([2, 2])
    assert (weights * ~targets).sum(axis=0).tolist() == pytest.approx([2, 2])


def random_features(seed: int, rows: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    features = rng.gamma(1, size=(rows, 1280)).astype(np.float32)
    features[:, 7] = 0.25
    return features, features[:, :3] > 1


def test_the_folded_layer_gives_the_standardised_models_logits() -> None:
    features, targets = random_features(1, 60)
    layer = head.train(features, targets, 0.03)
    standardizer = head.Standardizer.of(features)
    inner = fit(standardizer.apply(features), Problems(targets, balanced_weights(targets), np.full(3, 0.03)))
    folded = features @ layer.weights + layer.bias
    np.testing.assert_allclose(folded, inner.logits(standardizer.apply(features)), atol=1e-3)
    assert layer.weights.dtype == layer.bias.dtype == np.float32


def test_a_constant_feature_stays_harmless_when_it_moves_later() -> None:
    features, targets = random_features(1, 60)
    layer = head.train(features, targets, 0.03)
    features[:, 7] += 0.01
    moved = features @ layer.weights + layer.bias
    assert np.isfinite(moved).all()
    assert np.abs(moved).max() < 100


def test_training_twice_gives_the_same_numbers() -> None:
    features, targets = random_features(2, 50)
    first, second = head.train(features, targets, 0.1), head.train(features, targets, 0.1)
    assert (first.weights == second.weights).all()
    assert (first.bias == second.bias).all()


def test_too_few_images_of_a_label_leave_the_default_strength() -> None:
    features, targets = random_features(3, 12)
    targets[:] = False
    targets[0] = True
    assert head.choose_strength(features, targets, [str(i) for i in range(12)]) == head.DEFAULT_STRENGTH


def test_noise_calls_for_more_regularisation_than_a_clear_signal() -> None:
    rng = np.random.default_rng(4)
    noise = rng.normal(size=(90, 1280)).astype(np.float32)
    targets = rng.random((90, 2)) < 0.4
    signal = noise.copy()
    signal[:, :200] += 4 * targets[:, :1]
    signal[:, 200:400] += 4 * targets[:, 1:]
    order = [f"{i:03d}" for i in range(90)]
    assert head.choose_strength(noise, targets, order) == min(head.STRENGTHS)
    assert head.choose_strength(signal, targets, order) > min(head.STRENGTHS)


def test_folds_keep_runs_together_and_share_every_label() -> None:
    targets = np.zeros((60, 2), bool)
    targets[:30, 0], targets[30:, 1] = True, True
    folds = head.stratified_runs(targets, [f"{i:03d}" for i in range(60)])
    for fold in range(head.FOLDS):
        assert targets[folds == fold].sum(axis=0).tolist() == [10, 10]
    # Within a label, the fold changes at two places only.
    assert int((np.diff(folds[:30]) != 0).sum()) == 2
