"""A template carried out in thought, as `what-if` would: which resources it makes, with which values.

What only Azure knows (a principal's id, an endpoint) is a `Runtime`, a text that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tree_sitter import Node

from tests.unit.infra.bicep import (
    BicepError,
    Declaration,
    Parameter,
    Template,
    items,
    key,
    parse,
    text,
    unescaped,
    where,
)
from tests.unit.infra.functions import FUNCTIONS, SUBSCRIPTION, TENANT, Runtime

TYPES: dict[str, type] = {"string": str, "bool": bool, "int": int, "array": list, "object": dict}


@dataclass
class Resource:
    """A resource of the deployment. `body` is without name, parent, scope and dependsOn."""

    symbol: str
    type: str
    api_version: str
    name: str
    id: str
    scope: str
    existing: bool
    body: dict[str, Any] = field(default_factory=dict)

    def member(self, name: str) -> Any:
        if name in {"id", "name", "type"}:
            return getattr(self, name)
        found = None if self.existing else self.body.get(name)
        return _Live(found, f"<{self.id}>.{name}")


@dataclass(frozen=True)
class _Live:
    """What is known of a resource's property, and how it is named where it is not."""

    known: Any
    name: str

    def member(self, name: str) -> Any:
        found = self.known.get(name) if isinstance(self.known, dict) else None
        return _Live(found, f"{self.name}.{name}")


class Deployment:
    """A template with the values of its parameters, at a scope (the id of a subscription or resource group)."""

    def __init__(self, template: Template, values: Mapping[str, Any], scope: str, location: str = "westeurope") -> None:
        self.template = template
        self.scope = scope
        self.location = location
        self._memo: dict[str, Any] = {}
        self.values = {name: self._parameter(each, values) for name, each in template.parameters.items()}
        unknown = values.keys() - template.parameters.keys()
        if unknown:
            raise BicepError(f"{template.path.name} has no parameter {', '.join(sorted(unknown))}")
        for symbol in (*template.resources, *template.modules):
            self._symbol(symbol)
        self.outputs = {name: _plain(self.value(node, {})) for name, (_, node) in template.outputs.items()}

    @property
    def resources(self) -> list[Resource]:
        """All that is made, in modules, too, but for what exists already."""
        found: list[Resource] = []
        for symbol in self.template.resources:
            made = self._symbol(symbol)
            found += [each for each in (made if isinstance(made, list) else [made]) if each and not each.existing]
        return found + [each for child in self.children.values() for each in child.resources]

    @property
    def children(self) -> dict[str, Deployment]:
        """The modules that are deployed, by symbol."""
        return {name: child for name in self.template.modules if (child := self._symbol(name)) is not None}

    def _parameter(self, parameter: Parameter, values: Mapping[str, Any]) -> Any:
        name, path = parameter.name, self.template.path.name
        value: Any = None
        if name in values:
            value = values[name]
        elif parameter.default is not None:
            value = _plain(self.value(parameter.default, values))  # It may name other parameters.
        else:
            raise BicepError(f"{path}: parameter {name} is not given")
        expected = TYPES[parameter.type]
        if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
            raise BicepError(f"{path}: parameter {name} is {value!r}, but must be a {parameter.type}")
        self._check_limits(parameter, value)
        return value

    def _check_limits(self, parameter: Parameter, value: Any) -> None:
        limits = {limit: self.value(node, {}) for limit, node in parameter.constraints.items()}
        size = value if isinstance(value, int) else len(value)
        least, most = limits.get("minValue", limits.get("minLength")), limits.get("maxValue", limits.get("maxLength"))
        allowed = limits.get("allowed")
        # The length of what only Azure knows is not known.
        if not isinstance(value, Runtime) and (
            (least is not None and size < least)
            or (most is not None and size > most)
            or (allowed and value not in allowed)
        ):
            raise BicepError(
                f"{self.template.path.name}: parameter {parameter.name} is {value!r}, which is outside of {limits}"
            )

    def _symbol(self, name: str) -> Any:
        template = self.template
        if name not in self._memo:
            if name in template.variables:
                made: Any = self.value(template.variables[name], {})
            elif name in template.resources:
                made = self._each(template.resources[name], self._resource)
            else:
                made = self._each(template.modules[name], self._module)
            self._memo[name] = made
        return self._memo[name]

    def _each(self, declared: Declaration, make: Callable[[Declaration, dict[str, Any]], Any]) -> Any:
        if declared.items is None:
            return make(declared, {})
        found = []
        for index, item in enumerate(_plain(self.value(declared.items, {}))):
            found.append(make(declared, {declared.item: item, declared.index or "": index}))
        return found

    def _resource(self, declared: Declaration, local: dict[str, Any]) -> Resource | None:
        if declared.condition is not None and not self.value(declared.condition, local):
            return None
        body = {key(name): value for name, value in self._pairs(declared.body, plain_keys=True)}
        made = {name: self.value(value, local) for name, value in body.items() if name != "dependsOn"}
        for each in items(body["dependsOn"]) if "dependsOn" in body else []:
            self.value(each, local)
        parent, scope, name = made.pop("parent", None), made.pop("scope", None), str(_plain(made.pop("name")))
        at = scope.id if isinstance(scope, Resource) else str(scope or self.scope)
        kind = declared.type
        if isinstance(parent, Resource):
            if kind.rpartition("/")[0].lower() != parent.type.lower():
                raise BicepError(f"{self.template.path.name}: {declared.symbol} is no child of {parent.type}")
            identifier = f"{parent.id}/{kind.rpartition('/')[2]}/{name}"
        elif kind == "Microsoft.Resources/resourceGroups":
            identifier = f"{at}/resourceGroups/{name}"
        else:
            identifier = f"{at}/providers/{kind}/{name}"
        return Resource(
            declared.symbol, kind, declared.api_version, name, identifier, at, declared.existing, _plain(made)
        )

    def _module(self, declared: Declaration, local: dict[str, Any]) -> Deployment | None:
        if declared.condition is not None and not self.value(declared.condition, local):
            return None
        body = {key(name): value for name, value in self._pairs(declared.body, plain_keys=True)}
        scope = self.value(body["scope"], local) if "scope" in body else self.scope
        template = parse((self.template.path.parent / declared.target).resolve())
        at = scope.id if isinstance(scope, Resource) else str(scope)
        expected = "resourceGroup" if "/resourceGroups/" in at else "subscription"
        if template.scope != expected:
            raise BicepError(f"{declared.target} is for a {template.scope}, but {declared.symbol} is in a {expected}")
        values = {name: _plain(value) for name, value in self.value(body["params"], local).items()}
        location = scope.body["location"] if isinstance(scope, Resource) else self.location
        return Deployment(template, values, at, location)

    def _pairs(self, node: Node, *, plain_keys: bool = False) -> list[tuple[Node, Node]]:
        pairs = [(items(each)[0], items(each)[1]) for each in items(node)]
        if plain_keys and any(name.type not in {"identifier", "string"} for name, _ in pairs):
            raise BicepError(f"{where(self.template.path, node)}: a key must be a name")
        return pairs

    def value(self, node: Node, local: Mapping[str, Any]) -> Any:
        """The value of an expression. Only the branch of a condition that is taken counts, as in Azure."""
        match node.type:
            case "string":
                parts = [self._piece(each, local) for each in node.named_children]
                whole = "".join(parts)
                return Runtime(whole) if any(isinstance(each, Runtime) for each in parts) else whole
            case "number":
                return int(text(node))
            case "boolean":
                return text(node) == "true"
            case "null":
                return None
            case "array":
                return [self.value(each, local) for each in items(node)]
            case "object":
                return {self._key(name, local): self.value(value, local) for name, value in self._pairs(node)}
            case "parenthesized_expression":
                return self.value(items(node)[0], local)
            case "ternary_expression":
                condition, yes, no = items(node)
                return self.value(yes if self.value(condition, local) else no, local)
            case "unary_expression":
                return not self.value(items(node)[0], local)
            case "binary_expression":
                return self._binary(node, local)
            case "identifier":
                return self._name(node, local)
            case "member_expression":
                owner, name = items(node)
                return self._member(node, self.value(owner, local), text(name))
            case "subscript_expression":
                owner, index = (self.value(each, local) for each in items(node))
                return _plain(owner)[index]
            case "call_expression":
                return self._call(node, local)
        raise BicepError(f"{where(self.template.path, node)}: {node.type} is not known here")

    def _piece(self, node: Node, local: Mapping[str, Any]) -> str:
        if node.type != "interpolation":
            return unescaped(node)
        value = _plain(self.value(items(node)[0], local))
        if not isinstance(value, str | int):
            raise BicepError(f"{where(self.template.path, node)}: {text(node)} is {value!r}, no text")
        return value if isinstance(value, str) else str(value)

    def _key(self, node: Node, local: Mapping[str, Any]) -> str:
        return text(node) if node.type == "identifier" else str(self.value(node, local))

    def _name(self, node: Node, local: Mapping[str, Any]) -> Any:
        name = text(node)
        if name in local:
            return local[name]
        if name in getattr(self, "values", {}):
            return self.values[name]
        if name in self.template.symbols and name not in self.template.parameters:
            return self._symbol(name)
        raise BicepError(f"{where(self.template.path, node)}: {name} has no value")

    def _member(self, node: Node, owner: Any, name: str) -> Any:
        place = where(self.template.path, node)
        if owner is None:
            raise BicepError(f"{place}: {text(node)}: it is not deployed")
        if isinstance(owner, Resource | _Live):
            return owner.member(name)
        if isinstance(owner, Deployment):
            return owner.outputs
        if isinstance(owner, Runtime):
            return Runtime(f"{owner}.{name}")
        if isinstance(owner, dict) and name in owner:
            return owner[name]
        raise BicepError(f"{place}: there is no {text(node)}")

    def _binary(self, node: Node, local: Mapping[str, Any]) -> Any:
        left, right = items(node)
        operator = next(text(each) for each in node.children if not each.is_named)
        one = _plain(self.value(left, local))
        if operator in {"&&", "||"}:
            return self.value(right, local) if bool(one) == (operator == "&&") else one
        other = _plain(self.value(right, local))
        return {"==": lambda: one == other, ">": lambda: one > other, "*": lambda: one * other}[operator]()

    def _call(self, node: Node, local: Mapping[str, Any]) -> Any:
        name, arguments = items(node)
        function, nodes = text(name), items(arguments)
        if function == "map":
            variable, body = items(nodes[1])
            items_of = _plain(self.value(nodes[0], local))
            return [self.value(body, {**local, text(variable): each}) for each in items_of]
        given = [_plain(self.value(each, local)) for each in nodes]
        if function == "subscription":
            return {"id": SUBSCRIPTION, "subscriptionId": SUBSCRIPTION.rpartition("/")[2], "tenantId": TENANT}
        if function == "resourceGroup":
            return {"id": self.scope, "name": self.scope.rpartition("/")[2], "location": self.location}
        return FUNCTIONS[function](*given)


def deploy(path: Path, scope: str = SUBSCRIPTION, **values: Any) -> Deployment:
    """Deploy a file. Raises BicepError where Bicep or Azure Resource Manager would refuse."""
    return Deployment(parse(path), values, scope)


def _plain(value: Any) -> Any:
    """A value without what stands for something else: runtime values as text."""
    if isinstance(value, _Live):
        return Runtime(value.name) if value.known is None else _plain(value.known)
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value
