"""Which storage operation a request is, from its method, path and query alone.

Source: the REST references of Blob, Queue and Table storage (learn.microsoft.com, rest/api/storageservices).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass(frozen=True)
class StorageRequest:
    """A request at the proxy. `container` and `blob` are decoded; for queues and tables `container` is their name."""

    service: str
    operation: str
    container: str
    blob: str
    query: Mapping[str, str]


def classify(service: str, method: str, raw_path: str, headers: Mapping[str, str]) -> StorageRequest:
    """Name a request's operation, as Azure Storage's logs do (`PutBlob`, `GetMessages`, `InsertEntity`, …)."""
    parts = urlsplit(raw_path)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    segments = unquote(parts.path).lstrip("/").split("/", 2)
    container = segments[1] if len(segments) > 1 else ""
    blob = segments[2] if len(segments) > 2 else ""
    name = {"blob": _blob, "queue": _queue, "table": _table}[service]
    return StorageRequest(service, name(method, container, blob, query, headers), container, blob, query)


def _blob(method: str, container: str, blob: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    part = query.get("comp", "")
    if not blob:
        if not container:
            return {("GET", "list"): "ListContainers", ("POST", "batch"): "BlobBatch"}.get(
                (method, part), "BlobService"
            )
        if part == "list":
            return "ListBlobs"
        if part == "batch":
            return "BlobBatch"
        if not part:
            kinds = {"PUT": "CreateContainer", "DELETE": "DeleteContainer"}
            return kinds.get(method, "GetContainerProperties")
        return f"Container{part.capitalize()}"
    match method, part:
        case "PUT", "":
            return "CopyBlob" if "x-ms-copy-source" in headers else "PutBlob"
        case "PUT", "block":
            return "PutBlock"
        case "PUT", "blocklist":
            return "PutBlockList"
        case "PUT", "appendblock":
            return "AppendBlock"
        case "PUT", "page":
            return "PutPage"
        case "PUT", "metadata":
            return "SetBlobMetadata"
        case "PUT", "properties":
            return "SetBlobProperties"
        case "PUT", "lease":
            return "LeaseBlob"
        case "PUT", "copy":
            return "AbortCopyBlob"
        case "GET", "":
            return "GetBlob"
        case "HEAD", _:
            return "GetBlobProperties"
        case "DELETE", _:
            return "DeleteBlob"
        case "GET", "blocklist":
            return "GetBlockList"
    return f"{method.capitalize()}Blob{part.capitalize()}"


def _queue(method: str, queue: str, rest: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    del headers
    if not queue:
        return "ListQueues" if query.get("comp") == "list" else "QueueService"
    if rest == "messages":
        if method == "GET":
            return "PeekMessages" if query.get("peekonly", "").lower() == "true" else "GetMessages"
        return {"POST": "PutMessage", "DELETE": "ClearMessages"}.get(method, f"{method.capitalize()}Messages")
    if rest.startswith("messages/"):
        return {"DELETE": "DeleteMessage", "PUT": "UpdateMessage"}.get(method, f"{method.capitalize()}Message")
    if query.get("comp"):
        return f"Queue{query['comp'].capitalize()}"
    return {"PUT": "CreateQueue", "DELETE": "DeleteQueue"}.get(method, "GetQueueProperties")


def _table(method: str, first: str, rest: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    del query
    method = headers.get("x-http-method", method)
    if first == "$batch":
        return "EntityGroupTransaction"
    if first == "Tables":
        return {"GET": "QueryTables", "POST": "CreateTable"}.get(method, f"{method.capitalize()}Tables")
    if first.startswith("Tables("):
        return {"DELETE": "DeleteTable"}.get(method, "GetTable")
    if not first:
        return "TableService"
    keyed = "(" in first and not first.endswith("()")
    if method == "GET":
        return "GetEntity" if keyed else "QueryEntities"
    if method == "POST":
        return "InsertEntity"
    del rest
    if method in ("PUT", "PATCH", "MERGE"):
        verb = "Update" if method == "PUT" else "Merge"
        return (
            f"{verb}Entity" if "if-match" in headers else f"InsertOr{'Replace' if method == 'PUT' else 'Merge'}Entity"
        )
    return {"DELETE": "DeleteEntity"}.get(method, f"{method.capitalize()}Entity")
