"""Trainings that someone asks for: of an export, or of a registered data asset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.errors import ConflictError, ExportError, InvalidRequestError, NotFoundError, SettingsError
from shared.locations import Datastores, locate, read_datastores
from shared.training.exports import LandedExport, find_export
from shared.training.line import training_lock
from shared.training.reports import INCOMPLETE, REFUSED
from shared.training.starting import Start, TrainingOutcome

if TYPE_CHECKING:
    from shared.clients import Clients
    from shared.settings import Settings

# https://learn.microsoft.com/azure/machine-learning/how-to-datastore: the one in whose container exports land
DEFAULT_DATASTORE = "workspaceblobstore"
FIELDS = frozenset({"export", "data_asset", "base_models", "max_trials", "incremental"})


def train_by_request(clients: Clients, body: Mapping[str, Any]) -> TrainingOutcome:
    """Train on what a request names, without waiting for quiet and however little is new.

    Raises InvalidRequestError for a request that is none, NotFoundError when there is no such export, ExportError when
    it can't be trained on, and ConflictError while another export is being read.
    """
    changes = _changes(body, clients.settings)
    asked = [name for name in ("export", "data_asset") if body.get(name) is not None]
    if len(asked) != 1:
        raise InvalidRequestError('the body must have either "export", a path, or "data_asset", as "name:version"')
    (what,) = asked
    value = body[what]
    if not isinstance(value, str) or not value.strip("/ "):
        raise InvalidRequestError(f"{what} is {value!r}, but must be a text", what)
    datastores = read_datastores(clients.ml, clients.account_name)
    container, path, name = _export(value, datastores) if what == "export" else _data_asset(clients, value, datastores)
    landed = LandedExport(container, path, by_hand=True, changes=changes, name=name)
    found = find_export(clients, landed)
    if found is None:
        raise NotFoundError(f"label export {container}/{path} does not exist")
    with training_lock(clients) as is_mine:
        if not is_mine:
            raise ConflictError("another label export is being read just now; try again in a minute")
        outcome = Start(clients, landed, found).carry_out()
    if outcome.state in {REFUSED, INCOMPLETE}:
        raise ExportError(found.name, list(outcome.problems))
    return outcome


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
    trials = body.get("max_trials")
    if trials is not None:
        if not isinstance(trials, int) or isinstance(trials, bool):
            raise InvalidRequestError(f"max_trials is {trials!r}, but must be a whole number", "max_trials")
        changes["max_trials"] = str(trials)
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


def _export(value: str, datastores: Datastores) -> tuple[str, str, str]:
    """A path within the default container, or one that begins with a container that has a datastore."""
    first, _, rest = value.strip().lstrip("/").partition("/")
    if first in datastores.containers.values() and rest:
        return first, rest, ""
    container = datastores.containers.get(DEFAULT_DATASTORE)
    if container is None:
        raise InvalidRequestError(
            f"export {value!r} must begin with a container, since datastore {DEFAULT_DATASTORE} is not there", "export"
        )
    return container, value.strip().lstrip("/"), ""


def _data_asset(clients: Clients, value: str, datastores: Datastores) -> tuple[str, str, str]:
    """Where a registered data asset lies: an MLTable or a folder as a folder, a file as itself."""
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
        raise InvalidRequestError(f"data asset {value}: {error}", "data_asset") from None
    path = location.path if kind == "uri_file" else f"{location.path}/"
    return location.container, path, f"azureml:{value}"
