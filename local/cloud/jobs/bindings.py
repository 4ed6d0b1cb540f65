"""The `${{…}}` expressions of pipelines and components."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from local.cloud.errors import UserError

_WHOLE = re.compile(r"^\$\{\{\s*([^{}]+?)\s*\}\}$")
_ANY = re.compile(r"\$\{\{\s*([^{}]+?)\s*\}\}")
_OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)


@dataclass(frozen=True)
class ParentInput:
    """`${{parent.inputs.name}}`: an input of the pipeline."""

    name: str


@dataclass(frozen=True)
class ParentOutput:
    """`${{parent.outputs.name}}`: an output of the pipeline."""

    name: str


@dataclass(frozen=True)
class NodeOutput:
    """`${{parent.jobs.node.outputs.name}}`: an output of another node."""

    node: str
    name: str


Binding = ParentInput | ParentOutput | NodeOutput


def parse(text: str) -> Binding | None:
    """The binding that `text` consists of, or None for a literal. Raises UserError for a binding of unknown form."""
    match = _WHOLE.match(text)
    if match is None:
        return None
    parts = match.group(1).split(".")
    match parts:
        case ["parent", "inputs", name]:
            return ParentInput(name)
        case ["parent", "outputs", name]:
            return ParentOutput(name)
        case ["parent", "jobs", node, "outputs", name]:
            return NodeOutput(node, name)
    raise UserError(f"The binding '{text}' is of a form that is not known.")


def own_input(text: str) -> str | None:
    """`x` for `${{inputs.x}}` or `${{outputs.x}}`, else None."""
    match = _WHOLE.match(text)
    parts = match.group(1).split(".") if match else []
    return parts[1] if len(parts) == 2 and parts[0] in ("inputs", "outputs") else None


def fill(text: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> str:
    """Put the values of a node's inputs and outputs into a command line.

    `$[[--flag ${{inputs.x}}]]` is an optional part: it falls away when `x` has no value.
    Raises UserError for any other name without a value.
    """
    values = {**{f"inputs.{k}": v for k, v in inputs.items()}, **{f"outputs.{k}": v for k, v in outputs.items()}}

    def optional(match: re.Match[str]) -> str:
        return match.group(1) if all(name.strip() in values for name in _ANY.findall(match.group(1))) else ""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name.startswith("search_space."):
            raise UserError(f"'${{{{{name}}}}}' is for sweep jobs, which the local cloud does not run.")
        if name not in values:
            raise UserError(f"'${{{{{name}}}}}' has no value.")
        return values[name]

    return _ANY.sub(value, _OPTIONAL.sub(optional, text))
