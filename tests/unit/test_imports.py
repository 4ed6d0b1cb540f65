"""Dependencies point one way, wherever an import stands; and the product knows nothing of a local stack."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = {"function_app", "handlers", "shared", "components", "local", "tests", "bench", "docs"}
PRODUCT = ("function_app.py", "handlers", "shared", "components")
LOCAL_WORDS = ("localhost", "127.0.0.1", "azurite", "devstoreaccount", "usedevelopmentstorage")


def sources(name: str) -> list[Path]:
    path = ROOT / name
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def imported(source: Path) -> Iterator[str]:
    """Every module that a file imports, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: relative import"
            yield node.module or ""
            # `from azure import functions` imports azure.functions, too.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def offenders(folder: str, allowed: set[str]) -> list[str]:
    """Imports of a folder that are of our own packages, and not among the allowed ones."""
    return [
        f"{source.relative_to(ROOT)}: {module}"
        for source in sources(folder)
        for module in imported(source)
        if module.partition(".")[0] in OURS - allowed
    ]


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [
        ("function_app.py", {"handlers"}),
        ("handlers", {"handlers", "shared"}),
        ("shared", {"shared"}),
        ("components", {"components", "shared"}),
        ("local", {"local"}),
    ],
)
def test_a_package_imports_only_those_below_it(folder: str, allowed: set[str]) -> None:
    assert sources(folder)
    assert offenders(folder, allowed) == []


@pytest.mark.parametrize("folder", ["shared", "components"])
def test_the_domain_and_the_cluster_know_no_azure_functions(folder: str) -> None:
    assert not [
        f"{source.relative_to(ROOT)}: {module}"
        for source in sources(folder)
        for module in imported(source)
        if module.startswith(("azure.functions", "azure_functions"))
    ]


@pytest.mark.parametrize("folder", ["function_app.py", "handlers"])
def test_handlers_use_no_sdk_of_their_own(folder: str) -> None:
    # msgspec reads and writes the API's requests and answers; it is no SDK, and light.
    allowed = {*sys.stdlib_module_names, *OURS, "__future__", "msgspec"}
    assert not [
        f"{source.relative_to(ROOT)}: {module}"
        for source in sources(folder)
        for module in imported(source)
        if module.partition(".")[0] not in allowed and not module.startswith("azure.functions")
    ]


@pytest.mark.parametrize("name", PRODUCT)
def test_the_product_has_no_branch_for_the_local_stack(name: str) -> None:
    assert not [
        f"{source.relative_to(ROOT)}:{number}: {line.strip()}"
        for source in sources(name)
        for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), 1)
        if any(word in line.lower() for word in LOCAL_WORDS)
    ]
