"""What a blob trigger is made of: the queued message, path patterns, and a blob's properties as the worker gets them.

Everything here is pure. Sources: BlobsExtensionConfigProvider, BlobTriggerMessage, BlobTriggerBinding and
BindingTemplateSource of the real extension; Azure.Storage.Blobs.Models.BlobProperties.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote, urlsplit

POISON_QUEUE = "webjobs-blobtrigger-poison"
_NEVER = "0001-01-01T00:00:00+00:00"
_BLOB_TYPES = {"BlockBlob": 0, "PageBlob": 1, "AppendBlob": 2}
_COPY_STATUS = {"pending": 0, "success": 1, "aborted": 2, "failed": 3}
_LEASE_DURATION = {"infinite": 0, "fixed": 1}
_LEASE_STATE = {"available": 0, "leased": 1, "expired": 2, "breaking": 3, "broken": 4}
_LEASE_STATUS = {"locked": 0, "unlocked": 1}


def blob_queue_name(host_id: str) -> str:
    """The host's internal queue of blob notifications."""
    return f"azure-webjobs-blobtrigger-{host_id}"


@dataclass(frozen=True)
class BlobMessage:
    """A blob notification as it lies on the internal queue, and on the poison queue when it failed for good."""

    function_id: str
    blob_type: str
    container: str
    blob: str
    etag: str

    @property
    def path(self) -> str:
        return f"{self.container}/{self.blob}"

    def to_json(self) -> str:
        return json.dumps(
            {
                "Type": "BlobTrigger",
                "FunctionId": self.function_id,
                "BlobType": self.blob_type,
                "ContainerName": self.container,
                "BlobName": self.blob,
                "ETag": self.etag,
            },
            indent=2,
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> BlobMessage:
        """Raises ValueError when `text` is not such a message."""
        try:
            document = json.loads(text)
            return cls(
                function_id=document["FunctionId"],
                blob_type=document.get("BlobType", "BlockBlob"),
                container=document["ContainerName"],
                blob=document["BlobName"],
                etag=document.get("ETag", ""),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a blob trigger message: {error!r}") from error


def message_of_event(event: Mapping[str, Any], function_id: str) -> BlobMessage:
    """The notification that a storage event becomes. Raises ValueError when it is not a storage event.

    Neither the event's type nor the trigger's path is looked at, as in the real extension: what reaches the webhook is
    up to the subscription's filters.
    """
    try:
        data = event["data"]
        container, blob = split_blob_url(data["url"])
        return BlobMessage(
            function_id=function_id,
            blob_type=data["blobType"],
            container=container,
            blob=blob,
            etag=f'"{data["eTag"]}"',
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a storage event, {error!r} is missing or wrong") from error


def split_blob_url(url: str) -> tuple[str, str]:
    """Container and blob name in a blob's URL; an address or localhost as host has the account's name before them.

    Raises ValueError when there is no blob in it.
    """
    parts = urlsplit(url)
    segments = parts.path.lstrip("/").split("/")
    if _is_path_style(parts.hostname or ""):
        segments = segments[1:]
    if len(segments) < 2 or not all((segments[0], segments[1])):
        raise ValueError(f"{url!r} is not the URL of a blob")
    return unquote(segments[0]), unquote("/".join(segments[1:]))


def _is_path_style(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def match_path(pattern: str, path: str) -> dict[str, str] | None:
    """Values of the `{name}` expressions of a trigger path, or None when `path` (`container/blob`) does not match.

    A pattern without blob part takes the whole container. Names match as much as they can, slashes included.
    """
    container, _, blob = pattern.partition("/")
    if not blob:
        return {} if path.partition("/")[0].lower() == container.lower() else None
    expression = ""
    seen = set()
    for literal, name in re.findall(r"([^{}]+)|\{([^{}]+)\}", pattern):
        if literal:
            expression += re.escape(literal)
        else:
            expression += f"(?P={name})" if name in seen else f"(?P<{name}>.*)"
            seen.add(name)
    found = re.fullmatch(expression, path, re.DOTALL)
    return None if found is None else found.groupdict()


def properties_json(headers: Mapping[str, str]) -> str:
    """The answer to Get Blob as Newtonsoft.Json writes .NET's BlobProperties: what Python sees as `blob_properties`.

    `headers` ignore case. `ETag` is `{}`, in Azure as here: it is a struct without public properties, and the converter
    it has is for another serializer (azure-sdk-for-net pull request 5469 shows the result). There is no `Length`; the
    worker library takes `ContentLength`. Enumerations are numbers, the hash is base64, unset times are the year 1.
    """
    copy_status = _COPY_STATUS.get(headers.get("x-ms-copy-status", ""))
    total = headers.get("Content-Range", "").rpartition("/")[2] or headers.get("Content-Length", "0")
    return json.dumps(
        {
            "LastModified": _time(headers.get("Last-Modified")),
            "CreatedOn": _time(headers.get("x-ms-creation-time")),
            "Metadata": blob_metadata(headers),
            "ObjectReplicationDestinationPolicyId": None,
            "ObjectReplicationSourceProperties": [],
            "BlobType": _BLOB_TYPES.get(headers.get("x-ms-blob-type", ""), 0),
            "CopyCompletedOn": _time(headers.get("x-ms-copy-completion-time")),
            "CopyStatusDescription": headers.get("x-ms-copy-status-description"),
            "CopyId": headers.get("x-ms-copy-id"),
            "CopyProgress": headers.get("x-ms-copy-progress"),
            "CopySource": headers.get("x-ms-copy-source"),
            "CopyStatus": copy_status or 0,
            "BlobCopyStatus": copy_status,
            "IsIncrementalCopy": headers.get("x-ms-incremental-copy") == "true",
            "DestinationSnapshot": headers.get("x-ms-copy-destination-snapshot"),
            "LeaseDuration": _LEASE_DURATION.get(headers.get("x-ms-lease-duration", ""), 0),
            "LeaseState": _LEASE_STATE.get(headers.get("x-ms-lease-state", ""), 0),
            "LeaseStatus": _LEASE_STATUS.get(headers.get("x-ms-lease-status", ""), 0),
            "ContentLength": int(total),
            "ContentType": headers.get("Content-Type"),
            "ETag": {},
            "ContentHash": headers.get("Content-MD5"),
            "ContentEncoding": headers.get("Content-Encoding"),
            "ContentDisposition": headers.get("Content-Disposition"),
            "ContentLanguage": headers.get("Content-Language"),
            "CacheControl": headers.get("Cache-Control"),
            "BlobSequenceNumber": int(headers.get("x-ms-blob-sequence-number", "0")),
            "AcceptRanges": headers.get("Accept-Ranges"),
            "BlobCommittedBlockCount": int(headers.get("x-ms-blob-committed-block-count", "0")),
            "IsServerEncrypted": headers.get("x-ms-server-encrypted") == "true",
            "EncryptionKeySha256": headers.get("x-ms-encryption-key-sha256"),
            "EncryptionScope": headers.get("x-ms-encryption-scope"),
            "AccessTier": headers.get("x-ms-access-tier"),
            "AccessTierInferred": headers.get("x-ms-access-tier-inferred") == "true",
            "ArchiveStatus": headers.get("x-ms-archive-status"),
            "AccessTierChangedOn": _time(headers.get("x-ms-access-tier-change-time")),
            "VersionId": headers.get("x-ms-version-id"),
            "IsLatestVersion": headers.get("x-ms-is-current-version") == "true",
            "TagCount": int(headers.get("x-ms-tag-count", "0")),
            "ExpiresOn": _time(headers.get("x-ms-expiry-time")),
            "IsSealed": headers.get("x-ms-blob-sealed") == "true",
            "RehydratePriority": headers.get("x-ms-rehydrate-priority"),
            "LastAccessed": _time(headers.get("x-ms-last-access-time")),
            "HasLegalHold": headers.get("x-ms-legal-hold") == "true",
        }
    )


def blob_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """The blob's own metadata, in the answer to Get Blob."""
    start = "x-ms-meta-"
    return {name[len(start) :]: value for name, value in headers.items() if name.lower().startswith(start)}


def _time(value: str | None) -> str:
    return _NEVER if not value else parsedate_to_datetime(value).isoformat()
