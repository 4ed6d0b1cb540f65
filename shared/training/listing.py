"""The files of a folder that may belong to an export. Images may lie beside them, very many: they are passed over."""

from __future__ import annotations

import datetime as dt
import email.utils
import posixpath
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from shared.datasets.options import FORMATS
from shared.labels.mltable import is_named_mltable, path_matches

if TYPE_CHECKING:
    from azure.storage.blob import BlobProperties, ContainerClient

MAX_FILES = 10_000
# With all the images among them: some forty requests.
MAX_LISTED = 200_000


class Listing:
    """`blobs` by path, as far as they were listed: `refusal` says why no further. `now` is the service's time, UTC."""

    def __init__(self, container: ContainerClient, asked: str = "") -> None:
        """`asked`: the path that is wanted, whatever its name looks like."""
        self.blobs: dict[str, BlobProperties] = {}
        self.refusal = ""
        self.now = dt.datetime.now(dt.UTC)
        self._container = container
        self._asked = asked
        self._listed = 0

    def add_file(self) -> None:
        """The file that was asked for, if it is there."""
        self._add(self._container.walk_blobs(self._asked, delimiter="/", raw_response_hook=self._note))

    def add_folder(self, folder: str) -> None:
        """The files directly in a folder; with an MLTable file among them also those in folders below."""
        self._add(self._container.walk_blobs(name_starts_with=folder, delimiter="/", raw_response_hook=self._note))
        if any(is_named_mltable(path) for path in self.blobs):
            self._listed = 0
            self._add(self._container.list_blobs(name_starts_with=folder, raw_response_hook=self._note))

    def add_chosen(self, paths: Sequence[tuple[str, str]]) -> None:
        """The files that an MLTable's paths mean, each of a kind (file, folder, pattern) and within the container."""
        for prefix in _prefixes(paths):
            listed = self._container.list_blobs(name_starts_with=prefix, raw_response_hook=self._note)
            self._add(blob for blob in listed if any(path_matches(kind, path, blob.name) for kind, path in paths))

    def _add(self, items: Iterable[Any]) -> None:
        from azure.storage.blob import BlobProperties

        for item in items:
            self._listed += 1
            if isinstance(item, BlobProperties) and (item.name == self._asked or not _is_image(item.name)):
                self.blobs[item.name] = item
            if len(self.blobs) > MAX_FILES or self._listed > MAX_LISTED:
                most = f"{MAX_FILES} files" if len(self.blobs) > MAX_FILES else f"{MAX_LISTED} files, images included"
                self.refusal = f"has more than {most}"
                return

    def _note(self, response: Any) -> None:
        self.now = email.utils.parsedate_to_datetime(response.http_response.headers["Date"])


def _is_image(path: str) -> bool:
    return posixpath.splitext(path)[1].lower().lstrip(".") in FORMATS


def _prefixes(paths: Sequence[tuple[str, str]]) -> list[str]:
    """The folders to be listed, none of which is in another."""
    folders = set()
    for kind, path in paths:
        if kind == "folder":
            folders.add(f"{path}/")
        else:
            fixed = path[: min((path.find(mark) for mark in "*?[" if mark in path), default=len(path))]
            folders.add(fixed[: fixed.rfind("/") + 1])
    return sorted(each for each in folders if not any(each != other and each.startswith(other) for other in folders))
