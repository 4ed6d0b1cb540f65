"""Reading the images of a manifest, on real storage."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from azure.core.pipeline.transport import HttpTransport
from azure.storage.blob import BlobServiceClient, LinearRetry, StandardBlobTier

from components.node import blob_service
from shared import image_reader
from shared.clients import Clients
from shared.errors import ImageRejectedError, ImageUnavailableError
from shared.image_reader import ImageReader
from shared.manifests import ManifestRow
from tests.contract.storage.unsteady_proxy import UnsteadyProxy, unsteady_proxy
from tests.support import drop_image, make_clients, prepare_storage

WAIT_SECONDS = 30


@pytest.fixture
def clients(storage: str) -> Clients:
    clients = make_clients(storage)
    prepare_storage(clients)
    return clients


@pytest.fixture
def proxy(clients: Clients) -> Iterator[UnsteadyProxy]:
    with unsteady_proxy(str(clients.blobs.url)) as proxy:
        yield proxy


def parts_of(connection_string: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in connection_string.split(";") if part)


def credential(connection_string: str) -> dict[str, str]:
    parts = parts_of(connection_string)
    return {"account_name": parts["AccountName"], "account_key": parts["AccountKey"]}


def row(path: str, etag: str = "") -> ManifestRow:
    return ManifestRow(f"k:{path}", path, "images", path, etag)


def read(blobs: BlobServiceClient, wanted: ManifestRow) -> bytes:
    with ImageReader(blobs).opened(wanted) as content:
        return content


def test_an_image_whose_etag_is_known_is_read_as_it_was_or_not_at_all(clients: Clients) -> None:
    etag = drop_image(clients, "a.jpg", b"one")
    assert read(clients.blobs, row("a.jpg", etag)) == b"one"
    drop_image(clients, "a.jpg", b"two")
    with pytest.raises(ImageRejectedError, match="replaced before it was scored"):
        read(clients.blobs, row("a.jpg", etag))
    clients.blobs.get_blob_client("images", "a.jpg").delete_blob()
    for wanted in (row("a.jpg", etag), row("a.jpg")):
        with pytest.raises(ImageRejectedError, match="deleted before it was scored"):
            read(clients.blobs, wanted)


def test_an_archived_image_is_refused(clients: Clients) -> None:
    drop_image(clients, "a.jpg", b"one")
    clients.blobs.get_blob_client("images", "a.jpg").set_standard_blob_tier(StandardBlobTier.ARCHIVE)
    with pytest.raises(ImageRejectedError, match="can't be read: "):
        read(clients.blobs, row("a.jpg"))


def test_an_empty_image_is_read(clients: Clients) -> None:
    drop_image(clients, "a.jpg", b"")
    assert read(clients.blobs, row("a.jpg")) == b""


def test_missing_rights_are_not_the_images_fault(clients: Clients, storage: str) -> None:
    drop_image(clients, "a.jpg", b"one")
    wrong_key = base64.b64encode(b"1" * 32).decode()
    connection = ";".join(f"{name}={value}" for name, value in {**parts_of(storage), "AccountKey": wrong_key}.items())
    with (
        BlobServiceClient.from_connection_string(connection) as blobs,
        pytest.raises(ImageUnavailableError, match="can't be read now: AuthorizationFailure"),
    ):
        read(blobs, row("a.jpg"))


def test_a_service_that_does_not_answer_is_not_the_images_fault(
    clients: Clients, storage: str, proxy: UnsteadyProxy
) -> None:
    proxy.planned["a.jpg"] = ["503"]
    retry = LinearRetry(backoff=0, random_jitter_range=0, retry_total=0)
    with (
        BlobServiceClient(proxy.url, credential(storage), retry_policy=retry) as blobs,
        pytest.raises(ImageUnavailableError, match="can't be read now"),
    ):
        read(blobs, row("a.jpg"))
    with (
        BlobServiceClient("http://127.0.0.1:9/account", credential(storage), retry_policy=retry) as blobs,
        pytest.raises(ImageUnavailableError, match="can't be read now"),
    ):
        read(blobs, row("a.jpg"))


def test_a_body_that_breaks_off_or_stalls_is_read_again(clients: Clients, storage: str, proxy: UnsteadyProxy) -> None:
    content = bytes(range(256)) * 64
    etag = drop_image(clients, "a.jpg", content)
    drop_image(clients, "b.jpg", content)
    proxy.planned = {"a.jpg": ["cut"], "b.jpg": ["stall"]}
    # In several ranges, too: the second one of a is cut.
    for single, first in ((1_000_000, "cut"), (len(content) // 2, "")):
        proxy.planned["a.jpg"] = [first, "cut"] if not first else [first]
        options: dict[str, Any] = {"max_single_get_size": single, "max_chunk_get_size": 4096, "read_timeout": 0.5}
        with BlobServiceClient(proxy.url, credential(storage), **options) as blobs:
            assert read(blobs, row("a.jpg", etag)) == content
            assert read(blobs, row("b.jpg")) == content
    assert not any(proxy.planned.values()), "all that was planned came about"


def test_a_body_that_always_breaks_off_is_unavailable(clients: Clients, storage: str, proxy: UnsteadyProxy) -> None:
    drop_image(clients, "a.jpg", b"content")
    proxy.planned["a.jpg"] = ["cut"] * 3
    with (
        BlobServiceClient(proxy.url, credential(storage)) as blobs,
        pytest.raises(ImageUnavailableError, match="can't be read now"),
    ):
        read(blobs, row("a.jpg"))


def test_a_node_waits_about_a_minute_for_a_service_that_is_busy(
    clients: Clients, storage: str, proxy: UnsteadyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(HttpTransport, "sleep", lambda _, seconds: waited.append(seconds))
    drop_image(clients, "a.jpg", b"content")
    proxy.planned["a.jpg"] = ["503"] * 5
    with blob_service(proxy.url, credential(storage)) as blobs:
        assert read(blobs, row("a.jpg")) == b"content"
    assert len(waited) == 5
    assert 55 <= sum(waited) <= 80


def test_threads_together_hold_no_more_bytes_than_are_allowed(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_reader, "MAX_HELD", 25_000)
    for number in range(6):
        drop_image(clients, f"{number}.jpg", bytes(10_000))
    reader, lock = ImageReader(clients.blobs), threading.Lock()
    held, most = [0], [0]
    two_inside = threading.Event()

    def use(number: int) -> None:
        with reader.opened(row(f"{number}.jpg")) as content:
            with lock:
                held[0] += len(content)
                most[0] = max(most[0], held[0])
                if held[0] == 20_000:
                    two_inside.set()
            assert two_inside.wait(WAIT_SECONDS)
            with lock:
                held[0] -= len(content)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(use, range(6)))
    assert most[0] == 20_000


def test_a_file_that_is_larger_than_any_that_is_accepted_is_not_read(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_reader, "MAX_IMAGE", 1_000_000)
    drop_image(clients, "a.jpg", bytes(1_000_001))
    with pytest.raises(ImageRejectedError, match="the file has 1 MB; at most 1 are read"):
        read(clients.blobs, row("a.jpg"))
