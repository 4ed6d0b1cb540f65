"""Data sets of Azure ML v1, among them those that labelling projects export: which files they mean.

ARM shows them as data assets whose URI names no storage. The data plane tells `isV2: false` of them and keeps their
definition, converted to an MLTable file's text, as `legacyDataflow`; that is how the `mltable` package loads them (1.7,
`mltable.py`). What steps a converted definition may have is documented nowhere: those that choose among the rows are
refused, the reading of files is our own, and all others are told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.errors import InvalidRequestError, NotFoundError
from shared.labels.mltable import MAX_BYTES, load_yaml
from shared.labels.model import shortened
from shared.locations import locate, read_datastores

if TYPE_CHECKING:
    from shared.clients import Clients

PREFIX = "azureml:"
# https://learn.microsoft.com/azure/machine-learning/reference-yaml-mltable#transformations
_CHOOSING = frozenset({"take", "take_random_sample", "skip", "filter"})
_READING = frozenset({"read_json_lines", "read_delimited", "convert_column_types"})
_HELP = (
    "export the labels again as COCO or CSV, or register the folder of its label files as a data asset of type"
    " uri_folder, and train on that"
)


@dataclass(frozen=True)
class Definition:
    """The paths that a data set consists of, each of a kind (file, folder, pattern) and within `container`, and what
    is to be told of how it is read.
    """

    container: str
    paths: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def is_v1(clients: Clients, name: str, version: str) -> bool:
    """Whether a data asset was made by v1. False also where the data plane does not know it."""
    try:
        return not _describe(clients, name, version).get("isV2", True)
    except NotFoundError:
        return False


def read_definition(clients: Clients, name: str) -> Definition:
    """What a v1 data set, as `azureml:name:version`, consists of.

    Raises NotFoundError, and InvalidRequestError for a definition that can't be followed, with what to do.
    """
    asset, _, version = name.removeprefix(PREFIX).rpartition(":")
    text = _describe(clients, asset, version).get("legacyDataflow")
    table = _parsed(text)
    entries = table.get("paths") if isinstance(table, dict) else None
    if not isinstance(table, dict) or not isinstance(entries, list) or not entries:
        what = f"names no paths: {shortened(text)}" if text else "is empty"
        raise _refusal(name, f"has a definition that {what}")
    steps = _steps(table.get("transformations"))
    if choosing := sorted(_CHOOSING & set(steps)):
        raise _refusal(name, f"leaves out rows by {', '.join(choosing)}, which is not carried out here")
    datastores = read_datastores(clients.ml, clients.account_name)
    containers, paths = set(), []
    for entry in entries:
        kind, url = next(iter(entry.items())) if isinstance(entry, dict) and entry else ("", entry)
        if kind not in {"file", "folder", "pattern"} or not isinstance(url, str):
            raise _refusal(name, f"has {shortened(entry)} among its paths, which is no file, folder or pattern")
        try:
            location = locate(url.rstrip("/"), datastores, account_url=clients.account_url)
        except InvalidRequestError as error:
            raise _refusal(name, str(error)) from None
        containers.add(location.container)
        paths.append((kind, location.path))
    if len(containers) > 1:
        raise _refusal(name, f"lies in several containers: {', '.join(sorted(containers))}")
    return Definition(containers.pop(), tuple(paths), _notes([each for each in steps if each not in _READING]))


def _notes(others: list[str]) -> tuple[str, ...]:
    if not others:
        return ()
    return (f"steps of the data set's definition that are not carried out here: {', '.join(sorted(set(others)))}",)


def _describe(clients: Clients, name: str, version: str) -> dict[str, Any]:
    """What the data plane tells beside what the SDK knows of it. The SDK has the client, and shows nobody its answers.

    Raises NotFoundError.
    """
    from azure.core.exceptions import ResourceNotFoundError

    ml = clients.ml
    operations = ml.jobs._dataset_dataplane_operations._operation
    try:
        entity = operations.get(ml.subscription_id, ml.resource_group_name, ml.workspace_name, name, version)
    except ResourceNotFoundError:
        raise NotFoundError(f"there is no data asset {name}:{version}") from None
    told: dict[str, Any] = dict(entity.additional_properties)
    return told


def _parsed(text: object) -> object:
    if not isinstance(text, str) or len(text) > MAX_BYTES:
        return None
    try:
        parsed: object = load_yaml(text)
    except ValueError:
        return None
    return parsed


def _steps(value: object) -> list[str]:
    """Names of transformations, each of which is a text, or an object of one key."""
    entries = value if isinstance(value, list) else []
    return [str(next(iter(each))) if isinstance(each, dict) and each else str(each) for each in entries]


def _refusal(name: str, reason: str) -> InvalidRequestError:
    return InvalidRequestError(f"v1 data set {name.removeprefix(PREFIX)} {reason}; {_HELP}", "data_asset")
