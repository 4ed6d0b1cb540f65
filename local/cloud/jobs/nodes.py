"""How each type of node is run: command, parallel, AutoML."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.cloud.errors import UserError
from local.cloud.faults import Fault
from local.cloud.jobs.bindings import fill, own_input
from local.cloud.jobs.plan import Node
from local.cloud.jobs.process import in_folder, shell_command
from local.cloud.jobs.transfer import NodeFolder

Json = dict[str, Any]

DEFAULT_RETRIES, DEFAULT_TIMEOUT = 2, 60
"""Of a parallel node's mini-batches (learn.microsoft.com, "CLI (v2) parallel job YAML schema")."""


@dataclass(frozen=True)
class Values:
    """What a node's inputs and outputs are on this machine: paths, or the texts of literals."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    literals: frozenset[str]
    """The inputs that are literals: they go into a command line as they are, paths are quoted."""

    def fill(self, text: str) -> str:
        """Put the values into a command line."""
        inputs = {n: v if n in self.literals else shlex.quote(v) for n, v in self.inputs.items()}
        return fill(text, inputs, {n: shlex.quote(v) for n, v in self.outputs.items()})


def code_of(node: Node) -> str | None:
    """The code asset of a node; None for one that has none."""
    source = node.spec.get("task") or {} if node.type == "parallel" else node.spec
    code = source.get("code") if isinstance(source, dict) else None
    return str(code) if code else None


def command_of(node: Node, folder: NodeFolder, values: Values, fault: Fault | None) -> list[str]:
    """The command line of a command or parallel node. Raises UserError for settings that cannot be.

    `fault`: what happens to the nodes that a parallel node runs on.
    """
    if node.type == "command":
        return shell_command(folder.code, values.fill(str(node.spec["command"])))
    config = folder.root / "parallel.json"
    lost = {"lost_nodes": fault.lost_nodes, "lost_after": fault.delay} if fault is not None else {}
    config.write_text(json.dumps({**_parallel_settings(node, folder, values), **lost}))
    driver = Path(__file__).with_name("parallel_driver.py")
    return in_folder(folder.code, [sys.executable, str(driver), str(config)])


def _parallel_settings(node: Node, folder: NodeFolder, values: Values) -> Json:
    spec, task = node.spec, node.spec.get("task") or {}
    entry_script = str(task.get("entry_script") or "")
    if not (folder.code / entry_script).is_file():
        raise UserError(f"The node '{node.name}' has no entry script '{entry_script}' in its code.")
    data = own_input(str(spec.get("input_data") or ""))
    if data is None or data not in values.inputs:
        raise UserError(f"The node '{node.name}' has the input_data '{spec.get('input_data')}', not one of its inputs.")
    size = str(spec.get("mini_batch_size") or 1)
    if not size.isdigit() or int(size) < 1:
        raise UserError(f"The node '{node.name}' has the mini_batch_size '{size}'; for files it is a number of files.")
    resources = spec.get("resources") or {}
    wanted = int(resources.get("instance_count") or 1) * int(spec.get("max_concurrency_per_instance") or 1)
    retry = spec.get("retry_settings") or {}
    rows = own_input(str(task.get("append_row_to") or ""))
    threshold = spec.get("mini_batch_error_threshold")
    return {
        "code": str(folder.code),
        "entry_script": entry_script,
        "input": values.inputs[data],
        "arguments": shlex.split(values.fill(str(task.get("program_arguments") or ""))),
        "mini_batch_size": int(size),
        "workers": min(wanted, os.cpu_count() or 1),
        "max_retries": int(retry.get("max_retries", DEFAULT_RETRIES)),
        "timeout": float(retry.get("timeout", DEFAULT_TIMEOUT)),
        "error_threshold": -1 if threshold is None else int(threshold),
        "rows_folder": values.outputs[rows] if rows else None,
    }


def automl_command(spec_file: Path, out: Path) -> list[str]:
    """The local AutoML's command line; it runs in the repository, whose package it is."""
    return [sys.executable, "-m", "local.automl", "--spec", str(spec_file), "--out", str(out)]


def automl_spec(
    node: Node, *, trial: str, parent: str, inputs: Mapping[str, str], datastores: Mapping[str, str], account_url: str
) -> Json:
    """What the local AutoML reads: the node's settings, its data's folders, and how to reach blobs."""
    spec = node.spec
    return {
        "run_id": trial,
        "parent_run_id": parent,
        "task": spec["task"],
        "primary_metric": spec.get("primary_metric"),
        "target_column_name": spec.get("target_column_name"),
        "training_data": inputs["training_data"],
        "validation_data": inputs.get("validation_data"),
        "test_data": inputs.get("test_data"),
        "limits": spec.get("limits") or {},
        "training_parameters": spec.get("training_parameters") or {},
        "search_space": spec.get("search_space"),
        "sweep": spec.get("sweep"),
        "datastores": dict(datastores),
        "account_url": account_url,
    }
