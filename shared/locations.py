"""Where a blob is, in the many ways that exports and data assets spell it. No URL is ever fetched as it is given:
account, container and path are taken out and read through our own client.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from shared.errors import InvalidRequestError

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

_SHORT = re.compile(r"azureml://datastores/(?P<datastore>[^/]+)/paths/(?P<path>.+)", re.IGNORECASE)
_LONG = re.compile(
    r"azureml://subscriptions/(?P<subscription>[^/]+)/resourcegroups/(?P<group>[^/]+)"
    r"(?:/providers/Microsoft\.MachineLearningServices)?/workspaces/(?P<workspace>[^/]+)"
    r"/datastores/(?P<datastore>[^/]+)/paths/(?P<path>.+)",
    re.IGNORECASE,
)
_LABELLING = re.compile(r"AmlDatastore://(?P<datastore>[^/]+)/(?P<path>.+)", re.IGNORECASE)


@dataclass(frozen=True)
class BlobLocation:
    """A blob of the data account."""

    container: str
    path: str

    def __str__(self) -> str:
        return f"{self.container}/{self.path}"


@dataclass(frozen=True)
class Datastores:
    """The workspace's blob datastores: name → container of the data account, for `workspace`."""

    containers: Mapping[str, str]
    subscription: str
    resource_group: str
    workspace: str

    def has(self, match: re.Match[str]) -> bool:
        """Whether a long datastore URI is about this workspace."""
        given = (match["subscription"], match["group"], match["workspace"])
        own = (self.subscription, self.resource_group, self.workspace)
        return [each.lower() for each in given] == [each.lower() for each in own]

    def name_of(self, container: str) -> str:
        """The datastore that shows a container. Raises InvalidRequestError when there is none."""
        for name, each in self.containers.items():
            if each == container:
                return name
        raise InvalidRequestError(
            f"container {container} has no datastore in workspace {self.workspace}; "
            f"there are datastores for {', '.join(sorted(set(self.containers.values()))) or 'none'}"
        )

    def uri(self, location: BlobLocation) -> str:
        """The long datastore URI of a blob, as AutoML's training data wants it."""
        return (
            f"azureml://subscriptions/{self.subscription}/resourcegroups/{self.resource_group}"
            f"/workspaces/{self.workspace}/datastores/{self.name_of(location.container)}/paths/{location.path}"
        )


def datastore_name(container: str) -> str:
    """Name of the datastore that LabelLoop makes for a container: datastores take no hyphens, containers do."""
    return container.replace("-", "_")


def read_datastores(ml: MLClient, account: str) -> Datastores:
    """The workspace's datastores that show containers of a storage account, by its name."""
    containers = {
        each.name: each.container_name
        for each in ml.datastores.list()
        if getattr(each, "account_name", None) == account and getattr(each, "container_name", None)
    }
    return Datastores(containers, ml.subscription_id, ml.resource_group_name, str(ml.workspace_name))


def locate(url: str, datastores: Datastores, *, account_url: str) -> BlobLocation:
    """The blob that an export means by `url`.

    Taken are `AmlDatastore://D/P`, `azureml://datastores/D/paths/P`, the long form with this workspace, and an
    http(s) URL of the data account (`account_url`). Raises InvalidRequestError for anything else.
    """
    location = _locate(url, datastores, account_url)
    _require_plain(url, location)
    return location


def _locate(url: str, datastores: Datastores, account_url: str) -> BlobLocation:
    match = _LONG.fullmatch(url)
    if match and not datastores.has(match):
        raise InvalidRequestError(
            f"{url}: is in workspace {match['workspace']} of resource group {match['group']}, subscription "
            f"{match['subscription']}, not in {datastores.workspace} of {datastores.resource_group}, "
            f"{datastores.subscription}"
        )
    match = match or _SHORT.fullmatch(url) or _LABELLING.fullmatch(url)
    if match:
        container = datastores.containers.get(match["datastore"])
        if container is None:
            known = ", ".join(sorted(datastores.containers)) or "none"
            raise InvalidRequestError(f"{url}: there is no blob datastore {match['datastore']}; there are {known}")
        return BlobLocation(container, match["path"])
    if url.lower().startswith(("https://", "http://")):
        return _locate_http(url, account_url)
    raise InvalidRequestError(
        f"{url or '(empty)'}: must be AmlDatastore://…, azureml://… or the https URL of a blob in {account_url}"
    )


def blob_of_account(url: str, account_url: str) -> BlobLocation:
    """The blob of the data account that an http(s) URL names. Raises InvalidRequestError for any other URL."""
    if not url.lower().startswith(("https://", "http://")):
        raise InvalidRequestError(f"{url or '(empty)'}: must be the https URL of a blob in {account_url}")
    location = _locate_http(url, account_url)
    _require_plain(url, location)
    return location


def _require_plain(url: str, location: BlobLocation) -> None:
    if {".", "..", ""} & set(location.path.split("/")):
        raise InvalidRequestError(f"{url}: its path has an empty, '.' or '..' segment, which names no blob")


def _locate_http(url: str, account_url: str) -> BlobLocation:
    try:
        parts, account = urlsplit(url), urlsplit(account_url)
    except ValueError as error:  # Of a host in brackets, or with characters that normalise to others.
        raise InvalidRequestError(f"{url}: is no URL: {error}") from None
    base = account.path.rstrip("/") + "/"
    # The account is told by its host name, or by the first part of the path where the endpoint is path-style.
    same_account = (parts.hostname or "").lower() == (account.hostname or "").lower() and parts.path.startswith(base)
    container, _, path = unquote(parts.path[len(base) :]).partition("/")
    if not same_account or not container or not path:
        raise InvalidRequestError(f"{url}: is no blob of the storage account {account_url}")
    return BlobLocation(container, path)
