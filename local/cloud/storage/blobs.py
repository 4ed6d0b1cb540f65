"""The cloud's own access to blobs: reads go to Azurite directly, writes through the proxy, so that they raise events.

The calls block; the event loop runs them in threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import (
    BlobServiceClient,
    ContainerClient,
    ContainerSasPermissions,
    ContentSettings,
    generate_container_sas,
)

from local.config import StackConfig

# Requests of the platform itself carry this prefix in their user agent; the proxy counts them apart from the app's.
PLATFORM_AGENT = "labelloop-platform"
PARALLEL_TRANSFERS = 8
SAS_DAYS = 1


class Blobs:
    """Uploads, downloads and containers of the stack's account."""

    def __init__(self, config: StackConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._direct: BlobServiceClient | None = None
        self._proxied: BlobServiceClient | None = None

    @property
    def direct(self) -> BlobServiceClient:
        with self._lock:
            if self._direct is None:
                self._direct = BlobServiceClient(
                    f"https://127.0.0.1:{self._config.ports['azurite_blob']}/{self._config.account_name}",
                    credential=self._config.account_key,
                    connection_verify=str(self._config.certificate),
                    user_agent=PLATFORM_AGENT,
                )
            return self._direct

    @property
    def proxied(self) -> BlobServiceClient:
        with self._lock:
            if self._proxied is None:
                self._proxied = BlobServiceClient.from_connection_string(
                    self._config.connection_string(), user_agent=PLATFORM_AGENT
                )
            return self._proxied

    def close(self) -> None:
        with self._lock:
            for client in (self._direct, self._proxied):
                if client is not None:
                    client.close()

    async def ensure(self, names: list[str]) -> None:
        """Make containers; those that exist stay."""
        for name in names:
            await asyncio.to_thread(self._ensure, name)

    def _ensure(self, name: str) -> None:
        with contextlib.suppress(ResourceExistsError):
            self.direct.create_container(name)

    def container_sas_url(self, container: str) -> str:
        """URL of a container, through the proxy's TLS port, with a SAS to read, add, write, delete and list."""
        now = datetime.datetime.now(datetime.UTC)
        sas = generate_container_sas(
            self._config.account_name,
            container,
            account_key=self._config.account_key,
            permission=ContainerSasPermissions(read=True, add=True, create=True, write=True, delete=True, list=True),
            start=now - datetime.timedelta(minutes=5),
            expiry=now + datetime.timedelta(days=SAS_DAYS),
        )
        return f"{self._config.storage_url('blob')}/{container}?{sas}"

    def download(self, container: str, path: str, target: Path) -> int:
        """Download one blob to the file `target`, or all blobs below the prefix `path` into the folder `target`.

        Answers the number of files; 0 when there is nothing there.
        """
        client = self.direct.get_container_client(container)
        if path and not path.endswith("/") and _download_blob(client, path, target):
            return 1
        prefix = f"{path.rstrip('/')}/" if path.strip("/") else ""
        names = list(_names(client, prefix))
        if not names:
            return 0
        with ThreadPoolExecutor(PARALLEL_TRANSFERS) as pool:
            done = pool.map(lambda name: _download_blob(client, name, _below(target, name[len(prefix) :])), names)
            return sum(done)

    def upload(self, path: Path, container: str, target: str, only: set[Path] | None = None) -> int:
        """Upload one file to the blob `target`, or the files below a folder (or `only` those named) to that prefix.

        Answers the number of files; 0 when there is nothing at `path`.
        """
        if path.is_file():
            _upload(self.proxied.get_container_client(container), path, target.rstrip("/"))
            return 1
        return self._upload_folder(path, container, target, only)

    def _upload_folder(self, folder: Path, container: str, prefix: str, only: set[Path] | None) -> int:
        files = sorted(file for file in folder.rglob("*") if file.is_file() and (only is None or file in only))
        base = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
        client = self.proxied.get_container_client(container)
        with ThreadPoolExecutor(PARALLEL_TRANSFERS) as pool:
            list(pool.map(lambda f: _upload(client, f, f"{base}{f.relative_to(folder).as_posix()}"), files))
        return len(files)

    def upload_text(self, text: str, container: str, path: str) -> None:
        client = self.proxied.get_container_client(container)
        client.upload_blob(
            path, text.encode(), overwrite=True, content_settings=ContentSettings(content_type="application/json")
        )


def _names(client: ContainerClient, prefix: str) -> Iterator[str]:
    for name in client.list_blob_names(name_starts_with=prefix):
        if not name.endswith("/"):
            yield name


def _download_blob(client: ContainerClient, name: str, target: Path) -> bool:
    """False when the blob does not exist."""
    try:
        stream = client.download_blob(name, max_concurrency=2)
    except ResourceNotFoundError:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        stream.readinto(file)
    return True


def _below(folder: Path, relative: str) -> Path:
    """A path within `folder`; a blob's name must not lead out of it."""
    target = (folder / relative).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise ValueError(f"The blob name '{relative}' leads out of its folder.")
    return target


def _upload(client: ContainerClient, file: Path, path: str) -> None:
    with file.open("rb") as stream:
        client.upload_blob(path, stream, overwrite=True, max_concurrency=2)
