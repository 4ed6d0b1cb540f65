"""Listings of huge containers against Azurite, and against answers that Azurite doesn't give but Azure does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from azure.core.exceptions import DecodeError, ResourceNotFoundError
from azure.core.pipeline.transport import HttpResponse, HttpTransport
from azure.storage.blob import BlobBlock, ContainerClient, ContentSettings

from shared.blob_listing import ListedBlob, Page, list_pages
from tests.support import make_clients

# Control characters other than tab and newline are refused by Azure.
ODD_NAMES = [
    " lead",
    "%",
    "%2F",
    "a b",
    "a%20b",
    "a&b",
    "a+b",
    "a\nb\tc",
    '"q"',
    "<x>",
    "d/",
    "d/e",
    "ü/ж.jpg",
    "𐍈",
    "x.",
]


@pytest.fixture
def container(storage: str) -> ContainerClient:
    return make_clients(storage).blobs.create_container("container")


def fill(container: ContainerClient, paths: list[str]) -> None:
    for path in paths:
        container.upload_blob(path, path.encode())


def paths(pages: list[Page]) -> list[list[str]]:
    return [[blob.path for blob in page.blobs] for page in pages]


def test_everything_is_told_as_the_sdk_tells_it(container: ContainerClient) -> None:
    fill(container, ODD_NAMES)
    without_md5 = container.get_blob_client("no md5")
    without_md5.stage_block("MDA=", b"block")
    without_md5.commit_block_list([BlobBlock("MDA=")])
    container.upload_blob("image", b"", content_settings=ContentSettings(content_type="image/jpeg"))

    (page,) = list_pages(container)

    expected = [
        ListedBlob(
            blob.name, blob.etag, blob.size, blob.last_modified, bytes(blob.content_settings.content_md5 or b"") or None
        )
        for blob in container.list_blobs()
    ]
    assert page.blobs == expected
    assert sorted(ODD_NAMES) == sorted({blob.path for blob in page.blobs} - {"no md5", "image"})
    assert {blob.path for blob in page.blobs if blob.content_md5 is None} == {"no md5"}
    assert all(blob.last_modified.tzinfo == UTC for blob in page.blobs)
    assert (page.next_marker, page.now.tzinfo) == ("", UTC)
    assert page.now >= max(blob.last_modified for blob in page.blobs)


def test_a_listing_goes_on_where_another_stopped(container: ContainerClient) -> None:
    fill(container, [f"b{number}" for number in range(7)])
    pages = list(list_pages(container, page_size=3))
    assert paths(pages) == [["b0", "b1", "b2"], ["b3", "b4", "b5"], ["b6"]]
    assert [bool(page.next_marker) for page in pages] == [True, True, False]
    rest = list(list_pages(container, marker=pages[0].next_marker, page_size=2))
    assert paths(rest) == [["b3", "b4"], ["b5", "b6"]]


def test_one_folder_is_listed_without_those_in_it(container: ContainerClient) -> None:
    fill(container, ["a/1", "a/b/2", "a/b c&d/3", "a/4", "ab", "b/5"])
    assert paths(list(list_pages(container, prefix="a/"))) == [["a/1", "a/4", "a/b c&d/3", "a/b/2"]]
    assert paths(list(list_pages(container, prefix="a/", delimiter="/"))) == [["a/1", "a/4"]]
    assert paths(list(list_pages(container, prefix="a/b c&", delimiter="/"))) == [[]]
    assert [path for page in paths(list(list_pages(container, delimiter="/", page_size=1))) for path in page] == ["ab"]


def test_an_empty_container_has_one_empty_page(container: ContainerClient) -> None:
    (page,) = list_pages(container)
    assert (page.blobs, page.next_marker) == ([], "")


def test_a_missing_container_is_the_sdks_error(storage: str) -> None:
    missing = make_clients(storage).blobs.get_container_client("missing")
    with pytest.raises(ResourceNotFoundError, match="ContainerNotFound"):
        list(list_pages(missing))


def test_names_that_xml_cannot_hold_are_decoded_and_directories_left_out() -> None:
    # https://learn.microsoft.com/rest/api/storageservices/version-2021-02-12; directories: hierarchical namespaces
    page = answered(
        entry("a%20b%2F%25%EF%BF%BE.jpg", attributes=' Encoded="true"')
        + entry("a%20b")
        + entry("folder", more="<ResourceType>directory</ResourceType>")
        + entry("file", more="<ResourceType>file</ResourceType>")
    )
    ((listed,),) = [list(list_pages(recorded(page)))]
    modified = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert [blob.path for blob in listed.blobs] == ["a b/%\ufffe.jpg", "a%20b", "file"]
    assert listed.blobs[1] == ListedBlob("a%20b", "0x8D", 12, modified, None)
    assert listed.now == datetime(2026, 11, 24, 12, 38, 25, tzinfo=UTC)


def test_an_empty_page_is_not_the_end() -> None:
    pages = list(list_pages(recorded(answered("", "one"), answered(entry("a"), "two"), answered(""))))
    assert paths(pages) == [[], ["a"], []]
    assert [page.next_marker for page in pages] == ["one", "two", ""]


def test_a_failed_try_is_repeated_and_not_taken_for_the_page() -> None:
    busy = (503, "<Error><Code>ServerBusy</Code></Error>")
    client = recorded(busy, answered(entry("a"), "next"), busy, busy, answered(entry("b")))
    assert paths(list(list_pages(client))) == [["a"], ["b"]]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((200, "<Other/>"), "EnumerationResults"),
        ((200, "<EnumerationResults><Blobs><Blob/></Blobs></EnumerationResults>"), "without name"),
    ],
)
def test_an_answer_that_is_no_listing_is_refused(answer: tuple[int, str], message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        list(list_pages(recorded(answer)))


def entry(name: str, *, attributes: str = "", more: str = "") -> str:
    return (
        f"<Blob><Name{attributes}>{name}</Name><Properties><Last-Modified>Tue, 03 Feb 2026 04:05:06 GMT</Last-Modified>"
        f'<Etag>"0x8D"</Etag>{more}<Content-Length>12</Content-Length><Content-MD5 /></Properties><OrMetadata /></Blob>'
    )


def answered(entries: str, marker: str = "") -> tuple[int, str]:
    blobs = f"<Blobs>{entries}</Blobs>" if entries else "<Blobs />"
    text = f'<EnumerationResults ContainerName="c">{blobs}<NextMarker>{marker}</NextMarker></EnumerationResults>'
    return 200, f'\ufeff<?xml version="1.0" encoding="utf-8"?>{text}'


def recorded(*answers: tuple[int, str]) -> ContainerClient:
    """A client, with the SDK's own pipeline, of a service that gives these answers."""
    transport = Recorded(list(answers))
    return ContainerClient(
        "https://store.blob.core.windows.net", "c", credential="MDA=", transport=transport, initial_backoff=0
    )


class Recorded(HttpTransport[Any, Any]):
    def __init__(self, answers: list[tuple[int, str]]) -> None:
        self._answers = answers

    def send(self, request: Any, **_: Any) -> Any:
        return Answer(request, *self._answers.pop(0))

    def open(self) -> None: ...

    def close(self) -> None: ...

    def sleep(self, duration: float) -> None: ...

    def __exit__(self, *_: object) -> None: ...


class Answer(HttpResponse):
    def __init__(self, request: Any, status: int, text: str) -> None:
        super().__init__(request, None)
        self.status_code, self.reason, self._text = status, "", text
        self.headers = {"Date": "Tue, 24 Nov 2026 12:38:25 GMT", "Content-Type": "application/xml"}
        self.content_type = "application/xml"

    def body(self) -> bytes:
        return self._text.encode()
