"""Trainings that someone asks for: of an export, or of a registered data asset."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.cluster import find_job, status_of
from shared.errors import ExportError, InvalidRequestError, NotFoundError, SettingsError
from shared.locations import Datastores, locate, read_datastores
from shared.training.data_assets import PREFIX, is_v1, read_definition
from shared.training.exports import LandedExport, announce_export, find_export
from shared.training.reports import (
    FAILED,
    INCOMPLETE,
    QUEUED,
    REFUSED,
    TRAINING,
    TRAINING_STATES,
    note_request,
    read_report,
)
from shared.training.shapes import decision_shape
from shared.training.starting import TrainingOutcome

if TYPE_CHECKING:
    from shared.clients import Clients
    from shared.settings import Settings
    from shared.training.exports import FoundExport

# https://learn.microsoft.com/azure/machine-learning/how-to-datastore: the one in whose container exports land
DEFAULT_DATASTORE = "workspaceblobstore"
# What a request may change: its fields that are whole numbers, by the settings' names.
NUMBERS = ("max_trials", "training_batch_size", "validation_batch_size")
FIELDS = frozenset({"export", "data_asset", "base_models", "incremental", *NUMBERS})
# How long an answer may wait for a decision, and how often that is looked for.
WAIT_SECONDS = 20.0
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.25, 2.0


def train_by_request(clients: Clients, body: Mapping[str, Any]) -> TrainingOutcome:
    """Train on what a request names, without waiting for quiet and however little is new.

    A request has 230 s, and to read an export of a million rows and compare its images takes longer. So the request is
    checked, its files are found, and the export goes on the queue. For WAIT_SECONDS the answer waits for the decision,
    which a small export has by then: so it has the job, or the reasons against one. Else the state is `queued`, and
    the export's report tells the rest. The same files with the same settings again, whose training is there, are
    not read again: what they are is remembered in the report, by their etags.

    Raises InvalidRequestError for a request that is none, NotFoundError when there is no such export, and ExportError
    when it was decided within the wait that it can't be trained on.
    """
    changes = _changes(body, clients.settings)
    landed = dataclasses.replace(_asked_for(clients, body), by_hand=True, changes=changes)
    found = find_export(clients, landed)
    if found is None:
        raise NotFoundError(f"label export {landed.asked_name} does not exist")
    known = _known_training(clients, found, decision_shape(clients.settings.with_changes(changes)))
    if known is not None:
        return known
    # In this order: a worker that dies in between has accepted nothing, and the message comes after what it changes.
    note_request(clients, found.name)
    announce_export(clients, dataclasses.replace(landed, name=found.name), 0)
    outcome = _await_decision(clients, found.name)
    if outcome.state in {REFUSED, INCOMPLETE}:
        raise ExportError(found.name, list(outcome.problems))
    return outcome


def _known_training(clients: Clients, found: FoundExport, shape: str) -> TrainingOutcome | None:
    """The training of just these files and settings, if there is one that did not fail."""
    report = read_report(clients, found.name)
    if report is None or report["state"] not in {TRAINING, *TRAINING_STATES.values()}:
        return None
    if (report.get("content"), report.get("shape")) != (found.content, shape):
        return None
    job = find_job(clients, report["job"])
    status = status_of(job) if job else ""
    if job is None or status in {"Failed", "Canceled"}:
        return None
    return TrainingOutcome(TRAINING_STATES.get(status, TRAINING), found.name, report["job"])


def _await_decision(clients: Clients, export: str) -> TrainingOutcome:
    """What the look at an export that was asked for comes to; `queued` when it takes longer."""
    deadline = time.monotonic() + WAIT_SECONDS
    pause = FIRST_PAUSE_SECONDS
    while True:
        report = read_report(clients, export)
        # What another look, at a file's event, came to in the meantime is not the answer.
        if report is not None and report.get("by_hand") and report["state"] not in {QUEUED, FAILED}:
            created = bool(report.get("created"))
            return TrainingOutcome(report["state"], export, report["job"], created, tuple(report["problems"]))
        if time.monotonic() + pause > deadline:
            return TrainingOutcome(QUEUED, export)
        time.sleep(pause)
        pause = min(2 * pause, LAST_PAUSE_SECONDS)


def _asked_for(clients: Clients, body: Mapping[str, Any]) -> LandedExport:
    """The export that a request names."""
    asked = [name for name in ("export", "data_asset") if body.get(name) is not None]
    if len(asked) != 1:
        raise InvalidRequestError('the body must have either "export", a path, or "data_asset", as "name:version"')
    (what,) = asked
    value = body[what]
    if not isinstance(value, str) or not value.strip("/ "):
        raise InvalidRequestError(f"{what} is {value!r}, but must be a text", what)
    datastores = read_datastores(clients.ml, clients.account_name)
    return _export(value, datastores) if what == "export" else _data_asset(clients, value, datastores)


def _changes(body: Mapping[str, Any], settings: Settings) -> dict[str, str]:
    """The settings that a request changes, as texts, by the names of their fields."""
    unknown = sorted(set(body) - FIELDS)
    if unknown:
        raise InvalidRequestError(f"{unknown[0]} is not known; known are {', '.join(sorted(FIELDS))}", unknown[0])
    changes: dict[str, str] = {}
    models = body.get("base_models")
    if models is not None:
        if not isinstance(models, str | list) or not all(isinstance(each, str) for each in models):
            raise InvalidRequestError(f"base_models is {models!r}, but must be a list of names, or auto", "base_models")
        changes["base_models"] = models if isinstance(models, str) else ",".join(models) or "none"
    for name in NUMBERS:
        number = body.get(name)
        if number is None:
            continue
        if not isinstance(number, int) or isinstance(number, bool):
            raise InvalidRequestError(f"{name} is {number!r}, but must be a whole number", name)
        changes[name] = str(number)
    incremental = body.get("incremental")
    if incremental is not None:
        if not isinstance(incremental, bool):
            raise InvalidRequestError(f"incremental is {incremental!r}, but must be true or false", "incremental")
        changes["train_incremental"] = str(incremental)
    try:
        settings.with_changes(changes)
    except SettingsError as error:
        field = {"TRAIN_INCREMENTAL": "incremental"}.get(error.setting, error.setting.lower())
        raise InvalidRequestError(str(error).removeprefix("setting "), field) from None
    return changes


def _export(value: str, datastores: Datastores) -> LandedExport:
    """A path within the default container, or one that begins with a container that has a datastore."""
    first, _, rest = value.strip().lstrip("/").partition("/")
    if first in datastores.containers.values() and rest:
        return LandedExport(first, rest)
    container = datastores.containers.get(DEFAULT_DATASTORE)
    if container is None:
        raise InvalidRequestError(
            f"export {value!r} must begin with a container, since datastore {DEFAULT_DATASTORE} is not there", "export"
        )
    return LandedExport(container, value.strip().lstrip("/"))


def _data_asset(clients: Clients, value: str, datastores: Datastores) -> LandedExport:
    """Where a registered data asset lies: an MLTable or a folder as a folder, a file as itself, and a v1 data set where
    its definition says.
    """
    from azure.core.exceptions import ResourceNotFoundError

    name, _, version = value.rpartition(":")
    if not name or not version:
        raise InvalidRequestError(f'data_asset is {value!r}, but must be "name:version"', "data_asset")
    try:
        asset = clients.ml.data.get(name, version)
    except ResourceNotFoundError:
        raise NotFoundError(f"there is no data asset {value}") from None
    kind, url = str(asset.type), str(asset.path)
    try:
        location = locate(url.rstrip("/"), datastores, account_url=clients.account_url)
    except InvalidRequestError as error:
        location, problem = None, str(error)
    # Tables are what v1's data sets are shown as.
    if (location is None or kind == "mltable") and is_v1(clients, name, version):
        return LandedExport(read_definition(clients, PREFIX + value).container, "", name=PREFIX + value)
    if location is None:
        raise InvalidRequestError(f"data asset {value}: {problem}", "data_asset")
    path = location.path if kind == "uri_file" else f"{location.path}/"
    return LandedExport(location.container, path, name=PREFIX + value)
