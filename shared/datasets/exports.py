"""What became of each label export: a report for machines and one for people, kept in the work container."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import heapq
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from shared.datasets.findings import Findings
from shared.datasets.page import render
from shared.errors import NotFoundError

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient

FOLDER = "exports/"
REPORT, PAGE = "report.json", "report.html"
_ID = re.compile(r"[0-9a-f]{16}")
# Names and values of a blob's metadata go as headers, of 8 KiB in all:
# https://learn.microsoft.com/rest/api/storageservices/setting-and-retrieving-properties-and-metadata-for-blob-resources
_MAX_METADATA = 3000


def export_id(export: str) -> str:
    """The id of a label export by its name: 16 hexadecimal digits."""
    return hashlib.sha256(export.encode()).hexdigest()[:16]


def make_report(
    export: str, findings: Findings, *, state: str, job: str = "", problems: Sequence[str] = ()
) -> dict[str, Any]:
    """What became of an export, as JSON.

    `state` is refused (nothing is started), failed (it could not be started and is tried again, a few times), training,
    and in the end trained, training failed or training canceled. `problems` are the reasons of the first two.
    `images` by split, `labels` by label and split, and all other figures are there as far as the export got.
    """
    remedies = [each.remedy for each in findings.found if each.remedy and each.weight == "refusal"]
    return {
        "id": export_id(export),
        "export": export,
        "state": state,
        "job": job,
        "images": {},
        "labels": {},
        **findings.figures,
        "warnings": findings.texts("warning"),
        "notes": findings.texts("note"),
        "problems": list(problems),
        "what_to_do": list(dict.fromkeys(remedies)),
        "findings": [dataclasses.asdict(each) for each in findings.found],
    }


def write_report(blobs: BlobServiceClient, container: str, report: Mapping[str, Any]) -> dict[str, Any]:
    """Write a report and its page to `exports/<id>/`, in place of earlier ones; returns it with the time of now (UTC).
    A report that was read with `get_export` and changed can be written again.
    """
    told = {**report, "updated_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds")}
    folder = f"{FOLDER}{report['id']}/"
    html = render(told).encode()
    from azure.storage.blob import ContentSettings

    page, json_blob = (blobs.get_blob_client(container, folder + name) for name in (PAGE, REPORT))
    page.upload_blob(html, overwrite=True, content_settings=ContentSettings("text/html; charset=utf-8"))
    json_blob.upload_blob(
        json.dumps(told, indent=2, ensure_ascii=False).encode(),
        overwrite=True,
        metadata=_metadata(told),
        content_settings=ContentSettings("application/json"),
    )
    return told


def _metadata(report: Mapping[str, Any]) -> dict[str, str]:
    """What a list of exports tells of one, so that it need not be read for that."""
    export = str(report["export"])
    return {
        # An escaped character has up to 12.
        "export": quote(export if len(quote(export)) <= _MAX_METADATA else export[: _MAX_METADATA // 12]),
        "state": quote(str(report["state"])),
        "job": quote(str(report["job"])),
        "data_set": str(report.get("data_set", "")),
        "images": str(sum(report["images"].values())),
        "labels": str(len(report["labels"])),
        "warnings": str(len(report["warnings"])),
    }


def list_exports(blobs: BlobServiceClient, container: str, *, limit: int = 100) -> list[dict[str, Any]]:
    """The exports that were looked at last, newest first. One request for 2,500 exports; no report is read."""
    from azure.core.exceptions import ResourceNotFoundError

    listing = blobs.get_container_client(container).list_blobs(name_starts_with=FOLDER, include=["metadata"])
    try:
        reports = [blob for blob in listing if blob.name.endswith(f"/{REPORT}")]
    except ResourceNotFoundError:
        return []
    newest = heapq.nlargest(limit, reports, key=lambda blob: (blob.last_modified, blob.name))
    return [_listed(blob.name, blob.last_modified, blob.metadata or {}) for blob in newest]


def _listed(name: str, modified: dt.datetime, metadata: Mapping[str, str]) -> dict[str, Any]:
    counts = {key: int(metadata.get(key) or 0) for key in ("images", "labels", "warnings")}
    texts = {key: unquote(metadata.get(key) or "") for key in ("export", "state", "job", "data_set")}
    return {"id": name.split("/")[-2], **texts, **counts, "updated_at": modified.isoformat(timespec="seconds")}


def get_export(blobs: BlobServiceClient, container: str, export: str) -> dict[str, Any]:
    """The report of an export, by its id. Raises NotFoundError."""
    report: dict[str, Any] = json.loads(_read(blobs, container, export, REPORT))
    return report


def get_export_page(blobs: BlobServiceClient, container: str, export: str) -> bytes:
    """The same as an HTML page. Raises NotFoundError."""
    return _read(blobs, container, export, PAGE)


def _read(blobs: BlobServiceClient, container: str, export: str, name: str) -> bytes:
    from azure.core.exceptions import ResourceNotFoundError

    if _ID.fullmatch(export):
        try:
            content: bytes = blobs.get_blob_client(container, f"{FOLDER}{export}/{name}").download_blob().readall()
        except ResourceNotFoundError:
            pass
        else:
            return content
    raise NotFoundError(f"there is no label export {export}")
