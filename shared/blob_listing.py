"""Listings of huge containers, at a small part of the CPU time that `ContainerClient.list_blobs` takes.

The SDK's pipeline parses a page's XML to an element tree in C; then `list_blobs` makes some ten Python objects of each
blob. `list_blob_names` stops at the tree, and everything of interest is in it. Sign-in, retries and errors are the
SDK's own. The XML: https://learn.microsoft.com/rest/api/storageservices/list-blobs#response-body
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote
from xml.etree.ElementTree import Element

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

MAX_PAGE_SIZE = 5000
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS = {name: number for number, name in enumerate(_MONTHS, 1)}


class ListedBlob(NamedTuple):
    """A committed blob as a listing tells it; a tuple, since millions are made. `path` is its name within the
    container, `etag` without quotes, `size` in bytes, `last_modified` in UTC to the second, `content_md5` 16 bytes or
    None where the service has none.
    """

    path: str
    etag: str
    size: int
    last_modified: datetime
    content_md5: bytes | None


class Page(NamedTuple):
    """What one request brought: up to the page size, and possibly no blob at all, whether or not more pages follow.
    `next_marker` resumes the listing after this page and is empty at the end. `now` is the service's own clock, in UTC.
    """

    blobs: list[ListedBlob]
    next_marker: str
    now: datetime


def list_pages(
    container: ContainerClient,
    *,
    prefix: str = "",
    delimiter: str = "",
    marker: str = "",
    page_size: int = MAX_PAGE_SIZE,
) -> Iterator[Page]:
    """The blobs whose path begins with `prefix`, in the service's order, from `marker` on: an earlier page's
    `next_marker`. With a `delimiter`, those that have it nowhere after the prefix: `delimiter="/"` lists one folder
    without the folders in it. The directories that accounts with a hierarchical namespace list among the blobs are
    left out. One request a page of at most `page_size` (1 to 5,000) entries.

    Raises azure.core.exceptions.ResourceNotFoundError when the container does not exist, DecodeError when the answer is
    no listing, and others as `list_blobs` does.
    """
    from azure.core.pipeline import PipelineResponse

    responses: list[PipelineResponse[Any, Any]] = []
    options: dict[str, Any] = {"params": {"delimiter": delimiter}} if delimiter else {}
    # Called for failed tries as well: the last response is the one that the page was made of.
    names = container.list_blob_names(
        name_starts_with=prefix or None, results_per_page=page_size, raw_response_hook=responses.append, **options
    )
    for _ in names.by_page(marker or None):
        page = _page(responses[-1])
        responses.clear()
        yield page


def _page(response: Any) -> Page:
    from azure.core.exceptions import DecodeError
    from azure.core.pipeline.policies import ContentDecodePolicy

    answer, tree = response.http_response, response.context.get(ContentDecodePolicy.CONTEXT_NAME)
    if not isinstance(tree, Element) or tree.tag != "EnumerationResults":
        raise DecodeError("the answer to a listing of blobs is no EnumerationResults", response=answer)
    try:
        listed = [_blob(entry) for entry in tree.iterfind("Blobs/Blob")]
        now = parsedate_to_datetime(answer.headers.get("Date") or "")
    except ValueError as error:
        raise DecodeError(str(error), response=answer) from error
    marker = tree.findtext("NextMarker") or ""
    # The SDK keeps it until the next page is there; of 5,000 blobs it takes 20 MB.
    tree.clear()
    return Page([blob for blob in listed if blob], marker, now)


def _blob(entry: Element) -> ListedBlob | None:
    """One entry, or None when it is a directory."""
    properties = entry.find("Properties")
    name = entry.find("Name")
    if name is None or properties is None:
        raise ValueError("a listing of blobs has an entry without name or properties")
    text = properties.findtext
    if text("ResourceType") == "directory":
        return None
    path = name.text or ""
    if name.get("Encoded") == "true":  # It has characters that XML can't hold.
        path = unquote(path)
    md5 = text("Content-MD5")
    return ListedBlob(
        path,
        (text("Etag") or "").strip('"'),
        int(text("Content-Length") or 0),
        _time(text("Last-Modified") or ""),
        binascii.a2b_base64(md5) if md5 else None,
    )


def _time(text: str) -> datetime:
    """An HTTP date, such as `Tue, 24 Nov 2026 12:38:25 GMT`: the standard library's parsers take five times as long."""
    try:
        return datetime(
            int(text[12:16]),
            _MONTH_NUMBERS[text[8:11]],
            int(text[5:7]),
            int(text[17:19]),
            int(text[20:22]),
            int(text[23:25]),
            tzinfo=UTC,
        )
    except (KeyError, ValueError):
        return parsedate_to_datetime(text).astimezone(UTC)
