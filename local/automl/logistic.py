"""One-vs-rest logistic regression with an L2 penalty, all problems solved at once.

A problem is a column: a label's targets, a weight for each row, and C, the inverse of the penalty's strength, in
scikit-learn's convention: minimise |w|²/2 + C · Σ weight · log(1 + exp(-y · (x·w + b))), the intercept b free of
penalty. Newton's method with conjugate gradients for the steps turns every iteration into a few matrix products over
all columns. (scikit-learn gives the same coefficients, as a test checks; but importing it costs a second here, with
scipy and pandas behind it, where the whole run is to take three.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

MAX_NEWTON_STEPS = 60
MAX_CONJUGATE_STEPS = 250
MAX_HALVINGS = 30


@dataclass(frozen=True)
class Problems:
    """`targets` and `weights` are (rows, problems); `strengths` is C for each problem."""

    targets: NDArray[np.bool_]
    weights: Matrix
    strengths: Vector


@dataclass(frozen=True)
class Coefficients:
    """Logits are x @ weights + bias; `weights` is (columns of x, problems), `bias` is (problems,)."""

    weights: Matrix
    bias: Vector

    def logits(self, x: Matrix) -> Matrix:
        return x @ self.weights + self.bias


def balanced_weights(targets: NDArray[np.bool_]) -> Matrix:
    """Row weights that give a label's positives and negatives the same sum, as `class_weight="balanced"` does.

    `targets` is (rows, labels); every label needs a positive and a negative row.
    """
    rows = targets.shape[0]
    positives = targets.sum(axis=0)
    weights: Matrix = np.where(targets, rows / (2 * positives), rows / (2 * (rows - positives)))
    return weights


def fit(x: Matrix, problems: Problems, *, tolerance: float = 1e-4) -> Coefficients:
    """Solve every problem over the rows of `x`, (rows, features).

    A problem is solved when its gradient's largest entry is below `tolerance` times C, or when no step makes the
    objective smaller any more in float64. Deterministic.
    """
    if x.shape[1] > x.shape[0]:
        # The penalty does not see rotations: with fewer rows than features, solve in the space the rows span.
        basis = np.linalg.svd(x, full_matrices=False)[2]
        inner = fit(x @ basis.T, problems, tolerance=tolerance)
        return Coefficients(basis.T @ inner.weights, inner.bias)
    # The intercept is one more coefficient, of a column of ones, that the penalty leaves out.
    ones = np.hstack([x, np.ones((x.shape[0], 1))])
    penalty = np.append(np.ones(x.shape[1]), 0.0)[:, None]
    solution = np.zeros((ones.shape[1], problems.strengths.size))
    active = np.arange(problems.strengths.size)
    for _ in range(MAX_NEWTON_STEPS):
        objective = _Objective(ones, penalty, problems, active)
        current = solution[:, active]
        value, gradient, curvature = objective.at(current)
        unsolved = np.abs(gradient).max(axis=0) > tolerance * problems.strengths[active]
        if not unsolved.any():
            break
        step = objective.newton_step(gradient, curvature)
        moved, improved = objective.line_search(current, step, value, gradient)
        solution[:, active] = moved
        active = active[unsolved & improved]
        if not active.size:
            break
    return Coefficients(solution[:-1], solution[-1])


class _Objective:
    """The objective of the problems that are still unsolved."""

    def __init__(self, ones: Matrix, penalty: Matrix, problems: Problems, active: NDArray[np.intp]) -> None:
        self.ones, self.penalty = ones, penalty
        self.sign = np.where(problems.targets[:, active], 1.0, -1.0)
        self.weights = problems.weights[:, active] * problems.strengths[active]

    def value(self, solution: Matrix) -> Vector:
        loss = np.logaddexp(0, -self.sign * (self.ones @ solution))
        total: Vector = (self.weights * loss).sum(axis=0) + (self.penalty * solution**2).sum(axis=0) / 2
        return total

    def at(self, solution: Matrix) -> tuple[Vector, Matrix, Matrix]:
        """Value, gradient, and each row's curvature."""
        margin = self.sign * (self.ones @ solution)
        miss = 1 / (1 + np.exp(np.clip(margin, -700, 700)))
        value = (self.weights * np.logaddexp(0, -margin)).sum(axis=0) + (self.penalty * solution**2).sum(axis=0) / 2
        gradient = self.penalty * solution - self.ones.T @ (self.weights * self.sign * miss)
        return value, gradient, self.weights * miss * (1 - miss)

    def newton_step(self, gradient: Matrix, curvature: Matrix) -> Matrix:
        """Conjugate gradients for all problems side by side, each to a residual that shrinks with its gradient."""
        # The diagonal of the Hessian as preconditioner; the bound keeps the unpenalised intercept's entry above zero.
        scale = self.penalty + (self.ones**2).T @ curvature
        scale = np.maximum(scale, 1e-12)
        size = np.linalg.norm(gradient, axis=0)
        goal = np.minimum(0.1, np.sqrt(size)) * size
        step = np.zeros_like(gradient)
        residual = -gradient
        scaled = residual / scale
        direction = scaled.copy()
        energy = (residual * scaled).sum(axis=0)
        for _ in range(MAX_CONJUGATE_STEPS):
            running = np.linalg.norm(residual, axis=0) > goal
            if not running.any():
                break
            product = self.penalty * direction + self.ones.T @ (curvature * (self.ones @ direction))
            bend = (direction * product).sum(axis=0)
            length = np.where(running & (bend > 0), energy / np.where(bend > 0, bend, 1), 0)
            step += length * direction
            residual -= length * product
            scaled = residual / scale
            fresh = (residual * scaled).sum(axis=0)
            direction = scaled + np.where(energy > 0, fresh / np.where(energy > 0, energy, 1), 0) * direction
            energy = fresh
        return step

    def line_search(
        self, solution: Matrix, step: Matrix, value: Vector, gradient: Matrix
    ) -> tuple[Matrix, NDArray[np.bool_]]:
        """Halve each problem's step until its objective falls; says for which it did."""
        slope = (gradient * step).sum(axis=0)
        length = np.ones(value.size)
        improved = np.zeros(value.size, bool)
        for _ in range(MAX_HALVINGS):
            improved = self.value(solution + length * step) <= value + 1e-4 * length * slope
            if improved.all():
                break
            length = np.where(improved, length, length / 2)
        return solution + np.where(improved, length, 0) * step, improved & (slope < 0)
