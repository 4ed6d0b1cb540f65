"""Sample hyperparameters from a search space as the SDK sends it: `{"learning_rate": "uniform(0.005,0.05)"}`."""

from __future__ import annotations

import ast
import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local.automl.errors import SpecError
from local.automl.spec import check_model_name

# Meaning and argument order as in azure.ai.ml.sweep; the log kinds take the logarithm's bounds.
_DISTRIBUTIONS: dict[str, tuple[int, Callable[..., float]]] = {
    "uniform": (2, lambda r, low, high: r.uniform(low, high)),
    "quniform": (3, lambda r, low, high, q: round(r.uniform(low, high) / q) * q),
    "loguniform": (2, lambda r, low, high: math.exp(r.uniform(low, high))),
    "qloguniform": (3, lambda r, low, high, q: round(math.exp(r.uniform(low, high)) / q) * q),
    "normal": (2, lambda r, mu, sigma: r.gauss(mu, sigma)),
    "qnormal": (3, lambda r, mu, sigma, q: round(r.gauss(mu, sigma) / q) * q),
    "lognormal": (2, lambda r, mu, sigma: math.exp(r.gauss(mu, sigma))),
    "qlognormal": (3, lambda r, mu, sigma, q: round(math.exp(r.gauss(mu, sigma)) / q) * q),
    "randint": (1, lambda r, upper: r.randrange(upper)),
}


def check(space: Sequence[Mapping[str, Any]]) -> None:
    """Raises SpecError when an expression is not understood or a model name is not AutoML's."""
    for subspace in space:
        for name, expression in subspace.items():
            kind, arguments = _parse(name, expression)
            if name == "model_name":
                if kind != "choice":
                    raise SpecError(f"search_space: model_name is {expression!r}; it must be a choice of names")
                for value in arguments:
                    check_model_name(value)


def sample(space: Sequence[Mapping[str, Any]], trial: int, generator: random.Random) -> dict[str, Any]:
    """The values of trial number `trial`; the subspaces take turns. Raises SpecError."""
    if not space:
        return {}
    values: dict[str, Any] = {}
    for name, expression in space[trial % len(space)].items():
        kind, arguments = _parse(name, expression)
        if kind == "choice":
            values[name] = generator.choice(arguments)
        else:
            values[name] = _DISTRIBUTIONS[kind][1](generator, *arguments)
    return values


def _parse(name: str, expression: object) -> tuple[str, list[Any]]:
    """`"uniform(0.1,0.2)"` → ("uniform", [0.1, 0.2]); a plain value is a choice of one."""
    if not isinstance(expression, str) or "(" not in expression:
        return "choice", [expression]
    text = expression.strip()
    kind, _, rest = text.partition("(")
    wrong = SpecError(f"search_space: {name} is {expression!r}, which is not understood")
    if not text.endswith(")"):
        raise wrong
    try:
        arguments = list(ast.literal_eval(f"({rest.removesuffix(')')},)"))
    except (ValueError, SyntaxError):
        raise wrong from None
    if kind == "choice" and arguments:
        return kind, arguments
    numbers = all(isinstance(value, int | float) for value in arguments)
    if kind not in _DISTRIBUTIONS or len(arguments) != _DISTRIBUTIONS[kind][0] or not numbers:
        raise wrong
    return kind, arguments
