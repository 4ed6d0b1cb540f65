"""The function app as a host sees it: which functions there are, what triggers them, and what importing it costs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import REQUIRED

ROOT = Path(__file__).resolve().parents[2]
HEAVY = (
    "azure.ai.ml",
    "azure.storage",
    "azure.identity",
    "azure.data",
    "azure.core",
    "azure.mgmt",
    "azure.eventgrid",
    "pandas",
    "PIL",
    "numpy",
    "onnxruntime",
    "sklearn",
    "requests",
)


def queue(name: str) -> dict[str, str]:
    return {"type": "queueTrigger", "queueName": name, "connection": "DATA_STORAGE"}


def http(method: str, route: str, level: str = "function") -> dict[str, str]:
    return {"type": "httpTrigger", "methods": method, "route": route, "authLevel": level}


EVENT_GRID = {"type": "eventGridTrigger"}
FUNCTIONS = {
    "provision_start": http("POST", "provision"),
    "provision_status": http("GET", "provision"),
    "provision_delete": http("DELETE", "provision/{resource}"),
    "provision_work": queue("provision"),
    "provision_poisoned": queue("provision-poison"),
    "label_export_landed": EVENT_GRID,
    "label_export_train": queue("label-exports"),
    "train": http("POST", "train"),
    "list_exports": http("GET", "exports"),
    "get_export": http("GET", "exports/{id}"),
    "image_landed": {
        "type": "blobTrigger",
        "path": "images/{name}",
        "connection": "DATA_STORAGE",
        "source": "EventGrid",
    },
    "image_too_large": EVENT_GRID,
    "image_poisoned": queue("webjobs-blobtrigger-poison"),
    "dispatch_batches": {"type": "timerTrigger", "schedule": "0 * * * * *"},
    "job_changed": EVENT_GRID,
    "job_settle": queue("job-events"),
    "publish_announcement": queue("announcements"),
    "return_dead_letters": {"type": "timerTrigger", "schedule": "0 */5 * * * *"},
    "predict": http("POST", "predict"),
    "list_models": http("GET", "models"),
    "get_model": http("GET", "models/{version}"),
    "promote_model": http("POST", "models/{version}/promote"),
    "list_jobs": http("GET", "jobs"),
    "get_job": http("GET", "jobs/{name}"),
    "cancel_job": http("POST", "jobs/{name}/cancel"),
    "health": http("GET", "health", "anonymous"),
}


def fresh_interpreter(code: str, **environment: str) -> str:
    """What `code` prints in an interpreter that has imported nothing of ours."""
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=ROOT, env={**clean, **environment}, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def triggers() -> dict[str, dict[str, Any]]:
    """Each function's trigger, as its declaration says it."""
    from function_app import app

    return {str(function.get_function_name()): described(function) for function in app.get_functions()}


def described(function: Any) -> dict[str, Any]:
    trigger = dict(function.get_trigger().get_dict_repr())
    del trigger["direction"], trigger["name"]
    if "methods" in trigger:
        trigger["methods"] = ",".join(method.value for method in trigger["methods"])
        trigger["authLevel"] = trigger["authLevel"].value
    return trigger


def test_the_functions_and_their_triggers_are_those_of_the_contract(triggers: dict[str, dict[str, Any]]) -> None:
    assert triggers == FUNCTIONS


def test_the_containers_and_the_timer_are_what_the_settings_say() -> None:
    printed = fresh_interpreter(
        "from function_app import app\n"
        "for function in app.get_functions():\n"
        "    trigger = function.get_trigger().get_dict_repr()\n"
        "    print(trigger.get('path'), trigger.get('schedule'))",
        IMAGES_CONTAINER="pictures",
        BATCH_INTERVAL="*/7 * * * * *",
    )
    assert "pictures/{name}" in printed
    assert "*/7 * * * * *" in printed


def test_the_app_loads_without_any_setting_so_that_a_missing_one_is_told_by_a_function() -> None:
    assert fresh_interpreter("import function_app; print('loaded')").strip() == "loaded"


def test_loading_the_app_loads_no_heavy_module() -> None:
    loaded = fresh_interpreter("import function_app, sys; print('\\n'.join(sys.modules))", **REQUIRED).split()
    assert "handlers.api" in loaded
    assert [name for name in loaded if name in HEAVY or name.startswith(tuple(f"{each}." for each in HEAVY))] == []
