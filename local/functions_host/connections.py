"""Connections: a name in a binding → where the storage is and how to sign in.

The rules are those of the storage extensions: `AzureWebJobs<name>` before `<name>`; a plain value is a connection
string; below it, `__accountName` or `__blobServiceUri` / `__queueServiceUri` / `__serviceUri`, with `__credential` and
`__clientId` for a managed identity, or `__tenantId` + `__clientId` + `__clientSecret`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from local.functions_host.errors import FunctionInError
from local.functions_host.functions import DEFAULT_CONNECTION
from local.functions_host.settings import setting

BLOB, QUEUE = "blob", "queue"
# The storage emulator's published account and ports; they protect nothing.
_DEVELOPMENT = (
    "AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1"
)


@dataclass(frozen=True)
class SharedKey:
    """An account and its key, in base64."""

    account: str
    key: str


@dataclass(frozen=True)
class Sas:
    """A shared access signature: query parameters, without question mark."""

    query: str


@dataclass(frozen=True)
class Identity:
    """Who signs in: a managed identity, an application with a secret, or (neither) the default credential chain."""

    managed: bool = False
    client_id: str | None = None
    tenant_id: str | None = None
    client_secret: str | None = None


@dataclass(frozen=True)
class Endpoint:
    """One service of one account. `url` has no trailing slash."""

    url: str
    credential: SharedKey | Sas | Identity


def resolve_connection(name: str, service: str, settings: Mapping[str, str]) -> Endpoint:
    """How to reach `service` (`blob` or `queue`) of connection `name`. FunctionInError names what is missing."""
    prefixed = name if name.lower() == DEFAULT_CONNECTION.lower() else f"AzureWebJobs{name}"
    for key in dict.fromkeys((prefixed, name)):
        value = setting(key, settings)
        if value:
            return parse_connection_string(value, service, key)
        below = _below(key, settings)
        if below:
            return Endpoint(_endpoint(key, service, below), _identity(below))
    raise FunctionInError(
        f"Storage account connection string '{prefixed}' does not exist. Make sure that it is a defined App Setting."
    )


def parse_connection_string(text: str, service: str, name: str) -> Endpoint:
    """Where `service` is and how to sign in, from a storage connection string. `name` is for the error's message."""
    parts = _parts(text)
    if parts.get("usedevelopmentstorage", "").lower() == "true":
        parts = _parts(_DEVELOPMENT)
    url = parts.get(f"{service}endpoint")
    account = parts.get("accountname")
    if url is None and account:
        suffix = parts.get("endpointsuffix", "core.windows.net")
        url = f"{parts.get('defaultendpointsprotocol', 'https')}://{account}.{service}.{suffix}"
    if url is None:
        raise FunctionInError(
            f"The connection string in '{name}' has neither AccountName nor {service.capitalize()}Endpoint."
        )
    if parts.get("sharedaccesssignature"):
        return Endpoint(url.rstrip("/"), Sas(parts["sharedaccesssignature"].lstrip("?")))
    if account and parts.get("accountkey"):
        return Endpoint(url.rstrip("/"), SharedKey(account, parts["accountkey"]))
    raise FunctionInError(
        f"The connection string in '{name}' has neither AccountName and AccountKey nor SharedAccessSignature."
    )


def _parts(text: str) -> dict[str, str]:
    pairs = (part.split("=", 1) for part in text.split(";") if "=" in part)
    return {key.strip().lower(): value.strip() for key, value in pairs}


def _below(key: str, settings: Mapping[str, str]) -> dict[str, str]:
    start = f"{key}__".lower()
    return {other[len(start) :].lower(): value for other, value in settings.items() if other.lower().startswith(start)}


def _endpoint(key: str, service: str, below: Mapping[str, str]) -> str:
    endpoint = below.get(f"{service}serviceuri") or below.get("serviceuri")
    if endpoint:
        return endpoint.rstrip("/")
    if below.get("accountname"):
        return f"https://{below['accountname']}.{service}.core.windows.net"
    raise FunctionInError(
        f"Connection '{key}' has neither {key}__{service}ServiceUri nor {key}__accountName; one of them is needed."
    )


def _identity(below: Mapping[str, str]) -> Identity:
    kind = below.get("credential", "").lower()
    if kind not in {"", "managedidentity"}:
        raise FunctionInError(f"Connection credential {kind!r} is not known; expected 'managedidentity' or none.")
    return Identity(
        managed=kind == "managedidentity",
        client_id=below.get("clientid"),
        tenant_id=below.get("tenantid"),
        client_secret=below.get("clientsecret"),
    )
