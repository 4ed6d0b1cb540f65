"""A pipeline job's plan: its nodes with their specs, bindings, and order. Pure: nothing is read or started here.

The shape of a job's body is what azure-ai-ml 1.35 sends (recorded in the project's wire facts).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from local.cloud.errors import NotImplementedByLocalCloudError, UserError
from local.cloud.jobs.bindings import Binding, NodeOutput, ParentInput, ParentOutput, parse

Json = dict[str, Any]
NODE_TYPES = ("command", "parallel", "automl")
AUTOML_TASK = "image_classification_multilabel"


@dataclass(frozen=True)
class InputValue:
    """A node's input: a binding or a literal (a URI when the type is a data type), its type, and its mode."""

    value: Binding | str
    type: str
    mode: str | None = None


@dataclass(frozen=True)
class OutputTarget:
    """Where a node's output goes: a pipeline output, or a place of its own (`uri` None: Azure ML's default place)."""

    parent: str | None
    uri: str | None
    type: str
    mode: str | None


@dataclass(frozen=True)
class Node:
    """One node. `spec` is the component's spec with the node's overrides (parallel, command), or the AutoML node."""

    name: str
    type: str
    spec: Json
    inputs: dict[str, InputValue]
    outputs: dict[str, OutputTarget]
    compute: str
    environment_variables: dict[str, str]
    display_name: str

    @property
    def needs(self) -> frozenset[str]:
        """The nodes whose outputs this one reads."""
        return frozenset(i.value.node for i in self.inputs.values() if isinstance(i.value, NodeOutput))


@dataclass(frozen=True)
class Plan:
    """A pipeline: nodes in an order that respects their needs."""

    nodes: tuple[Node, ...]
    inputs: dict[str, InputValue]
    outputs: dict[str, OutputTarget]
    continue_on_failure: bool

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    def source_of(self, output: str) -> tuple[str, str] | None:
        """The node and its output that fill a pipeline output; None when no node does."""
        for node in self.nodes:
            for name, target in node.outputs.items():
                if target.parent == output:
                    return node.name, name
        return None


def plan_pipeline(properties: Json, component: Callable[[str], Json]) -> Plan:
    """The plan of a pipeline job's `properties`. `component` answers the spec of a component id.

    Raises UserError for a job that cannot run as written, NotImplementedByLocalCloudError for node types that the
    local cloud does not run.
    """
    jobs = properties.get("jobs") or {}
    if not jobs:
        raise UserError("The pipeline has no jobs.")
    settings = properties.get("settings") or {}
    default_compute = str(settings.get("default_compute") or properties.get("computeId") or "")
    inputs = {name: _pipeline_input(name, value) for name, value in (properties.get("inputs") or {}).items()}
    outputs = {name: _pipeline_output(value) for name, value in (properties.get("outputs") or {}).items()}
    nodes = [_node(name, body, component, default_compute) for name, body in jobs.items()]
    for node in nodes:
        _check_bindings(node, nodes, inputs, outputs)
    continue_on_failure = settings.get("continue_on_step_failure")
    return Plan(tuple(_in_order(nodes)), inputs, outputs, continue_on_failure is not False)


def _pipeline_input(name: str, value: Json) -> InputValue:
    kind = str(value.get("jobInputType") or value.get("job_input_type") or "literal")
    if kind == "literal":
        return InputValue(_text(value.get("value")), kind)
    if not value.get("uri"):
        raise UserError(f"The input '{name}' of type '{kind}' has no uri.")
    return InputValue(str(value["uri"]), kind, value.get("mode"))


def _pipeline_output(value: Json) -> OutputTarget:
    kind = str(value.get("jobOutputType") or value.get("job_output_type") or "uri_folder")
    return OutputTarget(None, value.get("uri"), kind, value.get("mode"))


def _node(name: str, body: Json, component: Callable[[str], Json], default_compute: str) -> Node:
    kind = str(body.get("type"))
    if kind not in NODE_TYPES:
        raise NotImplementedByLocalCloudError(
            f"The node '{name}' is of type '{kind}'; the local cloud runs {', '.join(NODE_TYPES)}."
        )
    spec = _automl_spec(name, body) if kind == "automl" else _component_spec(name, body, component)
    compute = str(body.get("computeId") or body.get("compute") or default_compute)
    if not compute:
        raise UserError(f"The node '{name}' has no compute, and the pipeline has no default compute.")
    raw_inputs = dict(body.get("inputs") or {})
    if kind == "automl":
        raw_inputs = {key: body[key] for key in ("training_data", "validation_data", "test_data") if body.get(key)}
    declared = spec.get("inputs") or {}
    inputs = {key: _node_input(value, declared.get(key) or {}) for key, value in raw_inputs.items()}
    for key, declaration in declared.items():
        if key not in inputs and declaration.get("default") is not None:
            inputs[key] = InputValue(_text(declaration["default"]), "literal")
        elif key not in inputs and not declaration.get("optional"):
            raise UserError(f"The node '{name}' has no value for its input '{key}'.")
    given = body.get("outputs") or {}
    produced = {key: {"type": "mlflow_model"} for key in given} if kind == "automl" else spec.get("outputs") or {}
    names = dict.fromkeys([*produced, *given])
    outputs = {key: _node_output(given.get(key), produced.get(key) or {}) for key in names}
    variables = {**(spec.get("environment_variables") or {}), **(body.get("environment_variables") or {})}
    return Node(
        name=name,
        type=kind,
        spec=spec,
        inputs=inputs,
        outputs=outputs,
        compute=compute,
        environment_variables={key: _text(value) for key, value in variables.items()},
        display_name=str(body.get("display_name") or name),
    )


def _component_spec(name: str, body: Json, component: Callable[[str], Json]) -> Json:
    reference = body.get("componentId") or body.get("component")
    spec = dict(component(reference)) if isinstance(reference, str) else dict(reference or {})
    if body.get("type") == "command" and not spec.get("command"):
        raise UserError(f"The node '{name}' has no command.")
    overrides = (
        "resources",
        "mini_batch_size",
        "mini_batch_error_threshold",
        "max_concurrency_per_instance",
        "retry_settings",
        "logging_level",
        "input_data",
        "task",
        "error_threshold",
    )
    spec.update({key: body[key] for key in overrides if body.get(key) is not None})
    return spec


def _automl_spec(name: str, body: Json) -> Json:
    if body.get("task") != AUTOML_TASK:
        raise NotImplementedByLocalCloudError(
            f"The AutoML node '{name}' has the task '{body.get('task')}'; the local cloud runs {AUTOML_TASK}."
        )
    return {key: value for key, value in body.items() if key not in ("inputs", "outputs")}


def _node_input(value: Any, declaration: Json) -> InputValue:
    if isinstance(value, dict):
        kind = str(value.get("job_input_type") or value.get("jobInputType") or declaration.get("type") or "literal")
        raw, mode = value.get("value", value.get("uri")), value.get("mode") or declaration.get("mode")
    else:
        kind, raw, mode = str(declaration.get("type") or "literal"), value, declaration.get("mode")
    text = _text(raw)
    return InputValue(parse(text) or text, kind, mode)


def _node_output(value: Any, declaration: Json) -> OutputTarget:
    kind = str(declaration.get("type") or "uri_folder")
    mode = declaration.get("mode")
    if isinstance(value, dict):
        kind = str(value.get("job_output_type") or value.get("jobOutputType") or value.get("type") or kind)
        # A bound output says `"type": "literal"`, which is the type of the value, not of the output.
        kind = str(declaration.get("type") or "uri_folder") if kind == "literal" else kind
        mode = value.get("mode") or mode
        bound = parse(str(value["value"])) if value.get("value") else None
        if isinstance(bound, ParentOutput):
            return OutputTarget(bound.name, None, kind, mode)
        return OutputTarget(None, value.get("uri") or value.get("path"), kind, mode)
    if isinstance(value, str) and isinstance(bound := parse(value), ParentOutput):
        return OutputTarget(bound.name, None, kind, mode)
    return OutputTarget(None, None, kind, mode)


def _check_bindings(
    node: Node, nodes: list[Node], inputs: Mapping[str, InputValue], outputs: Mapping[str, OutputTarget]
) -> None:
    by_name = {other.name: other for other in nodes}
    for key, given in node.inputs.items():
        match given.value:
            case ParentInput(name) if name not in inputs:
                raise UserError(
                    f"The input '{key}' of '{node.name}' is bound to '{name}', not an input of the pipeline."
                )
            case NodeOutput(other, name) if other not in by_name or name not in by_name[other].outputs:
                raise UserError(
                    f"The input '{key}' of '{node.name}' is bound to '{other}.{name}', which does not exist."
                )
            case ParentOutput(name):
                raise UserError(f"The input '{key}' of '{node.name}' is bound to the pipeline's output '{name}'.")
    for key, target in node.outputs.items():
        if target.parent is not None and target.parent not in outputs:
            raise UserError(
                f"The output '{key}' of '{node.name}' is bound to '{target.parent}', not a pipeline output."
            )


def _in_order(nodes: list[Node]) -> list[Node]:
    ordered: list[Node] = []
    waiting = list(nodes)
    while waiting:
        done = {node.name for node in ordered}
        ready = [node for node in waiting if node.needs <= done]
        if not ready:
            raise UserError(f"The nodes {', '.join(sorted(node.name for node in waiting))} wait for each other.")
        ordered += ready
        waiting = [node for node in waiting if node not in ready]
    return ordered


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value)
    return "" if value is None else str(value)
