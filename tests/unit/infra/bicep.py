"""One Bicep file: its declarations, read with tree-sitter's grammar, and what the compiler's own checks would refuse.

The compiler can't be had where the project is built. What is read here is the part of the language that infra/ uses;
anything else is an error, never skipped.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

from tests.unit.infra.functions import FUNCTIONS

# Those that depend on where they are called.
PLACED = frozenset({"map", "resourceGroup", "subscription"})


class BicepError(Exception):
    """What is wrong with a template, and where."""


@dataclass(frozen=True)
class Parameter:
    """`constraints` are the decorators' arguments by their names: description, allowed, minValue, maxLength, …"""

    name: str
    type: str
    default: Node | None
    constraints: dict[str, Node]


@dataclass(frozen=True)
class Declaration:
    """A resource (`type@version`) or a module (its path). `item` and `index` are a loop's variables."""

    symbol: str
    target: str
    body: Node
    existing: bool = False
    condition: Node | None = None
    items: Node | None = None
    item: str = ""
    index: str = ""

    @property
    def type(self) -> str:
        return self.target.partition("@")[0]

    @property
    def api_version(self) -> str:
        return self.target.partition("@")[2]


@dataclass
class Template:
    """What a file declares, by symbol."""

    path: Path
    scope: str = "resourceGroup"
    parameters: dict[str, Parameter] = field(default_factory=dict)
    variables: dict[str, Node] = field(default_factory=dict)
    resources: dict[str, Declaration] = field(default_factory=dict)
    modules: dict[str, Declaration] = field(default_factory=dict)
    outputs: dict[str, tuple[str, Node]] = field(default_factory=dict)

    @property
    def symbols(self) -> list[str]:
        return [*self.parameters, *self.variables, *self.resources, *self.modules]


@functools.cache
def parse(path: Path) -> Template:
    """Read a file. Raises BicepError for a syntax error, and for a construct that is not known here."""
    root = Parser(Language(tree_sitter_bicep.language())).parse(path.read_bytes()).root_node
    for node in walk(root):
        if node.is_error or node.is_missing:
            raise BicepError(f"{where(path, node)}: syntax error at {text(node)[:40]!r}")
    template = Template(path)
    decorators: dict[str, Node] = {}
    for node in root.named_children:
        if node.type == "decorators":
            decorators = dict(_decorator(each) for each in node.named_children)
            continue
        _declare(template, node, decorators)
        decorators = {}
    return template


def problems(template: Template) -> list[str]:
    """Names that are declared twice, not at all or for nothing."""
    symbols, path = template.symbols, template.path
    uses = list(_uses(template))
    used = {text(node) for node, _ in uses}
    return [
        *(f"{path.name}: {each} is declared twice" for each in dict.fromkeys(symbols) if symbols.count(each) > 1),
        *(f"{where(path, node)}: {text(node)} is not declared" for node, known in uses if text(node) not in known),
        *(
            f"{where(path, node)}: {text(node)} is no function"
            for node in _calls(template)
            if text(node) not in FUNCTIONS.keys() | PLACED
        ),
        *(
            f"{path.name}: {each} is never used"
            for each in (*template.parameters, *template.variables)
            if each not in used
        ),
    ]


def walk(node: Node) -> Iterator[Node]:
    """A node and all below it."""
    yield node
    for child in node.children:
        yield from walk(child)


def text(node: Node) -> str:
    """A node's source."""
    return (node.text or b"").decode()


def where(path: Path, node: Node) -> str:
    return f"{path.name}:{node.start_point.row + 1}"


def literal(node: Node) -> str:
    """The value of a string without interpolation."""
    if node.type != "string" or any(each.type == "interpolation" for each in node.named_children):
        raise BicepError(f"line {node.start_point.row + 1}: {text(node)[:40]!r} is no plain string")
    return "".join(unescaped(each) for each in node.named_children)


def unescaped(node: Node) -> str:
    """A piece of a string."""
    if node.type == "string_content":
        return text(node)
    return {r"\'": "'", r"\\": "\\", r"\n": "\n", r"\$": "$"}[text(node)]


def items(node: Node) -> list[Node]:
    """The children that are not punctuation or comments."""
    return [each for each in node.named_children if each.type != "comment"]


def properties(node: Node) -> list[tuple[Node, Node]]:
    """Keys and values of an object."""
    if node.type != "object":
        raise BicepError(f"line {node.start_point.row + 1}: {text(node)[:40]!r} is no object")
    return [(each.named_children[0], items(each)[1]) for each in items(node)]


def key(node: Node) -> str:
    """A key of an object that is no expression."""
    return text(node) if node.type == "identifier" else literal(node)


def _decorator(node: Node) -> tuple[str, Node]:
    name, arguments = node.named_children[0].named_children
    return text(name), items(arguments)[0] if items(arguments) else arguments


def _declare(template: Template, node: Node, decorators: dict[str, Node]) -> None:
    parts = items(node)
    match node.type:
        case "comment" | "metadata_declaration":
            pass
        case "target_scope_assignment":
            template.scope = literal(parts[0])
        case "parameter_declaration":
            default = parts[2] if len(parts) > 2 else None
            name = text(parts[0])
            template.parameters[name] = Parameter(name, text(parts[1]), default, decorators)
        case "variable_declaration":
            template.variables[text(parts[0])] = parts[1]
        case "output_declaration":
            template.outputs[text(parts[0])] = (text(parts[1]), parts[2])
        case "resource_declaration":
            template.resources[text(parts[0])] = _declaration(node, parts)
        case "module_declaration":
            template.modules[text(parts[0])] = _declaration(node, parts)
        case _:
            raise BicepError(f"{where(template.path, node)}: {node.type} is not known here")


def _declaration(node: Node, parts: list[Node]) -> Declaration:
    symbol, target, body = text(parts[0]), literal(parts[1]), parts[2]
    existing = any(each.type == "existing" or text(each) == "existing" for each in node.children)
    item = index = ""
    looped = None
    if body.type == "for_statement":
        variables, looped, body = items(body)
        names = [text(each) for each in (variables.named_children or [variables])]
        item, index = names[0], names[1] if len(names) > 1 else ""
    condition = None
    if body.type == "if_statement":
        condition, body = items(body)
    return Declaration(symbol, target, body, existing, condition, looped, item, index)


def _expressions(template: Template) -> Iterator[tuple[Node, frozenset[str]]]:
    for parameter in template.parameters.values():
        if parameter.default is not None:
            yield parameter.default, frozenset()
    for node in template.variables.values():
        yield node, frozenset()
    for _, node in template.outputs.values():
        yield node, frozenset()
    for each in (*template.resources.values(), *template.modules.values()):
        local = frozenset({each.item, each.index} - {""})
        for part in filter(None, (each.condition, each.items, each.body)):
            yield part, local


def _uses(template: Template) -> Iterator[tuple[Node, frozenset[str]]]:
    """Every identifier that stands for a value, with the names that are known there."""
    known = frozenset(template.symbols)
    for node, local in _expressions(template):
        yield from _identifiers(node, known | local)


def _identifiers(node: Node, known: frozenset[str]) -> Iterator[tuple[Node, frozenset[str]]]:
    if node.type == "identifier":
        yield node, known
        return
    children = list(node.named_children)
    if node.type in {"object_property", "call_expression"} and children[0].type == "identifier":
        children = children[1:]
    elif node.type == "lambda_expression":
        known |= {text(children[0])}
        children = children[1:]
    for child in children:
        yield from _identifiers(child, known)


def _calls(template: Template) -> Iterator[Node]:
    for expression, _ in _expressions(template):
        yield from (node.named_children[0] for node in walk(expression) if node.type == "call_expression")
