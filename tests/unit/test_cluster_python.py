"""What runs on the cluster must be understood by the cluster's Python, which is older than the app's."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*(ROOT / "shared").rglob("*.py"), *(ROOT / "components").rglob("*.py")])


def cluster_python() -> tuple[int, int]:
    """The version that components/environment.yaml asks for."""
    environment = yaml.safe_load((ROOT / "components" / "environment.yaml").read_text(encoding="utf-8"))
    (version,) = (each for each in environment["dependencies"] if str(each).startswith("python="))
    major, minor = version.removeprefix("python=").split(".")[:2]
    return int(major), int(minor)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_its_syntax_is_the_cluster_pythons(source: Path) -> None:
    ast.parse(source.read_text(encoding="utf-8"), feature_version=cluster_python())
