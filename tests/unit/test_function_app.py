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
    "urllib3",
)


def queue(name: str) -> dict[str, str]:
    return {"type": "queueTrigger", "queueName": name, "connection": "DATA_STORAGE"}


def http(method: str, route: str, level: str = "function") -> dict[str, str]:
    return {"type": "httpTrigger", "methods": method, "route": route, "authLevel": level}


EVENT_GRID = {"type": "eventGridTrigger"}
FUNCTIONS = {
    "provision_start": http("POST", "provision"),
    "provision_status": http("GET,HEAD", "provision"),
    "provision_delete": http("DELETE", "provision/{resource}"),
    "provision_work": queue("provision"),
    "provision_poisoned": queue("provision-poison"),
    "label_export_landed": EVENT_GRID,
    "label_export_train": queue("label-exports"),
    "train": http("POST", "train"),
    "list_exports": http("GET,HEAD", "exports"),
    "get_export": http("GET,HEAD", "exports/{id}"),
    "get_export_report": http("GET,HEAD", "exports/{id}/report"),
    "image_landed": {
        "type": "blobTrigger",
        "path": "images/{name}",
        "connection": "DATA_STORAGE",
        "source": "EventGrid",
    },
    "image_too_large": EVENT_GRID,
    "image_poisoned": queue("webjobs-blobtrigger-poison"),
    "sweep_images": {"type": "timerTrigger", "schedule": "0 30 * * * *"},
    "image_found": queue("found-images"),
    "image_found_poisoned": queue("found-images-poison"),
    "dispatch_batches": {"type": "timerTrigger", "schedule": "0 * * * * *"},
    "plan_rescorings": queue("rescore"),
    "job_changed": EVENT_GRID,
    "job_settle": queue("job-events"),
    "publish_announcement": queue("announcements"),
    "deliver_webhook": queue("webhooks"),
    "return_dead_letters": {"type": "timerTrigger", "schedule": "0 */5 * * * *"},
    "predict": http("POST", "predict"),
    "list_models": http("GET,HEAD", "models"),
    "get_model": http("GET,HEAD", "models/{version}"),
    "get_model_report": http("GET,HEAD", "models/{version}/report"),
    "promote_model": http("POST", "models/{version}/promote"),
    "list_jobs": http("GET,HEAD", "jobs"),
    "get_job": http("GET,HEAD", "jobs/{name}"),
    "cancel_job": http("POST", "jobs/{name}/cancel"),
    "health": http("GET,HEAD", "health", "anonymous"),
    "list_batches": http("GET,HEAD", "batches"),
    "get_batch": http("GET,HEAD", "batches/{id}"),
    "score": http("POST", "score"),
    "get_score": http("GET,HEAD", "scores/{id}"),
    "list_images": http("GET,HEAD", "images"),
    "read_image": http("GET,HEAD", "images/{*path}"),
    "put_image": http("PUT", "images/{*path}"),
    "get_predictions": http("GET,HEAD", "predictions"),
    "summary": http("GET,HEAD", "summary"),
    "label_counts": http("GET,HEAD", "label-counts"),
    "review": http("GET,HEAD", "review"),
    "list_corrections": http("GET,HEAD", "corrections"),
    "put_correction": http("PUT", "corrections/{*path}"),
    "export_corrections": http("POST", "corrections/export"),
    "create_subscription": http("POST", "subscriptions"),
    "list_subscriptions": http("GET,HEAD", "subscriptions"),
    "get_subscription": http("GET,HEAD", "subscriptions/{id}"),
    "delete_subscription": http("DELETE", "subscriptions/{id}"),
    "try_subscription": http("POST", "subscriptions/{id}/test"),
    "rotate_secret": http("POST", "subscriptions/{id}/rotate"),
    "dashboard": http("GET,HEAD", "dashboard", "anonymous"),
    "dashboard_file": http("GET,HEAD", "dashboard/{*file}", "anonymous"),
    "thumbnail": http("GET,HEAD", "thumbnails/{*path}"),
    "openapi": http("GET,HEAD", "openapi.json", "anonymous"),
    "zz_unknown_path": http("DELETE,GET,HEAD,OPTIONS,PATCH,POST,PUT", "{*path}", "anonymous"),
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


def test_what_answers_http_is_the_table_of_routes_with_the_catch_all_last(triggers: dict[str, dict[str, Any]]) -> None:
    from handlers.http import api

    names = [name for name, trigger in triggers.items() if trigger["type"] == "httpTrigger"]
    assert max(names, key=str.lower) == "zz_unknown_path", "the host tries functions in the order of their names"
    assert sorted(names) == sorted([*(route.name for route in api.routes), "zz_unknown_path"])


def test_the_containers_and_the_timers_are_what_the_settings_say() -> None:
    printed = fresh_interpreter(
        "from function_app import app\n"
        "for function in app.get_functions():\n"
        "    trigger = function.get_trigger().get_dict_repr()\n"
        "    print(trigger.get('path'), trigger.get('schedule'))",
        IMAGES_CONTAINER="pictures",
        BATCH_INTERVAL="*/7 * * * * *",
        SWEEP_INTERVAL="*/9 * * * * *",
    )
    assert "pictures/{name}" in printed
    assert "*/7 * * * * *" in printed
    assert "*/9 * * * * *" in printed


def test_with_entra_the_host_asks_for_no_key_since_the_app_asks_who_it_is() -> None:
    printed = fresh_interpreter(
        "from function_app import app\n"
        "print({function.get_trigger().get_dict_repr().get('authLevel') for function in app.get_functions()})",
        API_AUTH="entra",
    )
    assert "FUNCTION" not in printed
    assert "ANONYMOUS" in printed


def test_the_app_loads_without_any_setting_so_that_a_missing_one_is_told_by_a_function() -> None:
    assert fresh_interpreter("import function_app; print('loaded')").strip() == "loaded"


def test_loading_the_app_loads_no_heavy_module() -> None:
    loaded = fresh_interpreter("import function_app, sys; print('\\n'.join(sys.modules))", **REQUIRED).split()
    assert "handlers.api" in loaded
    assert [name for name in loaded if name in HEAVY or name.startswith(tuple(f"{each}." for each in HEAVY))] == []
